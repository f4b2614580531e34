import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** What PgJDBC finds in schema bi, as Metabase and Tableau ask: URL, role, password, then pairs of SQL and value. */
public class Probe {
    public static void main(String[] given) throws Exception {
        Map<String, Object> told = new LinkedHashMap<>();
        try (Connection connection = DriverManager.getConnection(given[0], given[1], given[2])) {
            connection.setReadOnly(true);
            DatabaseMetaData found = connection.getMetaData();
            List<Object> tables = new ArrayList<>();
            List<Object> views = new ArrayList<>();
            List<Object> others = new ArrayList<>();
            try (ResultSet row = found.getTables(null, "bi", "%", null)) {
                while (row.next()) {
                    String kind = row.getString("TABLE_TYPE");
                    String name = row.getString("TABLE_NAME");
                    if (kind.equals("TABLE")) {
                        tables.add(name);
                    } else if (kind.equals("VIEW")) {
                        views.add(name);
                    } else if (!kind.endsWith("INDEX")) {
                        others.add(kind + " " + name);
                    }
                    if (name.equals("fact_feedback")) {
                        told.put("table_comment", row.getString("REMARKS"));
                    }
                }
            }
            told.put("tables", tables);
            told.put("views", views);
            told.put("others", others);
            Map<String, Object> columns = new TreeMap<>();
            List<Object> unknown = new ArrayList<>();
            try (ResultSet row = found.getColumns(null, "bi", "%", "%")) {
                while (row.next()) {
                    String table = row.getString("TABLE_NAME");
                    String column = row.getString("COLUMN_NAME");
                    @SuppressWarnings("unchecked")
                    List<Object> of = (List<Object>) columns.computeIfAbsent(table, k -> new ArrayList<>());
                    of.add(column);
                    if (row.getInt("DATA_TYPE") == java.sql.Types.OTHER) {
                        unknown.add(table + "." + column);
                    }
                    if (table.equals("fact_feedback") && column.equals("value")) {
                        told.put("column_comment", row.getString("REMARKS"));
                    }
                }
            }
            told.put("columns", columns);
            told.put("of_no_known_type", unknown);
            Map<Short, Object> key = new TreeMap<>();
            try (ResultSet row = found.getPrimaryKeys(null, "bi", "fact_feedback")) {
                while (row.next()) {
                    key.put(row.getShort("KEY_SEQ"), row.getString("COLUMN_NAME"));
                }
            }
            told.put("primary_key", new ArrayList<>(key.values()));
            Map<String, List<Object>> keys = new TreeMap<>();
            try (ResultSet row = found.getImportedKeys(null, "bi", "fact_feedback")) {
                while (row.next()) {
                    List<Object> of = keys.computeIfAbsent(row.getString("FK_NAME"), k -> new ArrayList<>());
                    if (of.isEmpty()) {
                        of.add(new ArrayList<Object>());
                        of.add(row.getString("PKTABLE_NAME"));
                        of.add(new ArrayList<Object>());
                    }
                    add(of.get(0), row.getString("FKCOLUMN_NAME"));
                    add(of.get(2), row.getString("PKCOLUMN_NAME"));
                }
            }
            told.put("foreign_keys", new ArrayList<>(keys.values()));
            List<Object> answers = new ArrayList<>();
            for (int at = 3; at < given.length; at += 2) {
                try (PreparedStatement question = connection.prepareStatement(given[at])) {
                    // As a string: an ENUM would not be compared with it.
                    question.setString(1, given[at + 1]);
                    try (ResultSet row = question.executeQuery()) {
                        row.next();
                        ResultSetMetaData about = row.getMetaData();
                        List<Object> answer = new ArrayList<>();
                        for (int column = 1; column <= about.getColumnCount(); column++) {
                            answer.add(row.getDouble(column));
                        }
                        answers.add(answer);
                    }
                }
            }
            told.put("answers", answers);
            try (PreparedStatement question = connection.prepareStatement("SHOW timezone");
                    ResultSet row = question.executeQuery()) {
                row.next();
                told.put("zone", row.getString(1));
            }
        }
        System.out.println(json(told));
    }

    @SuppressWarnings("unchecked")
    private static void add(Object list, Object each) {
        ((List<Object>) list).add(each);
    }

    private static String json(Object each) {
        StringBuilder text = new StringBuilder();
        if (each instanceof Map<?, ?> map) {
            map.forEach((name, of) -> text.append(text.isEmpty() ? "" : ", ").append(json(name)).append(": ").append(json(of)));
            return "{" + text + "}";
        }
        if (each instanceof List<?> list) {
            list.forEach(of -> text.append(text.isEmpty() ? "" : ", ").append(json(of)));
            return "[" + text + "]";
        }
        if (each instanceof String string) {
            return "\"" + string.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + "\"";
        }
        return String.valueOf(each);
    }
}
