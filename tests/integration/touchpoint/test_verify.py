"""Whatever somebody changes in the journal's tables who may change everything, `verify` names the place."""

import asyncio
import base64
import json
import runpy
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.chassis.errors import Corrupt, NotFound
from services.chassis.postgres import Pool
from services.touchpoint import proof, stored_rows, walk
from services.touchpoint.checkpoint import ORIGIN, Checkpoint
from services.touchpoint.identity import originator_ids
from services.touchpoint.journal import Journal
from services.touchpoint.row import Attempt, encode
from services.touchpoint.seal import NO_CHAIN
from services.touchpoint.stored_rows import StoredRow, StoredRows
from services.touchpoint.unsealed import seal_unsealed
from services.touchpoint.walk import Walked
from tests.support.entries import append, entry

ROOT = Path(__file__).parent.parent.parent.parent
CHECK_PROOF = ROOT / "services" / "touchpoint" / "check_proof.py"

DEADLINE_SECONDS = 60

# Events of each commit: positions 1 to 3, 4, 5 to 24, 25 to 28.
COMMITS = (3, 1, 20, 4)
HEAD = sum(COMMITS)
# In the commit of positions 5 to 24.
PLACE = 10

FLIP = "set_byte({0}, 5, get_byte({0}, 5) # 1)"
# What is made of each column at PLACE, and the first positions that are named.
EVENT_COLUMNS = {
    "originator_id": ("gen_random_uuid()", (5, 24)),
    "originator_version": ("2", (5, 24)),
    "topic": ("overlay(topic placing 'T' from 1)", (5, 24)),
    "state": (FLIP.format("state"), (10, 10)),
    "notification_id": ("1000", (10, 10)),
    "tenant": ("'acmf'", (5, 24)),
    "source": ("'tilk'", (5, 24)),
    "recorded_at": ("recorded_at + interval '1 microsecond'", (10, 10)),
    "received_at": ("received_at - interval '1 microsecond'", (5, 24)),
    "sent_at": ("recorded_at", (5, 24)),
    "content_digest": (FLIP.format("content_digest"), (5, 24)),
    "state_digest": (FLIP.format("state_digest"), (10, 10)),
    "traceparent": ("'x'", (5, 24)),
}
# The same of the seal of positions 5 to 24.
SEAL_COLUMNS = {
    "first_position": [("6", (5, 5)), ("4", (5, 5)), ("-5", (5, 5))],
    "last_position": [
        ("23", (5, 23)),
        ("25", (25, 25)),
        ("2", (5, 5)),
        ("-24", (5, 5)),
        ("1000", (5, 5)),
    ],
    "recorded_at": [
        ("recorded_at + interval '1 microsecond'", (5, 5)),
        ("'infinity'", (5, 5)),
        ("'4000-01-01 BC'", (5, 5)),
    ],
    "root": [(FLIP.format("root"), (5, 24)), ("''", (5, 24))],
    "chain": [(FLIP.format("chain"), (5, 24)), ("''", (5, 24))],
}
HEAD_COLUMNS = {
    "position": [("27", (28, 28)), ("29", (29, 29)), ("0", (1, 28))],
    "recorded_at": [("recorded_at - interval '1 microsecond'", (28, 28))],
    "chain": [(FLIP.format("chain"), (28, 28)), ("decode(repeat('00', 32), 'hex')", (28, 28))],
}


@pytest.fixture
async def journal(journal_pool: Pool) -> Journal:
    """A journal of four commits."""
    opened = await Journal.open(journal_pool, stopping=asyncio.Event())
    # Whoever may change everything can switch off what guards the head.
    await journal_pool.execute("ALTER TABLE journal.head DISABLE TRIGGER USER")
    number = 0
    for size in COMMITS:
        await append(opened, *(entry(f"event-{number + each}") for each in range(size)))
        number += size
    return opened


async def walked(pool: Pool, *checkpoints: Checkpoint, restored_from: str = "") -> Walked:
    async with pool.acquire() as connection:
        return await walk.walk(connection, checkpoints, restored_from=[restored_from])


async def named(pool: Pool, *checkpoints: Checkpoint) -> tuple[int, int] | None:
    """The first positions that `verify` names, or None where it finds nothing."""
    problem = (await walked(pool, *checkpoints)).problem
    return problem and (problem.first, problem.last)


