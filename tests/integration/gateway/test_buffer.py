"""With a buffer, good events are answered QUEUED once the stream has them, and recorders record them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import grpc
import pytest

from services.chassis.postgres import Pool
from services.gateway.buffer import Buffer
from services.touchpoint.journal import Journal
from services.touchpoint.servicer import JournalServicer
from tests.support.buffered import queueing, recording, stored, until
from tests.support.events import event
from tests.support.ingest import Gateway, gateway, journal_server, told
from tests.support.nats_server import NatsServer, nats_server
from touchledger.v1 import ingest_pb2

QUEUED, REJECTED = ingest_pb2.DISPOSITION_QUEUED, ingest_pb2.DISPOSITION_REJECTED
QUARANTINED = ingest_pb2.DISPOSITION_QUARANTINED
Key = tuple[tuple[str, str], ...]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def gateway_pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "gateway")
    async with asyncpg.create_pool(url, min_size=1, max_size=4) as pool:
        yield pool


@pytest.fixture
async def buffer(nats: NatsServer) -> AsyncIterator[Buffer]:
    async with queueing(nats) as running:
        yield running


@pytest.fixture
async def served(gateway_pool: Pool, journal_pool: Pool, buffer: Buffer) -> AsyncIterator[Gateway]:
    journal = await Journal.open(journal_pool, stopping=asyncio.Event())
    async with (
        journal_server(JournalServicer(journal)) as address,
        gateway(gateway_pool, address, buffer=buffer) as running,
    ):
        yield running


@pytest.fixture
async def key(served: Gateway) -> Key:
    return await served.add_key("acme", "till")


def batch(*event_ids: str, **fields: object) -> ingest_pb2.PublishBatchRequest:
    events = [event(event_id=each, **fields) for each in event_ids]
    return ingest_pb2.PublishBatchRequest(events=events)


async def test_what_is_queued_is_recorded(
    served: Gateway, key: Key, nats: NatsServer, buffer: Buffer, journal_pool: Pool
) -> None:
    async with recording(journal_pool, nats):
        await until(lambda: not buffer.ready())
        one = await served.stub.Publish(
            ingest_pb2.PublishRequest(event=event(event_id="one")), metadata=key
        )
        large = [f"large-{number:03}" for number in range(200)]
        many = await served.stub.PublishBatch(batch(*large, customer="c"), metadata=key)

        async def all_there() -> bool:
            return len(await stored(journal_pool)) == 201

        await until(all_there)
    assert one.result == ingest_pb2.PublishResult(disposition=QUEUED)
    assert [each.disposition for each in many.results] == [QUEUED] * 200
    assert [each for each in await stored(journal_pool) if each != "one"] == large


async def test_nothing_is_queued_without_a_stream(
    served: Gateway, key: Key, buffer: Buffer
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await served.stub.PublishBatch(batch("one"), metadata=key)
    status, problem, repeat_after = told(refused.value)
    assert status is grpc.StatusCode.UNAVAILABLE
    assert problem.retryable
    assert repeat_after
    assert buffer.ready()
