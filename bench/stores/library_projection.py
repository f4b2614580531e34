"""The eventsourcing library's ProjectionRunner: its recorder, a view in PostgreSQL, one event at a time."""

import asyncio
from collections.abc import Mapping
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.utils import get_topic
from psycopg.sql import SQL

from bench.place import Place

# It projects some 2,000 in a second.
EVENTS = 4000
EVENTS_A_SAVE = 400
PROJECTION_SECONDS_MAX = 60.0
CREATE = SQL(
    "CREATE TABLE satisfaction (touchpoint text PRIMARY KEY, answered bigint, total bigint)"
)
ADD = SQL(
    "INSERT INTO satisfaction AS s VALUES (%s, 1, %s) ON CONFLICT (touchpoint) "
    "DO UPDATE SET answered = s.answered + 1, total = s.total + EXCLUDED.total"
)


class Survey(Aggregate):
    @event("Answered")
    def answer(self, touchpoint: str, value: int) -> None:
        """Nothing to keep: the event is what counts."""


class Surveys(Application[UUID]):
    pass


class Satisfaction(PostgresTrackingRecorder):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.sql_create_statements.append(CREATE.format())

    def add(self, touchpoint: str, value: int, tracking: Tracking) -> None:
        with self.datastore.get_connection() as connection, connection.cursor() as cursor:
            cursor.execute(ADD, (touchpoint, value))
            self._insert_tracking(cursor, tracking)


class PerTouchpoint(Projection[Satisfaction]):
    name = "satisfaction"
    topics = (get_topic(Survey.Answered),)  # type: ignore[attr-defined]  # the decorator makes the class

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.add(domain_event.touchpoint, domain_event.value, tracking)


async def rate(place: Place) -> float:
    """Events projected in a second, from a fresh start, once all are saved."""
    async with place.database("library_projection") as url:
        return await asyncio.to_thread(_rate, _environment(url))


async def whole_rate(place: Place) -> float:
    """Events saved and projected in a second, by a runner that is there from the start."""
    async with place.database("library_whole") as url:
        return await asyncio.to_thread(_whole_rate, _environment(url))


def _rate(env: Mapping[str, str]) -> float:
    last = _save(env)
    began = perf_counter()
    with _runner(env) as running:
        running.wait(last, timeout=PROJECTION_SECONDS_MAX)
        return EVENTS / (perf_counter() - began)


def _whole_rate(env: Mapping[str, str]) -> float:
    with _runner(env) as running:
        began = perf_counter()
        running.wait(_save(env), timeout=PROJECTION_SECONDS_MAX)
        return EVENTS / (perf_counter() - began)


def _save(env: Mapping[str, str]) -> int:
    """The last one's number."""
    last = 0
    with Surveys(env) as surveys:
        for _ in range(EVENTS // EVENTS_A_SAVE):
            survey = Survey()
            for number in range(EVENTS_A_SAVE - 1):
                survey.answer(f"store.checkout.{number % 20:02d}", 1 + number % 5)
            last = surveys.save(survey)[-1].notification.id
    return last


def _runner(env: Mapping[str, str]) -> "ProjectionRunner[Surveys, Satisfaction]":
    return ProjectionRunner(
        application_class=Surveys, projection_class=PerTouchpoint, view_class=Satisfaction, env=env
    )


def _environment(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.removeprefix("/"),
        "POSTGRES_HOST": str(parts.hostname),
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_USER": str(parts.username),
        "POSTGRES_PASSWORD": str(parts.password),
    }