async def checkpoint_at(pool: Pool, position: int) -> Checkpoint:
    chain = await pool.fetchval(
        "SELECT chain FROM journal.seals WHERE last_position = $1", position
    )
    journal_id = await pool.fetchval("SELECT journal_id FROM journal.head")
    return Checkpoint(f"at-{position}", str(journal_id), position, chain)


async def seal_anew(pool: Pool) -> None:
    """What somebody does who knows how sealing works."""
    await pool.execute("TRUNCATE journal.seals")
    await pool.execute(
        "UPDATE journal.head SET chain = $1, to_seal = true, "
        "position = (SELECT max(notification_id) FROM journal.stored_events), "
        "recorded_at = (SELECT max(recorded_at) FROM journal.stored_events)",
        NO_CHAIN,
    )
    await seal_unsealed(pool)


async def cut_off(pool: Pool, last: int) -> None:
    """Every trace of what came after the commit that ends at `last`."""
    await pool.execute("DELETE FROM journal.stored_events WHERE notification_id > $1", last)
    await pool.execute("DELETE FROM journal.seals WHERE last_position > $1", last)
    await pool.execute(
        "UPDATE journal.head SET (position, recorded_at, chain) = "
        "(SELECT last_position, recorded_at, chain FROM journal.seals WHERE last_position = $1)",
        last,
    )


async def test_an_untouched_journal_is_intact(journal: Journal, journal_pool: Pool) -> None:
    result = await walked(journal_pool, await checkpoint_at(journal_pool, 24))
    head = await journal_pool.fetchrow("SELECT journal_id, chain FROM journal.head")
    assert head is not None
    assert result == Walked(
        journal_id=head["journal_id"], position=HEAD, chain=head["chain"], commits=4, agreed=24
    )


async def test_an_empty_journal_is_intact(journal_pool: Pool) -> None:
    result = await walked(journal_pool)
    assert (0, 0, None) == (result.position, result.commits, result.problem)


async def test_all_kinds_of_values_are_intact(journal_pool: Pool) -> None:
    journal = await Journal.open(journal_pool, stopping=asyncio.Event())
    moment = datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    for number, state in enumerate((b"", b"\xff\xff", bytes(200_000), "ä".encode())):
        attempt = Attempt(
            tenant="Ämter",
            source="\u2014",
            received_at=moment if number % 2 else None,
            sent_at=None if number % 2 else moment,
            traceparent="",
        )
        await journal.append(encode(attempt, [entry(f"event-{number}")._replace(state=state)]))
    assert await named(journal_pool) is None


async def test_appends_that_go_on_meanwhile_do_no_harm(
    journal: Journal, journal_pool: Pool
) -> None:
    stop = asyncio.Event()

    async def publish() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await append(journal, entry(f"more-{number}"))

    publishing = asyncio.create_task(publish())
    positions = list[int]()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not positions or positions[-1] < HEAD + 20:
                result = await walked(journal_pool)
                assert result.problem is None
                positions.append(result.position)
    finally:
        stop.set()
        await publishing
    assert positions == sorted(positions)


@pytest.mark.parametrize("place", [PLACE, 4], ids=["among others", "alone in its commit"])
@pytest.mark.parametrize("column", EVENT_COLUMNS)
async def test_a_change_of_an_event_is_named(
    journal: Journal, journal_pool: Pool, column: str, place: int
) -> None:
    value, range_named = EVENT_COLUMNS[column]
    changed = await journal_pool.execute(
        f"UPDATE journal.stored_events SET {column} = {value} WHERE notification_id = {place}"
    )
    assert changed == "UPDATE 1"
    assert await named(journal_pool) == (range_named if place == PLACE else (4, 4))


@pytest.mark.parametrize("column", EVENT_COLUMNS)
async def test_an_emptied_column_of_an_event_is_named(
    journal: Journal, journal_pool: Pool, column: str
) -> None:
    await journal_pool.execute(
        f"ALTER TABLE journal.stored_events DROP CONSTRAINT stored_events_pkey, "
        f"ALTER COLUMN {column} DROP NOT NULL"
    )
    changed = await journal_pool.execute(
        f"UPDATE journal.stored_events SET {column} = NULL "
        f"WHERE notification_id = {PLACE} AND {column} IS NOT NULL"
    )
    if column == "sent_at":
        assert changed == "UPDATE 0"
    elif column == "notification_id":
        assert await named(journal_pool) == (0, 0)
    else:
        assert await named(journal_pool) == EVENT_COLUMNS[column][1]


