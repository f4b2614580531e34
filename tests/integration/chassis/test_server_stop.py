"""A server that stops tells every caller to go elsewhere, and answers those whom it has let in."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from types import ModuleType

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis import connections, errors
from services.chassis import server as server_module
from services.chassis.connections import Connections, peer_of
from services.chassis.errors import Unavailable, from_rpc
from services.chassis.server import Server
from services.chassis.settings import ServiceSettings
from tests.support.stack import free_port

CALL_SECONDS_MAX = 10.0
PART_BYTES = 65_536
# So little is taken in of what nobody reads.
RECEIVED_BYTES = 4096
ECHO = "/test.Echo/Say"
ASK = "/test.Echo/Ask"
# What clients are told to configure, see the README.
RETRY = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
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


@dataclass
class Replica:
    """A server that says its name, at once or when it is let go."""

    name: str
    port: int = field(default_factory=free_port)
    listen: str = "127.0.0.1"
    grace_seconds: float = 10.0
    entered: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    go: asyncio.Event = field(default_factory=asyncio.Event)
    running: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        async def say(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            return self.name.encode()

        async def ask(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            self.entered.release()
            await self.go.wait()
            return self.name.encode() * int(request or b"1")

        self.server = Server(
            name=self.name,
            settings=ServiceSettings.model_validate(
                {
                    "database_url": "postgresql://nowhere",
                    "listen": f"{self.listen}:{self.port}",
                    "tls_in_front": True,
                    "stop_grace_seconds": self.grace_seconds,
                }
            ),
            ready=self._ready,
        )
        handlers = {
            path.rpartition("/")[2]: grpc.unary_unary_rpc_method_handler(
                method, request_deserializer=bytes, response_serializer=bytes
            )
            for path, method in ((ECHO, say), (ASK, ask))
        }
        self.server.grpc.add_registered_method_handlers("test.Echo", handlers)

    async def _ready(self) -> str:
        return ""

    async def start(self) -> None:
        self.running = asyncio.create_task(self.server.run(), name=self.name)
        async with connected(self.port) as channel:
            await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=CALL_SECONDS_MAX
            )

    async def stop_listening(self) -> None:
        """Stops, up to where nobody can connect any more."""
        self.server.stop()
        async with asyncio.timeout(CALL_SECONDS_MAX):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionResetError:
                    # It stood in line when listening ended.
                    continue
                except ConnectionRefusedError:
                    return
                writer.close()

    async def stopped(self) -> None:
        assert self.running is not None
        async with asyncio.timeout(CALL_SECONDS_MAX):
            await self.running


Start = Callable[..., Awaitable[Replica]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    started = []

    async def start(name: str = "a", **given: object) -> Replica:
        replica = Replica(name, **given)  # type: ignore[arg-type]  # the fields above
        await replica.start()
        started.append(replica)
        return replica

    yield start
    for each in started:
        each.go.set()
        each.server.stop()
        await each.stopped()


@contextlib.asynccontextmanager
async def connected(*ports: int, retries: bool = False) -> AsyncIterator[grpc.aio.Channel]:
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    config = RETRY if retries else {"loadBalancingConfig": RETRY["loadBalancingConfig"]}
    options = [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.max_receive_message_length", -1),
    ]
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        yield channel


async def say(channel: grpc.aio.Channel, method: str = ECHO, request: bytes = b"") -> bytes:
    answer: bytes = await channel.unary_unary(method)(request, timeout=CALL_SECONDS_MAX)
    return answer


class Relay:
    """A network between a client and a server, in which what the server says can be held up."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.open = asyncio.Event()
        self.open.set()
        # Set when the client has said something.
        self.heard = asyncio.Event()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        # Not asyncio's streams: there a write that fails loses what is still to be read.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            accepting = asyncio.create_task(self._accept(listener))
            yield listener.getsockname()[1]
            accepting.cancel()
            await asyncio.gather(accepting, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                client, _ = await asyncio.get_running_loop().sock_accept(listener)
                tasks.create_task(self._relay(client))

    async def _relay(self, client: socket.socket) -> None:
        with client, socket.socket() as server:
            # What it can't take stays at the server.
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
            server.setblocking(False)
            with contextlib.suppress(ConnectionError):
                await asyncio.get_running_loop().sock_connect(server, ("127.0.0.1", self._port))
                async with asyncio.TaskGroup() as tasks:
                    up = tasks.create_task(self._pass_on(client, server, said_by_client=True))
                    await self._pass_on(server, client)
                    up.cancel()

    async def _pass_on(
        self, source: socket.socket, to: socket.socket, *, said_by_client: bool = False
    ) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            while part := await loop.sock_recv(source, PART_BYTES):
                if not said_by_client:
                    await self.open.wait()
                if said_by_client:
                    self.heard.set()
                await loop.sock_sendall(to, part)
        if not said_by_client:
            await self.open.wait()


async def test_a_call_that_comes_before_its_client_has_read_of_the_stop_is_answered_elsewhere(
    start: Start,
) -> None:
    stopping, other = await start("stopping"), await start("other")
    relay = Relay(stopping.port)
    async with (
        relay.listening() as port,
        connected(port, other.port, retries=True) as channel,
    ):
        # It is connected to both.
        while {b"stopping", b"other"} != {await say(channel) for _ in range(4)}:
            pass
        relay.open.clear()
        await stopping.stop_listening()
        relay.heard.clear()
        calls = [asyncio.create_task(say(channel)) for _ in range(8)]
        async with asyncio.timeout(CALL_SECONDS_MAX):
            await relay.heard.wait()
        relay.open.set()
        assert {b"other"} == set(await asyncio.gather(*calls))
        await stopping.stopped()


@pytest.mark.parametrize("listen", ["127.0.0.1", "[::]", "0.0.0.0"])
async def test_a_call_under_way_is_answered_while_others_of_its_connection_are_refused(
    start: Start, listen: str
) -> None:
    stopping = await start(listen=listen)
    async with connected(stopping.port) as channel:
        asked = asyncio.create_task(say(channel, ASK))
        await stopping.entered.acquire()
        await stopping.stop_listening()
        for _ in range(10):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await say(channel)
            told = from_rpc(refused.value)
            assert isinstance(told, Unavailable)
            assert "another replica; this one is stopping" == told.problem.want
        stopping.go.set()
        assert b"a" == await asked
    await stopping.stopped()


async def test_a_connection_that_nobody_waits_on_is_ended_at_once(start: Start) -> None:
    stopping = await start()
    async with connected(stopping.port) as channel:
        asked = asyncio.create_task(say(channel, ASK))
        await stopping.entered.acquire()
        reader, writer = await asyncio.open_connection("127.0.0.1", stopping.port)
        stopping.server.stop()
        async with asyncio.timeout(CALL_SECONDS_MAX):
            with contextlib.suppress(ConnectionResetError):
                while await reader.read(4096):
                    pass
        writer.close()
        assert not asked.done()
        stopping.go.set()
        assert b"a" == await asked


async def test_an_answer_arrives_whole_however_slowly_though_its_reader_says_something(
    start: Start,
) -> None:
    stopping = await start()
    relay, size = Relay(stopping.port), 500_000
    async with relay.listening() as port, connected(port) as channel:
        await say(channel)
        asked = asyncio.create_task(say(channel, ASK, str(size).encode()))
        await stopping.entered.acquire()
        relay.open.clear()
        stopping.go.set()
        await stopping.stop_listening()
        relay.heard.clear()
        refused = asyncio.create_task(say(channel))
        async with asyncio.timeout(CALL_SECONDS_MAX):
            await relay.heard.wait()
        relay.open.set()
        assert size == len(await asked)
        await asyncio.gather(refused, return_exceptions=True)


@pytest.mark.parametrize("counted", [True, False])
def test_what_was_written_arrives_before_a_connection_is_ended_unless_time_is_up(
    monkeypatch: pytest.MonkeyPatch, counted: bool
) -> None:
    if not counted:
        # As on systems that don't tell how much was acknowledged.
        monkeypatch.setattr(connections, "_acked", lambda _: 0)
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        reader = opened.enter_context(socket.socket())
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
        reader.connect(("127.0.0.1", port))
        writer = opened.enter_context(listener.accept()[0])
        writer.setblocking(False)
        written = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                written += writer.send(bytes(PART_BYTES))
        found = Connections(port)
        assert 1 == found.hang_up(but={reader.getsockname()}, at_once=True)
        assert 1 == found.hang_up(but=())
        while written:
            written -= len(reader.recv(written))
        while found.hang_up(but=()):
            pass
        assert b"" == reader.recv(1)
        reader = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
        writer = opened.enter_context(listener.accept()[0])
        assert 0 == found.hang_up(but=(), at_once=True)
        assert b"" == reader.recv(1)


async def test_a_slow_call_is_answered_within_the_grace_on_a_connection_that_takes_no_others(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "LAST_CALLS_SECONDS_MAX", 0.1)
    stopping = await start()
    async with connected(stopping.port) as channel:
        asked = asyncio.create_task(say(channel, ASK))
        await stopping.entered.acquire()
        await stopping.stop_listening()
        # The client is connected no more, as far as other calls go.
        while channel.get_state() is grpc.ChannelConnectivity.READY:
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        stopping.go.set()
        assert b"a" == await asked


async def test_at_the_end_of_the_grace_calls_under_way_end_with_it(start: Start) -> None:
    stopping = await start(grace_seconds=0.2)
    async with connected(stopping.port) as channel:
        asked = asyncio.create_task(say(channel, ASK))
        await stopping.entered.acquire()
        stopping.server.stop()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await asked
        assert grpc.StatusCode.UNAVAILABLE == refused.value.code()
        await stopping.stopped()


async def test_health_that_is_watched_holds_no_stop_up(start: Start) -> None:
    stopping = await start()
    async with connected(stopping.port) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS_MAX
        )
        await watch.read()
        stopping.server.stop()
        assert grpc.StatusCode.UNAVAILABLE == await watch.code()
        await stopping.stopped()


