"""Services of the release before, beside those of this one, on one set of databases."""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest

from tests.support.stack import Service, free_port
from touchledger.v1 import events_pb2, ingest_pb2, scoring_pb2
from touchledger.v1.ingest_pb2_grpc import IngestServiceStub
from touchledger.v1.scoring_pb2_grpc import ScoringServiceStub

ROOT = Path(__file__).parent.parent.parent
# Made by `make test/upgrade`.
PREVIOUS = ROOT / ".venv" / "previous-release"
PYTHON = PREVIOUS / ".venv" / "bin" / "python"
CALL_SECONDS_MAX = 20.0
DATABASES = ("touchpoint", "scoring", "gateway")
numbers = itertools.count(1)
# Publishers repeat these, as the contract says.
REPEATABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}


@dataclass
class System:
    """Three services on fixed addresses, each of either release."""

    folder: Path
    urls: dict[str, str]
    addresses: dict[str, str] = field(
        default_factory=lambda: {name: f"127.0.0.1:{free_port()}" for name in DATABASES}
    )
    running: dict[str, Service] = field(default_factory=dict)
    # Beside the one on the address, on a port of its own.
    others: list[Service] = field(default_factory=list)
    answers: dict[str, ingest_pb2.PublishResult] = field(default_factory=dict)

    def service(self, name: str, *, old: bool, address: str = "") -> Service:
        secret = self.folder / "gateway.key"
        secret.write_text("17" * 32)
        environment = {
            f"TOUCHLEDGER_{name.upper()}_DATABASE_URL": self.urls[name],
            "TOUCHLEDGER_SCORING_JOURNAL_TARGET": self.addresses["touchpoint"],
            "TOUCHLEDGER_GATEWAY_TOUCHPOINT_TARGET": self.addresses["touchpoint"],
            "TOUCHLEDGER_GATEWAY_SCORING_TARGET": self.addresses["scoring"],
            "TOUCHLEDGER_GATEWAY_HTTP_LISTEN": f"127.0.0.1:{free_port()}",
            "TOUCHLEDGER_GATEWAY_SECRET_KEY_FILE": str(secret),
            "TOUCHLEDGER_GATEWAY_LOCAL_KEY_FILE": str(self.folder / "local.key"),
        }
        release = "old" if old else "new"
        return Service(
            name,
            environment,
            self.folder / f"{name}-{release}-{next(numbers)}.log",
            address=address or self.addresses[name],
            python=str(PYTHON) if old else sys.executable,
            code=PREVIOUS if old else None,
        )

    def start(self, name: str, *, old: bool) -> None:
        """In the place of the one that runs, if one does."""
        if name in self.running:
            assert self.running.pop(name).stop() == 0
        service = self.service(name, old=old)
        service.start()
        self.running[name] = service
        service.wait_until_ready()

    def beside(self, name: str, *, old: bool) -> Service:
        service = self.service(name, old=old, address=f"127.0.0.1:{free_port()}")
        service.start()
        self.others.append(service)
        service.wait_until_ready()
        return service

    def stop(self) -> None:
        for service in [*self.running.values(), *self.others]:
            if service.process is not None and service.process.poll() is None:
                service.kill()

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {(self.folder / 'local.key').read_text().strip()}"),)

    def publish(self, *events: events_pb2.Event) -> list[int]:
        """Repeated until it is answered; the dispositions."""
        request = ingest_pb2.PublishBatchRequest(events=events)
        with grpc.insecure_channel(self.addresses["gateway"]) as channel:
            stub = IngestServiceStub(channel)
            while True:
                try:
                    answer: ingest_pb2.PublishBatchResponse = stub.PublishBatch(
                        request,
                        metadata=self.metadata,
                        timeout=CALL_SECONDS_MAX,
                        wait_for_ready=True,
                    )
                except grpc.RpcError as error:
                    if error.code() not in REPEATABLE:
                        raise
                    continue
                for each, result in zip(events, answer.results, strict=True):
                    self.answers.setdefault(each.event_id, result)
                return [result.disposition for result in answer.results]

    def scores(self, *, as_of: int = 0) -> list[dict[str, Any]]:
        """Once all that was published before is in them."""
        head = self.head()
        request = scoring_pb2.GetScoresRequest(group_by=scoring_pb2.GROUP_BY_TOUCHPOINT)
        if as_of:
            request.as_of_position.number = as_of
        with grpc.insecure_channel(self.addresses["gateway"]) as channel:
            stub = ScoringServiceStub(channel)
            while True:
                with contextlib.suppress(grpc.RpcError):
                    status = stub.GetStatus(
                        scoring_pb2.GetStatusRequest(),
                        metadata=self.metadata,
                        timeout=CALL_SECONDS_MAX,
                        wait_for_ready=True,
                    )
                    if status.checkpoint.number >= head:
                        break
            answer: scoring_pb2.GetScoresResponse = stub.GetScores(
                request, metadata=self.metadata, timeout=CALL_SECONDS_MAX
            )
        return [
            {"group": row.group, **dict(row.counts), **dict(row.scores)} for row in answer.scores
        ]

    def head(self) -> int:
        return int(self.fetch("touchpoint", "SELECT position FROM journal.head")[0][0])

    def fetch(self, database: str, query: str) -> Sequence[asyncpg.Record]:
        async def run() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.urls[database])
            try:
                return list(await connection.fetch(query))
            finally:
                await connection.close()

        return asyncio.run(run())


@pytest.fixture
def system(tmp_path: Path, admin_url: str) -> Iterator[System]:
    if not PYTHON.exists():
        pytest.skip(
            "NOT TESTED: the release before is not here: `make test/upgrade`, in a clone with history"
        )
    urls = asyncio.run(_databases(admin_url))
    made = System(tmp_path, urls)
    try:
        yield made
    finally:
        made.stop()
        asyncio.run(_drop(admin_url, urls))


async def _databases(admin_url: str) -> dict[str, str]:
    names = {database: f"{database}_upgrade_{next(numbers)}" for database in DATABASES}
    connection = await asyncpg.connect(admin_url)
    for name in names.values():
        await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return {key: f"{admin_url.rpartition('/')[0]}/{name}" for key, name in names.items()}


async def _drop(admin_url: str, urls: dict[str, str]) -> None:
    connection = await asyncpg.connect(admin_url)
    for url in urls.values():
        await connection.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")
    await connection.close()