@pytest.mark.parametrize("value", ["'infinity'", "'-infinity'", "'4000-01-01 BC'"])
@pytest.mark.parametrize("column", ["received_at", "recorded_at"])
async def test_a_time_that_python_cannot_hold_is_named(
    journal: Journal, journal_pool: Pool, column: str, value: str
) -> None:
    await journal_pool.execute(
        f"UPDATE journal.stored_events SET {column} = {value} WHERE notification_id = {PLACE}"
    )
    assert await named(journal_pool) == EVENT_COLUMNS[column][1]


@pytest.mark.parametrize(
    ("column", "value", "range_named"),
    [(column, *each) for column, cases in SEAL_COLUMNS.items() for each in cases],
)
async def test_a_change_of_a_seal_is_named(
    journal: Journal, journal_pool: Pool, column: str, value: str, range_named: tuple[int, int]
) -> None:
    changed = await journal_pool.execute(
        f"UPDATE journal.seals SET {column} = {value} WHERE last_position = 24"
    )
    assert changed == "UPDATE 1"
    assert await named(journal_pool) == range_named


@pytest.mark.parametrize("column", SEAL_COLUMNS)
async def test_an_emptied_column_of_a_seal_is_named(
    journal: Journal, journal_pool: Pool, column: str
) -> None:
    await journal_pool.execute(
        f"ALTER TABLE journal.seals DROP CONSTRAINT seals_pkey, ALTER COLUMN {column} DROP NOT NULL"
    )
    await journal_pool.execute(f"UPDATE journal.seals SET {column} = NULL WHERE last_position = 24")
    place = await named(journal_pool)
    assert place is not None
    assert place[0] == 5


@pytest.mark.parametrize(
    ("column", "value", "range_named"),
    [(column, *each) for column, cases in HEAD_COLUMNS.items() for each in cases],
)
async def test_a_change_of_the_head_is_named(
    journal: Journal, journal_pool: Pool, column: str, value: str, range_named: tuple[int, int]
) -> None:
    await journal_pool.execute(f"UPDATE journal.head SET {column} = {value}")
    assert await named(journal_pool) == range_named


async def test_another_journal_id_is_named_with_a_checkpoint(
    journal: Journal, journal_pool: Pool
) -> None:
    checkpoint = await checkpoint_at(journal_pool, 24)
    await journal_pool.execute("UPDATE journal.head SET journal_id = gen_random_uuid()")
    # The chain does not hold it: a restored journal has another id and the same events.
    assert await named(journal_pool) is None
    result = await walked(journal_pool, checkpoint)
    assert result.problem is not None
    assert checkpoint.journal_id in result.problem.what
    restored = await walked(journal_pool, checkpoint, restored_from=checkpoint.journal_id)
    assert (24, None) == (restored.agreed, restored.problem)


async def test_every_column_has_its_case(journal_pool: Pool) -> None:
    rows = await journal_pool.fetch(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'journal' AND table_name IN ('stored_events', 'seals', 'head')"
    )
    # The one row's own name says nothing of events; the journal's id is test_another_journal_id's; to_seal
    # says once that the first start has to seal; without a zero chain it does nothing.
    covered = {("head", "singleton"), ("head", "journal_id"), ("head", "to_seal")}
    for table, columns in (
        ("stored_events", EVENT_COLUMNS),
        ("seals", SEAL_COLUMNS),
        ("head", HEAD_COLUMNS),
    ):
        covered |= {(table, column) for column in columns}
    assert {tuple(row.values()) for row in rows} == covered


@pytest.mark.parametrize("place", [1, 4, PLACE, 24, HEAD])
async def test_a_deleted_event_is_named(journal: Journal, journal_pool: Pool, place: int) -> None:
    await journal_pool.execute(
        "DELETE FROM journal.stored_events WHERE notification_id = $1", place
    )
    assert await named(journal_pool) == (place, place)


