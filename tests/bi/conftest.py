"""One system with a simulated quarter of two tenants, and the clients that are there to ask it."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

from services.cli.simulator import quarter
from tests.support.up import Key, Up, environment, running_up
from touchledger.v1 import events_pb2, ingest_pb2

ROOT = Path(__file__).parent.parent.parent
ZONE = "America/Sao_Paulo"
# Two requests for each thousand events; the gateway takes 500 at once.
BATCH_EVENTS_MAX = 500
PROBE_SECONDS_MAX = 240
# Made by `make test/bi`, since these packages and ours would not get along in one environment.
CLIENTS = ROOT / ".venv" / "bi-clients"


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with running_up(tmp_path_factory.mktemp("up"), "--reporting-zone", ZONE) as up:
        _publish(up, up.new_key(tenant="default"), list(quarter(seed=7, customers=60)))
        _publish(up, up.new_key(tenant="another"), list(quarter(seed=8, customers=5)))
        up.caught_up()
        yield up


def _publish(up: Up, key: Key, events: Sequence[events_pb2.Event]) -> None:
    with up.ingest() as stub:
        for start in range(0, len(events), BATCH_EVENTS_MAX):
            request = ingest_pb2.PublishBatchRequest(
                events=events[start : start + BATCH_EVENTS_MAX]
            )
            answer = stub.PublishBatch(request, metadata=key.metadata, timeout=60)
            told = {ingest_pb2.Disposition.Name(each.disposition) for each in answer.results}
            assert told == {"DISPOSITION_RECORDED"}, told


@pytest.fixture
def bi(system: Up) -> Iterator[psycopg.Connection]:
    """A session of the role that `up` makes."""
    with psycopg.connect(system.printed_sql, autocommit=True) as session:
        yield session


@pytest.fixture(scope="session")
def client_python() -> Path:
    """The Python that has the BI clients."""
    named = os.environ.get("TOUCHLEDGER_BI_CLIENTS")
    python = Path(named or CLIENTS) / "bin" / "python"
    if not python.exists():
        pytest.skip(
            "NO BI CLIENTS: SQLAlchemy, pandas, DuckDB, ODBC and dbt do NOT ask schema bi here; "
            "`make test/bi` installs them"
        )
    return python


def run(command: Sequence[object], **variables: str) -> str:
    """What a client says on stdout; its end is a good one."""
    done = subprocess.run(
        [str(each) for each in command],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PROBE_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
