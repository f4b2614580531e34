"""Where the real orders are, which are no part of the repository, and their weekly answers."""

import csv
import json
import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent


def folder() -> Path:
    """Skips the test, loudly, where they are not."""
    named = os.environ.get("TOUCHLEDGER_SHARED_DATA")
    # Under a variable that names it, the shared data may be the folder itself or what holds it.
    places = [Path(named), Path(named, "olist")] if named else []
    places.append(ROOT.parent / "shared" / "data" / "olist")
    for place in places:
        if (place / "expected.json").is_file():
            return place
    pytest.skip(
        "NO REAL ORDERS: the figures of the Olist sample are NOT checked; want orders.csv, expected.json "
        f"and the others in {places[-1]}, or in a folder that TOUCHLEDGER_SHARED_DATA names"
    )


def expected_alarms() -> dict[str, Any]:
    """By a script that shares nothing with us: weeks by chart, such as "2018-W14"."""
    figures: dict[str, Any] = json.loads((folder() / "expected.json").read_text())
    alarms: dict[str, Any] = figures["weekly_bottom2_alarms"]
    return alarms


def answers_of_delivered() -> Iterator[tuple[date, int]]:
    """The day on which each customer of a delivered order was asked, and the answer."""
    with (folder() / "orders.csv").open(encoding="utf-8") as file:
        status = {row["order_id"]: row["order_status"] for row in csv.DictReader(file)}
    with (folder() / "reviews.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if status[row["order_id"]] == "delivered":
                asked = date.fromisoformat(row["review_creation_date"][:10])
                yield asked, int(row["review_score"])


def monday(week: str) -> date:
    """Of a week such as "2018-W14"."""
    return date.fromisocalendar(int(week[:4]), int(week[6:]), 1)


def week(day: date) -> str:
    year, number, _ = day.isocalendar()
    return f"{year}-W{number:02d}"


def weeks_between(first: date, before: date) -> Iterator[date]:
    while first < before:
        yield first
        first += timedelta(days=7)