@pytest.mark.parametrize(
    ("place", "name", "broken"),
    [
        (connections, "OPEN_FILES", "/nowhere"),
        # Not where a service can be told to listen, so a port has to do.
        (errors, "peer_of", lambda _: peer_of("unix:/run/touchledger.sock")),
    ],
    ids=["open files", "callers"],
)
async def test_it_stops_where_its_connections_can_t_be_told_apart(
    start: Start, monkeypatch: pytest.MonkeyPatch, place: ModuleType, name: str, broken: object
) -> None:
    monkeypatch.setattr(place, name, broken)
    stopping = await start()
    async with connected(stopping.port) as channel:
        asked = asyncio.create_task(say(channel, ASK))
        await stopping.entered.acquire()
        await stopping.stop_listening()
        stopping.go.set()
        assert b"a" == await asked
        await stopping.stopped()


@pytest.mark.parametrize(
    ("told", "peer"),
    [
        ("ipv4:192.0.2.1:50000", ("192.0.2.1", 50000)),
        ("ipv6:%5B2001:db8::1%5D:50000", ("2001:db8::1", 50000)),
        ("ipv6:%5B::ffff:192.0.2.1%5D:50000", ("192.0.2.1", 50000)),
        ("ipv6:%5Bfe80::1%25eth0%5D:50000", ("fe80::1", 50000)),
    ],
)
def test_a_peer_has_one_spelling(told: str, peer: tuple[str, int]) -> None:
    assert peer == peer_of(told)