async def test_deleted_neighbours_are_named_together(journal: Journal, journal_pool: Pool) -> None:
    await journal_pool.execute(
        "DELETE FROM journal.stored_events WHERE notification_id BETWEEN 12 AND 26"
    )
    assert await named(journal_pool) == (12, 26)


@pytest.mark.parametrize("place", [1, PLACE, HEAD])
async def test_a_deleted_event_is_named_where_all_later_ones_moved_up(
    journal: Journal, journal_pool: Pool, place: int
) -> None:
    await journal_pool.execute(
        "DELETE FROM journal.stored_events WHERE notification_id = $1", place
    )
    # Two steps, since each row's new position may be another one's old.
    for shift in (1000, -1001):
        await journal_pool.execute(
            "UPDATE journal.stored_events SET notification_id = notification_id + $1 "
            "WHERE notification_id > $2",
            shift,
            place,
        )
        await journal_pool.execute(
            "UPDATE journal.seals SET last_position = last_position + $1, "
            "first_position = CASE WHEN first_position > $2 THEN first_position + $1 "
            "ELSE first_position END WHERE last_position >= $2",
            shift,
            place,
        )
    await journal_pool.execute("UPDATE journal.head SET position = position - 1")
    commit = {1: (1, 2), PLACE: (5, 23), HEAD: (25, 27)}
    assert await named(journal_pool) == commit[place]


@pytest.mark.parametrize("head_moves", [False, True], ids=["head stays", "head moves"])
async def test_an_event_behind_the_head_is_named(
    journal: Journal, journal_pool: Pool, head_moves: bool
) -> None:
    await insert_copy(journal_pool, position=HEAD + 1)
    if head_moves:
        await journal_pool.execute("UPDATE journal.head SET position = position + 1")
    assert await named(journal_pool) == (29, 29)


async def test_an_event_with_a_seal_made_up_is_named(journal: Journal, journal_pool: Pool) -> None:
    await insert_copy(journal_pool, position=HEAD + 1)
    await journal_pool.execute(
        "INSERT INTO journal.seals SELECT 29, 29, recorded_at, root, chain "
        "FROM journal.seals WHERE last_position = 28"
    )
    await journal_pool.execute("UPDATE journal.head SET position = 29")
    assert await named(journal_pool) == (29, 29)


async def test_an_event_put_between_is_named(journal: Journal, journal_pool: Pool) -> None:
    for shift in (1000, -999):
        await journal_pool.execute(
            "UPDATE journal.stored_events SET notification_id = notification_id + $1 "
            "WHERE notification_id >= 10",
            shift,
        )
    await insert_copy(journal_pool, position=10, of=11)
    await journal_pool.execute("UPDATE journal.head SET position = position + 1")
    assert await named(journal_pool) == (5, 24)


@pytest.mark.parametrize("position", [-3, 0])
async def test_an_event_before_the_first_position_is_named(
    journal: Journal, journal_pool: Pool, position: int
) -> None:
    await insert_copy(journal_pool, position=position)
    assert await named(journal_pool) == (position, position)


@pytest.mark.parametrize("position", [1, PLACE, HEAD])
async def test_two_events_at_one_position_are_named(
    journal: Journal, journal_pool: Pool, position: int
) -> None:
    await journal_pool.execute("DROP INDEX journal.stored_events_notification_id_idx")
    await insert_copy(journal_pool, position=position)
    problem = (await walked(journal_pool)).problem
    assert problem is not None
    # Which of the two is read first is not known, so that the copy may show by itself.
    assert problem.first in (position, {1: 1, PLACE: 5, HEAD: 25}[position])


async def insert_copy(pool: Pool, *, position: int, of: int = HEAD) -> None:
    await pool.execute(
        "INSERT INTO journal.stored_events (originator_id, originator_version, topic, state, "
        "notification_id, tenant, source, recorded_at, content_digest, state_digest) "
        "SELECT gen_random_uuid(), 1, topic, state, $1, tenant, source, recorded_at, "
        "content_digest, state_digest FROM journal.stored_events WHERE notification_id = $2",
        position,
        of,
    )


