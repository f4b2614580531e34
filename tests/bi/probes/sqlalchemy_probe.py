"""What SQLAlchemy with psycopg2 finds in schema bi, as Superset asks: URL and questions in, JSON out."""

import json
import sys

import sqlalchemy  # type: ignore[import-not-found]  # in the clients' environment alone

url, questions = sys.argv[1], json.loads(sys.argv[2])
engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
found = sqlalchemy.inspect(engine)
tables = found.get_table_names(schema="bi")
with engine.connect() as connection:
    answers = [
        [
            float(each)
            for each in connection.execute(
                sqlalchemy.text(question["sql"].replace("?", ":given")),
                {"given": question["given"]},
            ).one()
        ]
        for question in questions
    ]
told = {
    "tables": tables,
    "views": found.get_view_names(schema="bi"),
    "columns": {
        name: [column["name"] for column in found.get_columns(name, schema="bi")] for name in tables
    },
    "primary_key": found.get_pk_constraint("fact_feedback", schema="bi")["constrained_columns"],
    "foreign_keys": [
        [key["constrained_columns"], key["referred_table"], key["referred_columns"]]
        for key in found.get_foreign_keys("fact_feedback", schema="bi")
    ],
    "table_comment": found.get_table_comment("fact_feedback", schema="bi")["text"],
    "column_comment": next(
        column["comment"]
        for column in found.get_columns("fact_feedback", schema="bi")
        if column["name"] == "value"
    ),
    "answers": answers,
}
print(json.dumps(told))
