"""What DuckDB's postgres extension finds in schema bi: URL and questions in, JSON out; exit 3 without it."""

import json
import sys

import duckdb  # type: ignore[import-not-found]  # in the clients' environment alone

url, questions = sys.argv[1], json.loads(sys.argv[2])
database = duckdb.connect()
try:
    # A wheel brings the extension, or it is installed already; it is not downloaded here.
    from duckdb_extensions import import_extension  # type: ignore[import-not-found]  # likewise

    import_extension("postgres_scanner")
except ImportError:
    pass
try:
    database.execute("SET autoinstall_known_extensions = false; LOAD postgres_scanner")
except duckdb.Error as error:
    print(error, file=sys.stderr)
    sys.exit(3)
database.execute(f"ATTACH '{url}' AS touchledger (TYPE postgres, READ_ONLY, SCHEMA 'bi')")
columns: dict[str, list[str]] = {}
for table, column in database.execute(
    "SELECT table_name, column_name FROM duckdb_columns() "
    "WHERE database_name = 'touchledger' AND schema_name = 'bi' ORDER BY table_name, column_index"
).fetchall():
    columns.setdefault(table, []).append(column)
answers = []
for question in questions:
    # bi.TABLE is another catalogue's here.
    sql = question["sql"].replace("bi.", "touchledger.bi.")
    row = database.execute(sql, [question["given"]]).fetchone()
    answers.append([float(each) for each in row])
print(json.dumps({"columns": columns, "answers": answers}))
