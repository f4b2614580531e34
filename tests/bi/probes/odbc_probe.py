"""What psqlODBC finds in schema bi, as Excel asks: connection string and questions in, JSON out."""

import json
import sys

import pyodbc  # type: ignore[import-not-found]  # in the clients' environment alone

given, questions = sys.argv[1], json.loads(sys.argv[2])
with pyodbc.connect(given, readonly=True) as connection:
    cursor = connection.cursor()
    listed = [(row.table_name, row.table_type) for row in cursor.tables(schema="bi")]
    tables = [name for name, kind in listed if kind == "TABLE"]
    columns = {
        name: [row.column_name for row in cursor.columns(table=name, schema="bi")]
        for name in tables
    }
    key = [row.column_name for row in cursor.primaryKeys("fact_feedback", schema="bi")]
    keys: dict[str, list[list[str]]] = {}
    for row in cursor.foreignKeys(foreignTable="fact_feedback", foreignSchema="bi"):
        columns_of = keys.setdefault(row.fk_name, [[], [row.pktable_name], []])
        columns_of[0].append(row.fkcolumn_name)
        columns_of[2].append(row.pkcolumn_name)
    # Its drivers show no comments: that is what the data dictionary is for.
    comment = cursor.execute(
        "SELECT meaning FROM bi.data_dictionary WHERE table_name = 'fact_feedback' AND column_name = ?",
        "",
    ).fetchval()
    column_comment = cursor.execute(
        "SELECT meaning FROM bi.data_dictionary WHERE table_name = 'fact_feedback' AND column_name = ?",
        "value",
    ).fetchval()
    answers = [
        [float(each) for each in cursor.execute(question["sql"], question["given"]).fetchone()]
        for question in questions
    ]
told = {
    "tables": tables,
    "views": [name for name, kind in listed if kind == "VIEW"],
    "columns": columns,
    "primary_key": key,
    "foreign_keys": [[own, to[0], referred] for own, to, referred in keys.values()],
    "table_comment": comment,
    "column_comment": column_comment,
    "answers": answers,
}
print(json.dumps(told))