@pytest.mark.parametrize(
    ("one", "other", "range_named"),
    [(10, 11, (5, 24)), (4, 10, (4, 4)), (10, 26, (10, 10))],
    ids=["in a commit", "of two commits", "of two others"],
)
async def test_events_that_changed_places_are_named(
    journal: Journal, journal_pool: Pool, one: int, other: int, range_named: tuple[int, int]
) -> None:
    for before, after in ((one, 1000), (other, one), (1000, other)):
        await journal_pool.execute(
            "UPDATE journal.stored_events SET notification_id = $2 WHERE notification_id = $1",
            before,
            after,
        )
    assert await named(journal_pool) == range_named


async def test_events_that_changed_places_and_times_are_named(
    journal: Journal, journal_pool: Pool
) -> None:
    times = {
        position: await journal_pool.fetchval(
            "SELECT recorded_at FROM journal.stored_events WHERE notification_id = $1", position
        )
        for position in (10, 26)
    }
    for before, after, recorded_at in (
        (10, 1000, times[26]),
        (26, 10, times[10]),
        (1000, 26, times[26]),
    ):
        await journal_pool.execute(
            "UPDATE journal.stored_events SET notification_id = $2, recorded_at = $3 "
            "WHERE notification_id = $1",
            before,
            after,
            recorded_at,
        )
    assert await named(journal_pool) == (5, 24)


async def test_events_that_changed_tenants_are_named(journal: Journal, journal_pool: Pool) -> None:
    await journal.append(
        encode(
            Attempt(tenant="other", source="till", received_at=None, sent_at=None, traceparent=""),
            [entry("theirs", tenant="other")],
        )
    )
    assert await named(journal_pool) is None
    await journal_pool.execute(
        "UPDATE journal.stored_events SET tenant = CASE tenant WHEN 'acme' THEN 'other' "
        "ELSE 'acme' END WHERE notification_id IN (10, 29)"
    )
    assert await named(journal_pool) == (5, 24)


@pytest.mark.parametrize("last", [3, 4, 24, 28])
async def test_a_deleted_seal_is_named(journal: Journal, journal_pool: Pool, last: int) -> None:
    await journal_pool.execute("DELETE FROM journal.seals WHERE last_position = $1", last)
    first = {3: 1, 4: 4, 24: 5, 28: 25}[last]
    # Of the last one all is known that its seal should cover.
    assert await named(journal_pool) == (first, 28 if last == 28 else first)


@pytest.mark.parametrize(
    ("first", "last"), [(29, 30), (10, 12), (12, 10), (-3, -2), (0, 0), (29, -5)]
)
async def test_a_seal_too_many_is_named(
    journal: Journal, journal_pool: Pool, first: int, last: int
) -> None:
    await journal_pool.execute(
        "INSERT INTO journal.seals SELECT $2, $1, recorded_at, root, chain "
        "FROM journal.seals WHERE last_position = 28",
        first,
        last,
    )
    assert await named(journal_pool) is not None


@pytest.mark.parametrize("page_seals", [1, 3, 4, 5])
@pytest.mark.parametrize("last", ["24", "28", "NULL"])
async def test_a_seal_that_repeats_an_end_or_has_none_is_named(
    journal: Journal,
    journal_pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    last: str,
    page_seals: int,
) -> None:
    monkeypatch.setattr(walk, "PAGE_SEALS", page_seals)
    assert await named(journal_pool) is None
    await journal_pool.execute(
        "ALTER TABLE journal.seals DROP CONSTRAINT seals_pkey, "
        "ALTER COLUMN last_position DROP NOT NULL"
    )
    await journal_pool.execute(
        f"INSERT INTO journal.seals SELECT {last}, first_position, recorded_at, root, chain "
        "FROM journal.seals WHERE last_position = 28"
    )
    assert await named(journal_pool) is not None


@pytest.mark.parametrize("table", ["head", "seals", "stored_events"])
async def test_a_view_in_the_place_of_a_table_is_named(
    journal: Journal, journal_pool: Pool, table: str
) -> None:
    await journal_pool.execute(f"ALTER TABLE journal.{table} RENAME TO aside")
    await journal_pool.execute(f"CREATE VIEW journal.{table} AS SELECT * FROM journal.aside")
    problem = (await walked(journal_pool)).problem
    assert problem is not None
    assert f"journal.{table} is no table" in problem.what


