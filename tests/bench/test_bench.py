"""`make bench/NAME` with so few events that its figures mean nothing: what it prints and leaves behind."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import gateway_goals
from bench.journal_goals import GRPC, RAW_COPY, RAW_INSERT, RECORDER

# A few seconds on an idle machine.
DEADLINE_SECONDS = 120
SMALL = ("--rounds", "1", "--events", "1000", "--json")
JOURNAL = ("bench.journal", *SMALL, "--only", "recorder,grpc")
GATEWAY = ("bench.gateway", *SMALL)


@contextmanager
def running_bench(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    bench = subprocess.Popen(
        [sys.executable, "-m", *arguments, "--folder", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield bench
    finally:
        bench.kill()
        bench.communicate()


def test_it_prints_a_row_for_each_load_and_the_goals_as_json_alone(tmp_path: Path) -> None:
    with running_bench(tmp_path, *JOURNAL) as bench:
        printed, told = bench.communicate(timeout=DEADLINE_SECONDS)
    assert bench.returncode == 0, told
    result = json.loads(printed)
    assert {"rows", "goals"} == result.keys()
    loads = {
        (row["contender"], row["batch"], row["at_once"], row["duplicates"])
        for row in result["rows"]
    }
    assert len(result["rows"]) == len(loads)
    assert loads >= {(RAW_COPY, batch, 1, "") for batch in (1, 10, 100, 1000)}
    assert loads >= {(RAW_INSERT, 1, at_once, "") for at_once in (1, 16, 64)}
    for contender in (RECORDER, GRPC):
        assert loads >= {(contender, batch, 1, "") for batch in (1, 10, 100, 1000)}
        assert loads >= {(contender, 1, 16, ""), (contender, 1, 64, ""), (contender, 1000, 8, "")}
    shares = ("0 %", "1 % recent", "100 % recent", "1 % old", "100 % old")
    assert loads >= {(GRPC, 1000, 8, share) for share in shares}
    # What was not asked for is unknown rather than left out.
    assert [False, True, True] == [goal["got"] is None for goal in result["goals"][:3]]
    assert 8 == len(result["goals"])
    assert not list(tmp_path.iterdir())


def test_the_gateway_is_measured_beside_null_servers_and_raw_tables(tmp_path: Path) -> None:
    with running_bench(tmp_path, *GATEWAY) as bench:
        printed, told = bench.communicate(timeout=DEADLINE_SECONDS)
    assert bench.returncode == 0, told
    result = json.loads(printed)
    rows = {(row["contender"], row["batch"], row["at_once"]): row for row in result["rows"]}
    assert len(result["rows"]) == len(rows)
    for contender in (gateway_goals.GRPC, gateway_goals.HTTP):
        for load in ((500, 8), (100, 8), (1, 1), (1, 64)):
            row = rows[contender, *load]
            assert row["to_raw"] > 0
            assert row["to_null"] > 0
            assert row["cpu_us_per_event"] > 0
    assert all(goal["got"] is not None for goal in result["goals"])
    assert not list(tmp_path.iterdir())


def test_asked_to_stop_it_ends_its_processes_and_removes_its_files(tmp_path: Path) -> None:
    with running_bench(tmp_path, *JOURNAL) as bench:
        assert bench.stderr is not None
        for line in bench.stderr:
            if "and others" in line:
                break
        bench.send_signal(signal.SIGINT)
        printed, told = bench.communicate(timeout=DEADLINE_SECONDS)
    assert 1 == bench.returncode, told
    assert told.endswith("stopped\n")
    assert not printed
    assert not list(tmp_path.iterdir())
