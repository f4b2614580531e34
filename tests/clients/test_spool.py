"""What a till has recorded waits in its file: in order, bounded, counted, through kills and bad disks."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from touchledger_client.spool import (
    EVENT_BYTES_MAX,
    Settled,
    Spool,
    SpoolCorrupt,
    SpoolCounts,
    SpoolError,
    SpoolInUse,
    SpoolLimits,
)

from tests.clients.conftest import CLIENT
from tests.support.events import event
from touchledger.v1 import events_pb2, ingest_pb2, problem_pb2

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CLIENT)}
RECORDED = ingest_pb2.DISPOSITION_RECORDED
REJECTED = ingest_pb2.DISPOSITION_REJECTED
BAD = problem_pb2.Problem(code="VALUE_OUTSIDE_SCALE", field="x", got="9", want="1 to 5")
KILLS = 5
DEADLINE_SECONDS = 30


@dataclass
class Clocks:
    """The wall's and the one that only goes on."""

    wall: float = 1_785_751_200.0
    monotonic: float = 0.0


@contextmanager
def opened(
    path: Path, clocks: Clocks | None = None, limits: SpoolLimits | None = None
) -> Iterator[Spool]:
    clocks = clocks or Clocks()
    spool = Spool(
        path, limits=limits, clock=lambda: clocks.wall, monotonic=lambda: clocks.monotonic
    )
    try:
        yield spool
    finally:
        spool.close()


def waiting(spool: Spool) -> list[str]:
    """The ids of what waits, in order."""
    found = spool.first(events_max=100_000, bytes_max=2**40)
    assert all(each.sound for each in found)
    return [events_pb2.Event.FromString(each.content).event_id for each in found]


def settle(spool: Spool, disposition: int, count: int) -> None:
    found = spool.first(events_max=count, bytes_max=2**40)
    spool.settle([Settled(each, disposition, BAD) for each in found])


def child(code: str, path: Path) -> list[str]:
    return [sys.executable, "-c", code, str(path)]


