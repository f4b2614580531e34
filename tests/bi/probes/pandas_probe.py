"""What pandas reads from schema bi: URL and questions in, JSON out."""

import json
import sys

import pandas as pd  # type: ignore[import-untyped]  # in the clients' environment alone
import sqlalchemy  # type: ignore[import-not-found]  # likewise

url, questions = sys.argv[1], json.loads(sys.argv[2])
engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
answers = []
with engine.connect() as connection:
    for question in questions:
        sql = sqlalchemy.text(question["sql"].replace("?", ":given"))
        frame = pd.read_sql(sql, connection, params={"given": question["given"]})
        answers.append([float(each) for each in frame.iloc[0]])
    days = pd.read_sql_table("rollup_touchpoint_day", connection, schema="bi")
told = {
    "columns": {"rollup_touchpoint_day": list(days.columns)},
    # A day stays a day: no zone moves it.
    "days": sorted({day.strftime("%Y-%m-%d") for day in days["reporting_date"]}),
    "answers": answers,
}
print(json.dumps(told))
