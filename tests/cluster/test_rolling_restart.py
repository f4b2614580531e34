"""Gateways and touchpoint services are restarted one by one under load, and no publisher is told of it."""

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from tests.conftest import SERVICES
from tests.support.events import event
from tests.support.stack import Service, Stack, free_port, running_stack
from touchledger import event_json
from touchledger.v1 import events_pb2, ingest_pb2, journal_pb2
from touchledger.v1.ingest_pb2_grpc import IngestServiceStub
from touchledger.v1.journal_pb2_grpc import JournalServiceStub

# What a publisher configures and no more: every gateway in turn, again elsewhere when one is away.
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": "touchledger.v1.IngestService"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
# As long as balancers of HTTP take to look away; ours asks every tenth of a second.
DRAIN_SECONDS = 1
LOOK_SECONDS = 0.1
READY = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
SINGLES, BATCHES, POSTS = 4, 2, 4
BATCH_EVENTS = 20
CALL_SECONDS_MAX = 10.0
STEP_SECONDS_MAX = 20.0
# Of each publisher, before the next step.
CALLS_BETWEEN = 20
STORED = {"RECORDED", "DUPLICATE"}


@dataclass
class Load:
    """What publishers were told."""

    numbers: Iterator[int] = field(default_factory=itertools.count)
    # Event id to position.
    acked: dict[str, int] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    noted: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def event(self) -> events_pb2.Event:
        return event(event_id=f"event-{next(self.numbers)}")

    def fail(self, what: str) -> None:
        self.failed.append(what)
        self.noted.set()

    def note(self, publisher: str, *results: tuple[str, str, int]) -> None:
        self.calls[publisher] += 1
        for event_id, disposition, position in results:
            self.told[disposition] += 1
            if disposition in STORED:
                self.acked[event_id] = position
            else:
                self.fail(f"{publisher}: {event_id} {disposition}")
        self.noted.set()

    async def goes_on(self, publishers: int) -> None:
        """Each of them gets on."""
        before = Counter(self.calls)
        async with asyncio.timeout(STEP_SECONDS_MAX):
            while (
                sum(self.calls[each] >= before[each] + CALLS_BETWEEN for each in self.calls)
                < publishers
            ):
                assert [] == self.failed
                self.noted.clear()
                await self.noted.wait()


async def publish_over_grpc(load: Load, stub: IngestServiceStub, stack: Stack, name: str) -> None:
    while not load.ended.is_set():
        events = [load.event() for _ in range(BATCH_EVENTS if name.startswith("batch") else 1)]
        try:
            if len(events) > 1:
                batch = ingest_pb2.PublishBatchRequest(events=events)
                answer = await stub.PublishBatch(
                    batch, metadata=stack.metadata, timeout=CALL_SECONDS_MAX
                )
                results = list(answer.results)
            else:
                one = ingest_pb2.PublishRequest(event=events[0])
                answer = await stub.Publish(one, metadata=stack.metadata, timeout=CALL_SECONDS_MAX)
                results = [answer.result]
        except grpc.aio.AioRpcError as error:
            load.fail(f"{name}: {error.code().name} {error.details()}")
            continue
        load.note(
            name,
            *(
                (
                    each.event_id,
                    ingest_pb2.Disposition.Name(result.disposition).removeprefix("DISPOSITION_"),
                    result.position.number,
                )
                for each, result in zip(events, results, strict=True)
            ),
        )


class Balancer:
    """In front of the HTTP ports: sends to those that say they are ready, over connections that are kept."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses
        self._ready = set(addresses)
        self._turn = itertools.count()

    async def look(self) -> None:
        with contextlib.closing(Kept()) as kept:
            while True:
                for address in self._addresses:
                    try:
                        async with asyncio.timeout(CALL_SECONDS_MAX):
                            status, _ = await kept.send(address, READY)
                    except OSError:
                        status = 0
                    (self._ready.add if status == 200 else self._ready.discard)(address)
                await asyncio.sleep(LOOK_SECONDS)

    def choose(self) -> str:
        ready = sorted(self._ready)
        return ready[next(self._turn) % len(ready)]


class Kept:
    """The connections of one publisher. Whatever goes wrong with a request that was sent is an OSError."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def send(self, address: str, request: bytes) -> tuple[int, bytes]:
        reader, writer = self._kept.pop(address, (None, None))
        if reader is None or writer is None or reader.at_eof():
            if writer is not None:
                writer.close()
            host, port = address.split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers["content-length"]))
        except BaseException as error:
            writer.close()
            if isinstance(error, asyncio.IncompleteReadError):
                raise ConnectionResetError("closed without an answer") from None
            raise
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._kept[address] = reader, writer
        return int(head[0].split()[1]), body

    def close(self) -> None:
        for _, writer in self._kept.values():
            writer.close()