async def test_partitions_of_events_are_a_table(journal: Journal, journal_pool: Pool) -> None:
    await journal_pool.execute("ALTER TABLE journal.stored_events RENAME TO stored_events_default")
    await journal_pool.execute(
        "CREATE TABLE journal.stored_events (LIKE journal.stored_events_default) "
        "PARTITION BY RANGE (originator_id)"
    )
    await journal_pool.execute(
        "ALTER TABLE journal.stored_events ATTACH PARTITION journal.stored_events_default DEFAULT"
    )
    assert await named(journal_pool) is None


async def test_a_missing_head_is_named(journal: Journal, journal_pool: Pool) -> None:
    await journal_pool.execute("DELETE FROM journal.head")
    assert await named(journal_pool) == (28, 28)


@pytest.mark.parametrize("last", [24, 26])
async def test_events_cut_off_without_their_seal_are_named(
    journal: Journal, journal_pool: Pool, last: int
) -> None:
    await journal_pool.execute("DELETE FROM journal.stored_events WHERE notification_id > $1", last)
    assert await named(journal_pool) == (last + 1, 28)
    await journal_pool.execute("UPDATE journal.head SET position = $1", last)
    assert await named(journal_pool) == (last + 1, 28)


async def test_events_cut_off_with_their_seal_are_named(
    journal: Journal, journal_pool: Pool
) -> None:
    await journal_pool.execute("DELETE FROM journal.stored_events WHERE notification_id > 24")
    await journal_pool.execute("DELETE FROM journal.seals WHERE last_position > 24")
    assert await named(journal_pool) == (25, 28)


async def test_a_tail_cut_off_without_a_trace_is_named_with_a_checkpoint_alone(
    journal: Journal, journal_pool: Pool
) -> None:
    checkpoints = [await checkpoint_at(journal_pool, each) for each in (3, 28)]
    await cut_off(journal_pool, 24)
    assert await named(journal_pool) is None
    assert await named(journal_pool, checkpoints[0]) is None
    assert await named(journal_pool, *checkpoints) == (25, 28)
    await append(journal, *(entry(f"new-{each}") for each in range(4)))
    assert await named(journal_pool) is None
    # What is proven is that the first checkpoint still holds.
    assert await named(journal_pool, *checkpoints) == (4, 28)


async def test_a_journal_sealed_anew_is_named_with_a_checkpoint_alone(
    journal: Journal, journal_pool: Pool
) -> None:
    checkpoints = [await checkpoint_at(journal_pool, each) for each in (4, 24, 28)]
    await journal_pool.execute(
        "UPDATE journal.stored_events SET tenant = 'other' WHERE notification_id = $1", PLACE
    )
    await seal_anew(journal_pool)
    assert await named(journal_pool) is None
    assert await named(journal_pool, *checkpoints) == (5, 24)
    assert await named(journal_pool, checkpoints[2], checkpoints[0]) == (5, 28)
    assert await named(journal_pool, checkpoints[2]) == (1, 28)


async def test_a_time_before_the_commit_before_is_named_though_it_is_sealed(
    journal: Journal, journal_pool: Pool
) -> None:
    await journal_pool.execute(
        "UPDATE journal.stored_events SET recorded_at = '2001-01-01Z' "
        "WHERE notification_id BETWEEN 5 AND 24"
    )
    await seal_anew(journal_pool)
    assert await named(journal_pool) == (5, 24)


async def test_a_checkpoint_between_the_ends_of_commits_is_named(
    journal: Journal, journal_pool: Pool
) -> None:
    checkpoint = await checkpoint_at(journal_pool, 24)
    assert await named(journal_pool, checkpoint._replace(position=23)) == (1, 23)


@pytest.mark.parametrize("page_events", [1, 7, 20])
@pytest.mark.parametrize("page_seals", [1, 2, 3])
async def test_pages_of_any_size_find_the_same(
    journal: Journal,
    journal_pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    page_events: int,
    page_seals: int,
) -> None:
    monkeypatch.setattr(walk, "PAGE_EVENTS", page_events)
    monkeypatch.setattr(walk, "PAGE_SEALS", page_seals)
    assert await named(journal_pool) is None
    await journal_pool.execute(
        "UPDATE journal.stored_events SET state = 'x' WHERE notification_id = 26"
    )
    assert await named(journal_pool) == (26, 26)


