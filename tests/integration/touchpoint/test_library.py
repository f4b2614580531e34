"""The eventsourcing library reads the journal's table as its own, and can't write to it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import IntegrityError, Notification, PersistenceError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore, PostgresFactory
from eventsourcing.utils import Environment

from services.chassis.postgres import Pool
from services.touchpoint.journal import Journal
from tests.support.entries import append, duplicate, entry, recorded

DEADLINE_SECONDS = 20
TOPICS = ("touchledger.interaction.v1", "touchledger.feedback_received.v1")
EVENTS = [entry(f"event-{index}")._replace(topic=TOPICS[index % 2]) for index in range(25)]
FIRST_STREAM = UUID(bytes=EVENTS[0].originator_id)
# A journal of 25 events; position n is EVENTS[n - 1].
NOTIFICATIONS = [
    Notification(
        originator_id=UUID(bytes=each.originator_id),
        originator_version=1,
        topic=each.topic,
        state=each.state,
        id=position,
    )
    for position, each in enumerate(EVENTS, start=1)
]


@pytest.fixture
async def journal(journal_pool: Pool) -> Journal:
    journal = await Journal.open(journal_pool, stopping=asyncio.Event())
    await append(journal, *EVENTS)
    return journal


@pytest.fixture
async def database(journal: Journal, journal_pool: Pool) -> str:
    name: str = await journal_pool.fetchval("SELECT current_database()")
    return name


@pytest.fixture
def datastore(database: str, admin_url: str) -> Iterator[PostgresDatastore]:
    server = urlsplit(admin_url)
    assert server.hostname
    assert server.username
    assert server.password
    with PostgresDatastore(
        database,
        server.hostname,
        str(server.port),
        server.username,
        server.password,
        schema="journal",
    ) as opened:
        yield opened


@pytest.fixture
def recorder(datastore: PostgresDatastore) -> PostgresApplicationRecorder:
    return PostgresApplicationRecorder(datastore, events_table_name="stored_events")


def test_its_notifications_are_our_events_at_our_positions(
    recorder: PostgresApplicationRecorder,
) -> None:
    assert recorder.select_notifications(start=1, limit=100) == NOTIFICATIONS


def test_it_pages_by_our_positions(recorder: PostgresApplicationRecorder) -> None:
    pages = [recorder.select_notifications(start=start, limit=10) for start in (1, 11, 21, 26)]
    assert [[each.id for each in page] for page in pages] == [
        list(range(1, 11)),
        list(range(11, 21)),
        list(range(21, 26)),
        [],
    ]
    between = recorder.select_notifications(start=5, limit=10, stop=8, inclusive_of_start=False)
    assert [each.id for each in between] == [6, 7, 8]


def test_it_filters_by_our_topics(recorder: PostgresApplicationRecorder) -> None:
    found = recorder.select_notifications(start=1, limit=100, topics=[TOPICS[1]])
    assert found == NOTIFICATIONS[1::2]


def test_its_last_notification_is_our_head(recorder: PostgresApplicationRecorder) -> None:
    assert recorder.max_notification_id() == 25


def test_its_stream_of_an_event_is_that_event(recorder: PostgresApplicationRecorder) -> None:
    stream = UUID(bytes=EVENTS[7].originator_id)
    assert recorder.select_events(stream) == [
        StoredEvent(stream, 1, EVENTS[7].topic, EVENTS[7].state)
    ]
    assert recorder.select_events(uuid4()) == []


def test_its_factory_reads_too_when_told_to_create_no_table(database: str, admin_url: str) -> None:
    server = urlsplit(admin_url)
    environment = Environment(
        "journal",
        {
            "POSTGRES_DBNAME": database,
            "POSTGRES_HOST": str(server.hostname),
            "POSTGRES_PORT": str(server.port),
            "POSTGRES_USER": str(server.username),
            "POSTGRES_PASSWORD": str(server.password),
            "POSTGRES_SCHEMA": "journal",
            "CREATE_TABLE": "no",
        },
    )
    with PostgresFactory(environment) as factory:
        # The library names the table after the application otherwise: journal_events.
        factory.env.name = "stored"
        recorder = factory.application_recorder()
        assert recorder.max_notification_id() == 25


async def test_its_writer_is_refused_and_writes_nothing(
    recorder: PostgresApplicationRecorder, journal: Journal
) -> None:
    stream = uuid4()
    with pytest.raises(PersistenceError):
        await asyncio.to_thread(recorder.insert_events, [foreign(stream)])
    await assert_untouched(journal, recorder)
    # No lock is left behind either.
    ours = entry("ours")._replace(originator_id=stream.bytes)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await append(journal, ours) == [recorded(26)]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("in_a_database_function", [False, True])
async def test_its_writer_is_refused_even_after_it_has_set_up_all_that_it_creates(
    recorder: PostgresApplicationRecorder,
    journal: Journal,
    version: int,
    in_a_database_function: bool,
) -> None:
    """It creates what does not exist: a type and a function, which its mode that loses events calls."""
    recorder.create_table()
    recorder.datastore.enable_db_functions = in_a_database_function
    for stream in (uuid4(), FIRST_STREAM):
        with pytest.raises(IntegrityError):
            await asyncio.to_thread(recorder.insert_events, [foreign(stream, version)])
    await assert_untouched(journal, recorder)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await append(journal, EVENTS[0]) == [duplicate(1)]


def foreign(stream: UUID | str, version: int = 1) -> StoredEvent:
    return StoredEvent(stream, version, TOPICS[0], b"around the journal")


async def assert_untouched(journal: Journal, recorder: PostgresApplicationRecorder) -> None:
    assert recorder.select_notifications(start=1, limit=100) == NOTIFICATIONS
    assert await journal.head() == 25


@pytest.mark.parametrize("service", ["touchpoint", "scoring", "gateway"])
def test_a_service_does_not_start_in_the_library_s_mode_that_loses_events(service: str) -> None:
    # Nothing else is set: it is refused before any other setting is looked at.
    ended = subprocess.run(
        [sys.executable, "-m", f"services.{service}"],
        env=os.environ | {"POSTGRES_ENABLE_DB_FUNCTIONS": "y"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        "POSTGRES_ENABLE_DB_FUNCTIONS: got a value, want it unset: it loses events"
    ]