async def publish_over_http(load: Load, balancer: Balancer, stack: Stack, name: str) -> None:
    with contextlib.closing(Kept()) as kept:
        while not load.ended.is_set():
            one = load.event()
            body = event_json.to_json(one).encode()
            head = (
                "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                f"Authorization: Bearer {stack.key}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            try:
                async with asyncio.timeout(CALL_SECONDS_MAX):
                    # No second try: what was sent to a gateway that said it is ready is answered.
                    status, answer = await kept.send(balancer.choose(), head.encode() + body)
            except OSError as error:
                load.fail(f"{name}: {type(error).__name__} {error}")
                continue
            if status != 200:
                load.fail(f"{name}: {status} {answer.decode()}")
                continue
            [result] = json.loads(answer)["results"]
            position = int(result.get("position", {}).get("number", 0))
            disposition = result["disposition"].removeprefix("DISPOSITION_")
            load.note(name, (one.event_id, disposition, position))


@contextlib.asynccontextmanager
async def under_load(
    stack: Stack, gateways: list[Service], posts: list[str]
) -> AsyncIterator[Load]:
    load, balancer = Load(), Balancer(posts)
    target = "ipv4:" + ",".join(each.address for each in gateways)
    options = [("grpc.service_config", json.dumps(SERVICE_CONFIG))]
    async with (
        grpc.aio.insecure_channel(target, options=options) as channel,
        asyncio.TaskGroup() as tasks,
    ):
        stub = IngestServiceStub(channel)
        looking = tasks.create_task(balancer.look())
        for names, count in (("single", SINGLES), ("batch", BATCHES)):
            for number in range(count):
                name = f"{names} {number}"
                tasks.create_task(publish_over_grpc(load, stub, stack, name), name=name)
        for number in range(POSTS):
            name = f"post {number}"
            tasks.create_task(publish_over_http(load, balancer, stack, name), name=name)
        try:
            yield load
        finally:
            load.ended.set()
            looking.cancel()


async def restart(service: Service, load: Load) -> None:
    await load.goes_on(SINGLES + BATCHES + POSTS)
    assert 0 == await asyncio.to_thread(service.stop), service.log.read_text()
    await load.goes_on(SINGLES + BATCHES + POSTS)
    service.start()
    await asyncio.to_thread(service.wait_until_ready)
    await load.goes_on(SINGLES + BATCHES + POSTS)


async def stored(touchpoint: Service) -> dict[str, int]:
    """Event id to position, of the whole journal, which has no hole and no id twice."""
    found = dict[str, int]()
    async with grpc.aio.insecure_channel(touchpoint.address) as channel:
        stub = JournalServiceStub(channel)
        request = journal_pb2.ReadRangeRequest()
        while True:
            page = await stub.ReadRange(request, timeout=CALL_SECONDS_MAX)
            for each in page.events:
                event_id = events_pb2.Event.FromString(each.event).event_id
                assert (event_id, each.position) not in found.items()
                assert each.position == len(found) + 1, f"{event_id} is stored twice"
                found[event_id] = each.position
            if page.scanned_to == page.head:
                return found
            request.after.CopyFrom(
                journal_pb2.Position(journal_id=page.journal_id, number=page.scanned_to)
            )


@pytest.fixture
def two_of_each(
    tmp_path: Path, new_database: Callable[[str], str]
) -> Iterator[tuple[Stack, list[Service], list[str]]]:
    urls = {name: new_database(name) for name in SERVICES}
    environment = {"TOUCHLEDGER_GATEWAY_DRAIN_SECONDS": f"{DRAIN_SECONDS}"}
    with running_stack(tmp_path, urls, touchpoints=2, environment=environment) as stack:
        http_address = f"127.0.0.1:{free_port()}"
        second = Service(
            "gateway",
            {**stack.gateway.environment, "TOUCHLEDGER_GATEWAY_HTTP_LISTEN": http_address},
            tmp_path / "gateway-2.log",
        )
        second.start()
        try:
            second.wait_until_ready()
            yield stack, [stack.gateway, second], [stack.http_address, http_address]
        finally:
            if second.process is not None and second.process.poll() is None:
                second.kill()


async def test_no_publish_fails_is_lost_or_doubled_while_each_service_is_restarted(
    two_of_each: tuple[Stack, list[Service], list[str]],
) -> None:
    stack, gateways, posts = two_of_each
    async with under_load(stack, gateways, posts) as load:
        for service in (*gateways, *stack.touchpoints):
            await restart(service, load)
    assert [] == load.failed
    assert sum(load.told.values()) == len(load.acked)
    assert load.acked == await stored(stack.touchpoints[0])
