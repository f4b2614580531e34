"""The release before and this one work together on one database, in both directions."""

import asyncio
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg

from tests.support.events import csat, event, feedback, nps
from tests.support.sealed import assert_sealed
from tests.upgrade.conftest import System
from touchledger.v1 import events_pb2, ingest_pb2

RECORDED = ingest_pb2.DISPOSITION_RECORDED
DUPLICATE = ingest_pb2.DISPOSITION_DUPLICATE
QUARANTINED = ingest_pb2.DISPOSITION_QUARANTINED
OLD, NEW = True, False
TOUCHPOINTS = [f"store.{name}" for name in ("entrance", "advice", "checkout")]
BATCH = 20
BATCHES_BETWEEN = 5
DEADLINE_SECONDS = 60


def some_events(first: int, count: int = 60) -> list[events_pb2.Event]:
    choice = random.Random(first)
    made = []
    for number in range(first, first + count):
        envelope: dict[str, object] = {
            "event_id": f"event-{number}",
            "touchpoint": choice.choice(TOUCHPOINTS),
            "customer": f"customer {choice.randrange(20)}",
            "occurred_at": f"2026-08-{choice.randint(1, 9):02}T10:15:30Z",
        }
        if choice.random() < 0.5:
            made.append(event(**envelope))
        else:
            signals = csat(str(choice.randint(1, 5))), nps(str(choice.randint(0, 10)))
            made.append(feedback(*signals, **envelope))
    return made


def all_of(system: System, *, old: bool) -> None:
    for name in ("touchpoint", "scoring", "gateway"):
        system.start(name, old=old)


def assert_whole(system: System) -> None:
    """Dense, each once where it was answered, and as it was sealed."""
    rows = system.fetch(
        "touchpoint", "SELECT notification_id FROM journal.stored_events ORDER BY 1"
    )
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    recorded = {
        each.position.number for each in system.answers.values() if each.disposition == RECORDED
    }
    assert recorded <= set(range(1, len(rows) + 1))

    async def sealed() -> None:
        connection = await asyncpg.connect(system.urls["touchpoint"])
        try:
            await assert_sealed(connection)
        finally:
            await connection.close()

    asyncio.run(sealed())


def test_this_release_goes_on_with_what_the_release_before_has_stored(system: System) -> None:
    all_of(system, old=OLD)
    bad = feedback(csat("9"), event_id="bad")
    assert {RECORDED} == set(system.publish(*some_events(0)))
    assert [QUARANTINED] == system.publish(bad)
    position, then = system.head(), system.scores()
    key = system.metadata
    assert {RECORDED} == set(system.publish(*some_events(60)))
    later = system.scores()

    all_of(system, old=NEW)

    assert key == system.metadata
    assert then == _known(system.scores(as_of=position), then)
    assert later == _known(system.scores(), later)
    assert {DUPLICATE} == set(system.publish(*some_events(0)))
    assert [QUARANTINED] == system.publish(bad)
    assert 1 == system.fetch("gateway", "SELECT count(*) FROM gateway.quarantine")[0][0]
    assert_whole(system)


def test_services_of_both_releases_append_to_one_journal_and_know_each_other_s_events(
    system: System,
) -> None:
    all_of(system, old=OLD)
    system.publish(*some_events(0))
    # It migrates, under the hands of the old one.
    new = system.beside("touchpoint", old=NEW)
    assert {RECORDED} == set(system.publish(*some_events(60)))
    old_address, system.addresses["touchpoint"] = system.addresses["touchpoint"], new.address
    # A gateway and a scoring service of the release before, on this release's journal.
    system.start("scoring", old=OLD)
    system.start("gateway", old=OLD)
    assert {DUPLICATE} == set(system.publish(*some_events(60)))
    assert {RECORDED} == set(system.publish(*some_events(120)))
    by_old = system.scores()
    # And a gateway of this release on the journal of the one before.
    system.addresses["touchpoint"] = old_address
    system.start("gateway", old=NEW)
    assert {DUPLICATE} == set(system.publish(*some_events(120)))
    assert {RECORDED} == set(system.publish(*some_events(180)))
    # Read models of this release, from the journal of the one before.
    system.start("scoring", old=NEW)
    assert by_old == _known(system.scores(as_of=180), by_old)
    assert 240 == system.head()
    assert_whole(system)


def test_publishers_lose_nothing_while_services_are_replaced_one_by_one_under_load(
    system: System,
) -> None:
    all_of(system, old=OLD)
    with _load(system) as more:
        for name in ("touchpoint", "scoring", "gateway"):
            more()
            system.start(name, old=NEW)
        more()
    assert Counter(each.disposition for each in system.answers.values()).keys() <= {
        RECORDED,
        DUPLICATE,
    }
    assert len(system.answers) == system.head()
    assert_whole(system)


def test_a_service_of_the_release_before_refuses_to_start_on_this_schema_and_changes_nothing(
    system: System,
) -> None:
    """It knows no expansions yet: until it is replaced as a whole, what runs of it goes on."""
    all_of(system, old=NEW)
    system.publish(*some_events(0))
    old = system.service("touchpoint", old=OLD)
    old.start()
    assert old.process is not None
    assert old.process.wait(DEADLINE_SECONDS) == 1
    assert "the database belongs to a newer release" in old.log.read_text().splitlines()[-1]
    assert {RECORDED} == set(system.publish(*some_events(60)))
    assert_whole(system)


def test_a_restored_journal_of_the_release_before_is_declared_and_served(system: System) -> None:
    all_of(system, old=OLD)
    system.publish(*some_events(0))
    then = system.scores()
    for name in ("gateway", "scoring", "touchpoint"):
        assert system.running.pop(name).stop() == 0

    run = subprocess.run(
        [sys.executable, "-m", "services.cli", "mend"],
        env={
            **os.environ,
            "TOUCHLEDGER_TOUCHPOINT_DATABASE_URL": system.urls["touchpoint"],
            "TOUCHLEDGER_SCORING_DATABASE_URL": system.urls["scoring"],
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert "It ends at position 60" in run.stdout
    all_of(system, old=NEW)
    assert then == _known(system.scores(), then)
    assert_whole(system)


def _known(
    scores: list[dict[str, object]], then: list[dict[str, object]]
) -> list[dict[str, object]]:
    """What the release before knew of them: this one may tell more."""
    return [{name: row[name] for name in known} for row, known in zip(scores, then, strict=True)]


@contextmanager
def _load(system: System) -> Iterator[Callable[[], None]]:
    """Publishes on and on; what is yielded waits for more answers."""
    stop, came = threading.Event(), threading.Semaphore(0)
    failures = list[BaseException]()

    def publish() -> None:
        first = 0
        try:
            while not stop.is_set():
                system.publish(*some_events(first, BATCH))
                first += BATCH
                came.release()
        except BaseException as error:
            failures.append(error)

    def more() -> None:
        for _ in range(BATCHES_BETWEEN):
            assert came.acquire(timeout=DEADLINE_SECONDS), failures

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield more
    finally:
        stop.set()
        thread.join(DEADLINE_SECONDS)
    assert not failures