async def test_rows_are_the_same_in_pieces_of_any_size(
    journal: Journal, journal_pool: Pool
) -> None:
    sent = bytearray()

    async def collect(data: bytes) -> None:
        sent.extend(data)

    async with journal_pool.acquire() as connection:
        await stored_rows.read(connection, 0, HEAD, collect)
    rows = list(StoredRows().feed(bytes(sent)))
    assert [row.position for row in rows] == list(range(1, HEAD + 1))
    for size in (1, 7, 100):
        reader, found = StoredRows(), list[StoredRow]()
        for start in range(0, len(sent), size):
            found += reader.feed(bytes(sent[start : start + size]))
        assert found == rows


async def proof_of(pool: Pool, position: int, until: Checkpoint | None = None) -> dict[str, Any]:
    async with pool.acquire() as connection:
        made = await proof.prove(connection, position, until=until)
    as_json: dict[str, Any] = json.loads(json.dumps(made))
    return as_json


Checks = Callable[[dict[str, Any], Checkpoint], bool]


@pytest.fixture
def checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checks:
    """What check_proof.py says of a proof, run as it stands."""

    def run(made: dict[str, Any], checkpoint: Checkpoint) -> bool:
        proof_file, checkpoint_file = tmp_path / "proof.json", tmp_path / "checkpoint"
        proof_file.write_text(json.dumps(made))
        chain = base64.b64encode(checkpoint.chain).decode()
        checkpoint_file.write_text(
            f"{ORIGIN}{checkpoint.journal_id}\n{checkpoint.position}\n{chain}\n\nsignatures\n"
        )
        monkeypatch.setattr(sys, "argv", ["", str(proof_file), str(checkpoint_file)])
        try:
            runpy.run_path(str(CHECK_PROOF))
        except (SystemExit, ValueError, TypeError, OverflowError, KeyError):
            return False
        return True

    return run


@pytest.mark.parametrize("position", [1, 2, 3, 4, 5, 20, 21, 24, 25, HEAD])
async def test_a_proof_of_any_event_holds(
    journal: Journal, journal_pool: Pool, checks: Checks, position: int
) -> None:
    last = await checkpoint_at(journal_pool, HEAD)
    assert checks(await proof_of(journal_pool, position), last)
    earlier = await checkpoint_at(
        journal_pool, next(each for each in (3, 4, 24, HEAD) if each >= position)
    )
    assert checks(await proof_of(journal_pool, position, earlier), earlier)


async def test_a_proof_in_a_large_commit_holds(journal_pool: Pool, checks: Checks) -> None:
    journal = await Journal.open(journal_pool, stopping=asyncio.Event())
    await append(journal, *(entry(f"event-{each}") for each in range(300)))
    last = await checkpoint_at(journal_pool, 300)
    for position in (1, 16, 17, 256, 257, 289, 300):
        assert checks(await proof_of(journal_pool, position), last)


def altered(value: Any) -> list[Any]:
    """Every JSON that differs from this one in one value, or by one item of a list left out."""
    if isinstance(value, dict):
        return [{**value, name: new} for name, old in value.items() for new in altered(old)]
    if isinstance(value, list):
        changed = [
            [*value[:index], new, *value[index + 1 :]]
            for index, old in enumerate(value)
            for new in altered(old)
        ]
        return changed + [value[:index] + value[index + 1 :] for index in range(len(value))]
    if value is None:
        return ["2026-08-03T10:00:00+00:00", ""]
    if isinstance(value, int):
        return [value + 1, value - 1]
    digit = "1" if value[-1:] == "0" else "0"
    return [value[:-1] + digit, value + "00", None]


async def test_an_altered_proof_does_not_hold(
    journal: Journal, journal_pool: Pool, checks: Checks
) -> None:
    last = await checkpoint_at(journal_pool, HEAD)
    made = await proof_of(journal_pool, PLACE)
    alterations = altered(made)
    assert len(alterations) > 100
    assert [] == [each for each in alterations if checks(each, last)]
    assert checks(made, last)