def run_to_its_end(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        child(code, path),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def accounted_for(counts: SpoolCounts) -> int:
    ended = counts.recorded + counts.queued + counts.duplicate + counts.quarantined
    return counts.waiting + ended + counts.rejected + counts.evicted


def filled(path: Path, *event_ids: str) -> Path:
    with opened(path) as spool:
        spool.add([event(event_id=each) for each in event_ids])
    return path


def test_what_was_added_waits_in_order_after_a_restart(tmp_path: Path) -> None:
    path = filled(tmp_path / "till.spool", "c", "a", "b")
    with opened(path) as spool:
        spool.add([event(event_id="d")])
        assert waiting(spool) == ["c", "a", "b", "d"]
        assert spool.counts().waiting == 4


def test_an_event_is_kept_as_it_was_given(tmp_path: Path) -> None:
    given = event(event_id="a", customer="customer 17", personal={"comment": "Quick."})
    with opened(tmp_path / "till.spool") as spool:
        assert spool.add([given]) == ["a"]
        [kept] = spool.first(events_max=1, bytes_max=1)
    assert events_pb2.Event.FromString(kept.content) == given


def test_an_event_without_id_and_time_gets_both_and_the_callers_own_stays_as_it_is(
    tmp_path: Path,
) -> None:
    given = events_pb2.Event(touchpoint="store.checkout")
    with opened(tmp_path / "till.spool", Clocks(wall=1_785_751_200.25)) as spool:
        [event_id] = spool.add([given])
        [kept] = spool.first(events_max=1, bytes_max=1)
    stored = events_pb2.Event.FromString(kept.content)
    assert given == events_pb2.Event(touchpoint="store.checkout")
    assert stored.event_id == event_id != ""
    assert stored.occurred_at.ToNanoseconds() == 1_785_751_200_250_000_000


def test_ids_ascend_over_restarts_with_a_clock_that_goes_back(tmp_path: Path) -> None:
    event_ids = list[str]()
    for wall in (1_785_751_200.0, 0.0, 1_785_751_199.0, -1e12, 1_785_751_201.0):
        with opened(tmp_path / "till.spool", Clocks(wall=wall)) as spool:
            event_ids += spool.add([events_pb2.Event()] * 3)
            settle(spool, RECORDED, 3)
    assert all(earlier < later for earlier, later in pairwise(event_ids))


def test_a_batch_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    large = event(event_id="b", personal={"comment": "x" * EVENT_BYTES_MAX})
    with opened(tmp_path / "till.spool") as spool:
        with pytest.raises(ValueError, match=f"want at most {EVENT_BYTES_MAX}"):
            spool.add([event(event_id="a"), large])
        assert waiting(spool) == []
        assert spool.add([event(event_id="c")]) == ["c"]
        assert accounted_for(spool.counts()) == 1


def test_the_first_events_are_as_many_as_fit_and_at_least_one(tmp_path: Path) -> None:
    with opened(tmp_path / "till.spool") as spool:
        spool.add([event(event_id=each) for each in "abcd"])
        [one] = spool.first(events_max=3, bytes_max=1)
        size = len(one.content)
        assert len(spool.first(events_max=3, bytes_max=2 * size)) == 2
        assert len(spool.first(events_max=3, bytes_max=9 * size)) == 3


OPENS = """
import sys
from touchledger_client.spool import Spool, SpoolInUse
try:
    Spool(sys.argv[1])
except SpoolInUse:
    print("in use")
"""


def test_a_second_opener_is_told_that_the_file_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "till.spool"
    with opened(path) as spool:
        with pytest.raises(SpoolInUse, match="in use"), opened(path):
            pass
        spool.add([event(event_id="a")])
        run = run_to_its_end(OPENS, path)
        assert (run.stdout, run.stderr) == ("in use\n", "")
        assert waiting(spool) == ["a"]


FORKS = """
import os, sys
from touchledger.v1 import events_pb2
from touchledger_client.spool import Spool, SpoolError
spool = Spool(sys.argv[1])
spool.add([events_pb2.Event(event_id="a")])
if os.fork() == 0:
    try:
        spool.add([events_pb2.Event(event_id="b")])
    except SpoolError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
spool.add([events_pb2.Event(event_id="c")])
"""


def test_a_child_of_fork_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "till.spool"
    run = run_to_its_end(FORKS, path)
    assert "opened before a fork" in run.stdout
    assert (run.returncode, run.stderr) == (0, "")
    with opened(path) as spool:
        assert waiting(spool) == ["a", "c"]


def test_beyond_so_many_events_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    with opened(tmp_path / "till.spool", limits=SpoolLimits(events_max=3)) as spool:
        spool.add([event(event_id=each) for each in "ab"])
        spool.add([event(event_id=each) for each in "cde"])
        assert waiting(spool) == ["c", "d", "e"]
        counts = spool.counts()
    assert (counts.evicted, counts.waiting, accounted_for(counts)) == (2, 3, 5)


def test_beyond_so_many_bytes_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    size = event(event_id="a").ByteSize()
    limits = SpoolLimits(bytes_max=3 * size)
    with opened(tmp_path / "till.spool", limits=limits) as spool:
        spool.add([event(event_id=each) for each in "abcd"])
        assert waiting(spool) == ["b", "c", "d"]
        counts = spool.counts()
    assert (counts.evicted, counts.waiting_bytes, accounted_for(counts)) == (1, 3 * size, 4)


def test_what_has_waited_too_long_goes_and_is_counted_over_restarts(tmp_path: Path) -> None:
    path, limits = tmp_path / "till.spool", SpoolLimits(age_seconds_max=100.0)
    clocks = Clocks()
    with opened(path, clocks, limits) as spool:
        spool.add([event(event_id="a")])
        clocks.monotonic += 60
        spool.add([event(event_id="b")])
    # Another boot: that clock begins anew.
    clocks.monotonic = 0.0
    with opened(path, clocks, limits) as spool:
        clocks.monotonic += 39
        assert waiting(spool) == ["a", "b"]
        clocks.monotonic += 2
        assert waiting(spool) == ["b"]
        counts = spool.counts()
    assert (counts.evicted, accounted_for(counts)) == (1, 2)


def test_age_goes_on_in_a_spool_that_only_waits_and_is_killed(tmp_path: Path) -> None:
    path, limits = tmp_path / "till.spool", SpoolLimits(age_seconds_max=100.0)
    filled(path, "a")
    for _ in range(3):
        clocks = Clocks()
        with opened(path, clocks, limits) as spool:
            clocks.monotonic += 61
            left = waiting(spool)
            # What nobody tells the spool any more after a kill.
            clocks.monotonic += 10**6
    assert left == []


def test_a_wall_clock_that_is_put_right_by_decades_costs_no_event(tmp_path: Path) -> None:
    clocks = Clocks(wall=0.0)
    with opened(tmp_path / "till.spool", clocks) as spool:
        spool.add([event(event_id="a")])
        clocks.wall = 1_785_751_200.0
        spool.add([event(event_id="b")])
        assert waiting(spool) == ["a", "b"]


def test_a_late_answer_never_settles_another_event_than_its_own(tmp_path: Path) -> None:
    with opened(tmp_path / "till.spool", limits=SpoolLimits(events_max=1)) as spool:
        spool.add([event(event_id="a")])
        under_way = spool.first(events_max=1, bytes_max=1)
        spool.add([event(event_id="b")])
        settle(spool, RECORDED, 1)
        spool.add([event(event_id="c")])
        spool.settle([Settled(each, RECORDED, BAD) for each in under_way])
        assert waiting(spool) == ["c"]
        counts = spool.counts()
    assert (counts.evicted, counts.recorded, accounted_for(counts)) == (1, 1, 3)


def test_rejected_events_are_kept_with_their_problem_until_somebody_forgets_them(
    tmp_path: Path,
) -> None:
    path = filled(tmp_path / "till.spool", "a", "b")
    with opened(path) as spool:
        settle(spool, REJECTED, 2)
    with opened(path) as spool:
        first, second = spool.rejected(10)
        assert events_pb2.Event.FromString(first.content).event_id == "a"
        assert (first.problem, spool.counts().rejected_kept) == (BAD, 2)
        spool.forget_rejected([first.number])
        assert spool.rejected(10) == [second]
        counts = spool.counts()
    assert (counts.rejected, counts.rejected_kept, counts.rejected_dropped) == (2, 1, 0)


@pytest.mark.parametrize(
    "limits",
    [
        SpoolLimits(rejected_events_max=2),
        SpoolLimits(rejected_bytes_max=2 * event(event_id="a").ByteSize()),
    ],
    ids=["events", "bytes"],
)
def test_the_oldest_rejected_events_make_room_and_are_counted(
    tmp_path: Path, limits: SpoolLimits
) -> None:
    with opened(tmp_path / "till.spool", limits=limits) as spool:
        spool.add([event(event_id=each) for each in "abcde"])
        settle(spool, REJECTED, 3)
        settle(spool, REJECTED, 2)
        kept = [events_pb2.Event.FromString(each.content).event_id for each in spool.rejected(10)]
        counts = spool.counts()
    assert kept == ["d", "e"]
    assert (counts.rejected, counts.rejected_kept, counts.rejected_dropped) == (5, 2, 3)


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    path = filled(tmp_path / "till.spool", "a")
    with opened(path) as spool:
        spool.add([event(event_id="b")])
        modes = {each.name: oct(each.stat().st_mode & 0o777) for each in tmp_path.iterdir()}
    assert modes == {"till.spool": "0o600", "till.spool-wal": "0o600"}


def test_what_was_published_leaves_no_trace_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "till.spool"
    with opened(path) as spool:
        spool.add([event(personal={"comment": "MY-OWN-WORDS"})] * 50)
    assert b"MY-OWN-WORDS" in path.read_bytes()
    with opened(path) as spool:
        settle(spool, RECORDED, 50)
    assert [each.name for each in tmp_path.iterdir()] == ["till.spool"]
    assert b"MY-OWN-WORDS" not in path.read_bytes()


def test_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    # A kill can't tell: the kernel writes what a dead process had handed over.
    with opened(tmp_path / "till.spool") as spool:
        [[mode]] = spool._read("PRAGMA journal_mode")
        [[synchronous]] = spool._read("PRAGMA synchronous")
        [[on_macos]] = spool._read("PRAGMA fullfsync")
    assert (mode, synchronous, on_macos) == ("wal", 2, 1)


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def something_else(path: Path) -> None:
    path.write_bytes(b"not a spool " * 1000)


def half(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def a_page_overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 2 * 4096)
        file.write(os.urandom(2 * 4096))


@pytest.mark.parametrize("damage", [nothing, something_else, half, a_page_overwritten])
def test_a_damaged_file_is_told_and_moved_aside_whole(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    path = filled(tmp_path / "till.spool", *(f"event-{number}" for number in range(500)))
    damage(path)
    damaged = path.read_bytes()
    aside = tmp_path / "till.spool.corrupt-1"
    with pytest.raises(SpoolCorrupt, match=r"damaged, moved to .*till\.spool\.corrupt-1") as told:
        Spool(path)
    assert told.value.moved_to == aside
    assert aside.read_bytes() == damaged
    with opened(path) as spool:
        assert waiting(spool) == []
        assert spool.counts().moved_aside == (aside,)
        spool.add([event(event_id="b")])
    something_else(path)
    with pytest.raises(SpoolCorrupt, match="corrupt-2"):
        Spool(path)
    assert aside.read_bytes() == damaged


def test_an_event_that_the_disk_has_changed_is_not_taken_for_the_one_that_was_added(
    tmp_path: Path,
) -> None:
    path = filled(tmp_path / "till.spool", "aaaaaaaa", "bbbbbbbb")
    path.write_bytes(path.read_bytes().replace(b"aaaaaaaa", b"aaaaaaab"))
    with opened(path) as spool:
        first, second = spool.first(events_max=2, bytes_max=2**20)
    assert (first.sound, second.sound) == (False, True)


def test_another_programs_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    with closing(sqlite3.connect(path)) as theirs, theirs:
        theirs.execute("CREATE TABLE orders (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(SpoolError, match="another program's database"):
        Spool(path)
    assert path.read_bytes() == before


def test_a_spool_of_a_later_version_is_left_as_it_is(tmp_path: Path) -> None:
    path = filled(tmp_path / "till.spool", "a")
    with closing(sqlite3.connect(path, isolation_level=None)) as later:
        later.execute("PRAGMA user_version = 2")
    with pytest.raises(SpoolError, match="version 2, want 1"):
        Spool(path)
    assert path.exists()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="No such file or directory"):
        Spool(tmp_path / "nowhere" / "till.spool")


def test_a_spool_that_was_closed_says_so(tmp_path: Path) -> None:
    with opened(tmp_path / "till.spool") as spool:
        spool.close()
        with pytest.raises(SpoolError, match="closed"):
            spool.add([event()])


FILLS_THE_DISK = """
import resource, signal, sys
from touchledger.v1 import events_pb2
from touchledger_client.spool import Spool, SpoolError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
event = events_pb2.Event(personal=events_pb2.PersonalData(comment="x" * 1000))
kept = 0
try:
    while True:
        spool.add([event])
        kept += 1
except SpoolError as error:
    print(kept)
    print(spool.counts().waiting)
"""


def test_a_full_disk_is_told_and_keeps_what_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "till.spool"
    run = run_to_its_end(FILLS_THE_DISK, path)
    kept, counted = map(int, run.stdout.split())
    assert (counted, run.stderr) == (kept, "")
    assert kept > 0
    with opened(path) as spool:
        assert len(waiting(spool)) == kept


ADDS_FOR_EVER = """
import random, sys
from touchledger.v1 import events_pb2
from touchledger_client.spool import Spool
spool = Spool(sys.argv[1])
while True:
    ids = spool.add([events_pb2.Event()] * random.choice((1, 1, 1, 20)))
    sys.stdout.write("".join(f"{each}\\n" for each in ids))
    sys.stdout.flush()
"""


def test_what_was_added_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    path, book = tmp_path / "till.spool", tmp_path / "book"
    for turn in range(KILLS):
        with book.open("ab") as out:
            before = out.tell()
            till = subprocess.Popen(
                child(ADDS_FOR_EVER, path),
                env=ENVIRONMENT,
                stdout=out,
            )
        deadline = time.monotonic() + DEADLINE_SECONDS
        while book.stat().st_size < before + 37 * (1 + 20 * turn):
            assert time.monotonic() < deadline
            assert till.poll() is None
        till.send_signal(signal.SIGKILL)
        till.wait()
        # A kill may cut its last line off.
        written = book.read_bytes()
        book.write_bytes(written[: written.rfind(b"\n") + 1])
    told = book.read_text().split()
    with opened(path) as spool:
        kept = waiting(spool)
        assert spool.counts().waiting == len(kept)
    assert sorted(set(kept)) == kept, "once each, in order"
    assert [each for each in kept if each in set(told)] == told
    # At a kill at most one call had not returned.
    assert len(kept) - len(told) <= 20 * KILLS