async def test_a_proof_does_not_hold_for_another_position_or_name(
    journal: Journal, journal_pool: Pool, checks: Checks
) -> None:
    last = await checkpoint_at(journal_pool, HEAD)
    made = await proof_of(journal_pool, 5)
    [first_group, second_group] = made["commit"]["path"]
    # The same bytes in other groups: the first hash would be found at another place.
    joined = "".join(first_group)
    shifted = ["", joined[:64], *first_group[1:-2], first_group[-2] + first_group[-1]]
    assert "".join(shifted) == joined
    path = [shifted, second_group]
    moved = {**made, "position": 6, "commit": {**made["commit"], "path": path}}
    assert not checks(moved, last)
    event = made["event"]
    swapped = {**event, "tenant": event["source"], "source": event["tenant"]}
    assert not checks({**made, "event": swapped}, last)
    relabelled = {
        {"tenant": "source", "source": "tenant"}.get(name, name): value
        for name, value in event.items()
    }
    assert not checks({**made, "event": relabelled}, last)


async def test_a_proof_does_not_hold_for_a_position_outside_of_its_commit(
    journal: Journal, journal_pool: Pool, checks: Checks
) -> None:
    # One full group: before it, places counted from the end would be found.
    await append(journal, *(entry(f"more-{each}") for each in range(16)))
    last = await checkpoint_at(journal_pool, HEAD + 16)
    made = await proof_of(journal_pool, HEAD + 16)
    assert checks(made, last)
    for position in (HEAD, HEAD + 32, HEAD + 17):
        assert not checks({**made, "position": position}, last)


async def test_a_proof_does_not_hold_for_another_checkpoint(
    journal: Journal, journal_pool: Pool, checks: Checks
) -> None:
    last = await checkpoint_at(journal_pool, HEAD)
    made = await proof_of(journal_pool, PLACE)
    assert not checks(made, await checkpoint_at(journal_pool, 24))
    assert not checks(made, last._replace(chain=bytes(32)))
    assert not checks(made, last._replace(journal_id=str(UUID(int=0))))


async def test_no_proof_is_made_of_what_is_not_as_sealed(
    journal: Journal, journal_pool: Pool
) -> None:
    checkpoint = await checkpoint_at(journal_pool, HEAD)
    with pytest.raises(Corrupt):
        await proof_of(journal_pool, PLACE, checkpoint._replace(chain=bytes(32)))
    await journal_pool.execute(
        "UPDATE journal.seals SET recorded_at = '4000-01-01 BC' WHERE last_position = 28"
    )
    with pytest.raises(Corrupt):
        await proof_of(journal_pool, PLACE)
    await journal_pool.execute(
        "UPDATE journal.stored_events SET state = 'x' WHERE notification_id = 4"
    )
    with pytest.raises(Corrupt):
        await proof_of(journal_pool, 4, await checkpoint_at(journal_pool, 24))
    await journal_pool.execute("DELETE FROM journal.stored_events WHERE notification_id = 11")
    with pytest.raises(Corrupt):
        await proof_of(journal_pool, PLACE, await checkpoint_at(journal_pool, 24))


async def test_a_proof_of_nothing_is_not_found(journal: Journal, journal_pool: Pool) -> None:
    with pytest.raises(NotFound):
        await proof_of(journal_pool, HEAD + 1)
    known, unknown = originator_ids("acme", "till", ["event-9", "event-99"])
    async with journal_pool.acquire() as connection:
        assert await proof.position_of(connection, known) == PLACE
        with pytest.raises(NotFound):
            await proof.position_of(connection, unknown)


async def test_a_checked_proof_says_whose_event_it_is(
    journal: Journal, journal_pool: Pool, checks: Checks, capsys: pytest.CaptureFixture[str]
) -> None:
    last = await checkpoint_at(journal_pool, HEAD)
    made = await proof_of(journal_pool, PLACE)
    assert checks(made, last)
    told = capsys.readouterr().out
    [stream] = originator_ids("acme", "till", ["event-9"])
    for part in (f"position {PLACE} ", "tenant='acme'", "source='till'", stream.hex()):
        assert part in told
    assert f"topic={made['event']['topic']!r}" in told
    assert checks(await proof_of(journal_pool, PLACE + 1), last)
    assert stream.hex() not in capsys.readouterr().out


def test_the_manual_shows_the_script_as_it_is() -> None:
    manual = (ROOT / "services" / "touchpoint" / "PROOFS.md").read_text()
    assert f"```python\n{CHECK_PROOF.read_text()}```" in manual
