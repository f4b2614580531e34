"""One process serving gRPC: listens safely, answers health checks, drains and stops.

Health: the service "" is readiness (can it do its work now?), "liveness" says that the event loop turns and
nothing else, so that a dependency's outage never gets a process killed.
"""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path

import grpc
import structlog
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.chassis.connections import Connections
from services.chassis.errors import ErrorInterceptor, place_of
from services.chassis.peers import Guard, read_secret
from services.chassis.postgres import Unsuitable
from services.chassis.rpc_telemetry import ServerInterceptor
from services.chassis.settings import ServiceSettings, is_loopback

log = structlog.get_logger()

# Above the largest request that a handler takes, so that the handler can refuse it with its reason.
MESSAGE_BYTES_MAX = 8 * 1024 * 1024
# A key, a trace context and what clients add are below 1 KiB.
METADATA_BYTES_MAX = 8 * 1024
# Beyond it callers are told to come back; streams and health checks do not count.
CONCURRENT_CALLS_MAX = 1000
# Where gRPC itself cuts off, without a word of when to come back: far above what is reached.
CONCURRENT_RPCS_MAX = 10_000
# Of one connection; its further calls wait at the client. One connection alone can't take all calls.
CONCURRENT_STREAMS_MAX = 500
# What a stream may send before anybody reads it. By itself gRPC grows it with what comes, to whole messages,
# and whoever half sends many of them fills the memory. A request that is read may send all of itself at once.
UNREAD_BYTES_MAX = 256 * 1024
# Long-lived connections would never find a new replica.
CONNECTION_AGE_MAX_MS = 300_000
CONNECTION_AGE_GRACE_MS = 30_000
# Who connects and says nothing holds a socket.
HANDSHAKE_MS_MAX = 10_000
# A client that vanished without a word is noticed within 80 seconds.
KEEPALIVE_MS = 60_000
KEEPALIVE_TIMEOUT_MS = 20_000
# Clients may ping this often, calls under way or not; a connection that does so oftener, beyond two strikes,
# is closed with "too_many_pings". Ours ping each 20 s.
PING_MS_MIN = 10_000
PING_STRIKES_MAX = 2
# New objects after which cycles are looked for. A request of 1000 events makes some thousands that live until
# it is stored; looking through them at each 700, Python's default, was a fifth of an append's CPU.
GARBAGE_OBJECTS_MIN = 100_000
# How long a stop waits for the calls of a connection while it refuses others on it: far above what publishing
# takes. Slower ones go on within the grace, on connections that gRPC tells to end.
LAST_CALLS_SECONDS_MAX = 3.0
HANG_UP_EVERY_SECONDS = 0.02
# How long background tasks may take to end. Each statement of one may wait half a minute for its database.
BACKGROUND_SECONDS_MAX = 2.0
READINESS_EVERY_SECONDS = 1.0
READINESS_DEADLINE_SECONDS = 2.0

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Server:
    """Add servicers to `grpc`, then `run`."""

    def __init__(
        self,
        *,
        name: str,
        settings: ServiceSettings,
        ready: Callable[[], Awaitable[str]],
        callers_have_keys: bool = False,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        """`ready` returns why the service can't do its work now, or "" when it can.

        callers_have_keys: requests carry a credential of their own, so that beyond loopback no client
        certificate is asked for.
        interceptors: they may raise in the handlers that they give, as servicers do.
        """
        self._name = name
        self._settings = settings
        self._ready = ready
        # Set when the process is asked to stop: endless streams end themselves on it.
        self.stopping = asyncio.Event()
        self.health = health.aio.HealthServicer()
        # The first is the outermost: a span sees the status that the errors were turned into.
        self._errors = ErrorInterceptor(calls_max=CONCURRENT_CALLS_MAX)
        # Set when calls are refused, which is after the drain: a client that is sent away when that begins
        # comes back to the same server.
        self.refusing = self._errors.refusing
        chain = [ServerInterceptor(), self._errors]
        # Services trust each other so far, and their large messages come sooner so.
        strangers = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", UNREAD_BYTES_MAX)]
        if settings.peers_secret_file and not callers_have_keys:
            chain.append(Guard(read_secret(settings.peers_secret_file)))
        self.grpc = grpc.aio.server(
            interceptors=[*chain, *interceptors],
            maximum_concurrent_rpcs=CONCURRENT_RPCS_MAX,
            options=[
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
                ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
                # Between the two, gRPC would refuse by chance.
                ("grpc.max_metadata_size", METADATA_BYTES_MAX),
                ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
                ("grpc.max_concurrent_streams", CONCURRENT_STREAMS_MAX),
                ("grpc.max_connection_age_ms", CONNECTION_AGE_MAX_MS),
                ("grpc.max_connection_age_grace_ms", CONNECTION_AGE_GRACE_MS),
                ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS_MAX),
                ("grpc.keepalive_time_ms", KEEPALIVE_MS),
                ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", PING_MS_MIN),
                ("grpc.http2.max_ping_strikes", PING_STRIKES_MAX),
                # Two processes on one port would share its connections at random.
                ("grpc.so_reuseport", 0),
                *(strangers if callers_have_keys else ()),
            ],
        )
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.grpc)
        self._port = self._bind(
            self.grpc, settings.listen, _credentials(settings, callers_have_keys)
        )
        self._probes: grpc.aio.Server | None = None
        if settings.health_listen:
            self._probes = grpc.aio.server(maximum_concurrent_rpcs=10)
            health_pb2_grpc.add_HealthServicer_to_server(self.health, self._probes)
            # Health tells nothing that is worth hiding, so clear text will do anywhere.
            self._bind(self._probes, settings.health_listen, None)

    def _bind(
        self, server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None
    ) -> int:
        try:
            if credentials is None:
                port: int = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, credentials)
            return port
        except RuntimeError:
            # gRPC tells the two apart on its own log alone.
            fit = ", and a key that fits its certificate" if credentials else ""
            raise Unsuitable(
                f"{self._name}: can't listen on {address}, want a free port{fit}"
            ) from None

    def reflect(self, services: Iterable[str]) -> None:
        """Tells clients on this machine what these services look like; beyond loopback it stays off.

        The contract is public, but what of it a server serves is nobody's business who has no key.
        """
        if is_loopback(self._settings.listen):
            names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self.grpc)

    def stop(self) -> None:
        """Asks `run` to end."""
        self.stopping.set()

    async def run(
        self,
        background: Sequence[Awaitable[None]] = (),
        also_stop: Sequence[Callable[[float], Awaitable[None]]] = (),
        cut_off: Sequence[Callable[[], None]] = (),
    ) -> None:
        """Serves until SIGTERM, SIGINT or `stop`. An error of a background task ends it with that error.

        also_stop: called with the grace in seconds when calls under way are given time to end.
        cut_off: called when background tasks still wait, for their database, some seconds after that.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        await self.health.set("liveness", SERVING)
        await self.health.set("", NOT_SERVING)
        for server in filter(None, (self.grpc, self._probes)):
            await server.start()
        scraped = await self._scraped()
        log.info("listening", address=self._settings.listen)
        try:
            async with asyncio.TaskGroup() as tasks:
                beside = [tasks.create_task(_run(each)) for each in (*background, self._watch())]
                await self.stopping.wait()
                await self.health.set("", NOT_SERVING)
                log.info("draining", seconds=self._settings.drain_seconds)
                await asyncio.sleep(self._settings.drain_seconds)
                grace = self._settings.stop_grace_seconds
                await asyncio.gather(self._end(grace), *(stop(grace) for stop in also_stop))
                await _end_all(beside, cut_off)
        finally:
            for server in filter(None, (self.grpc, self._probes)):
                await server.stop(None)
            if scraped is not None:
                scraped.close()
        log.info("stopped")

    async def _scraped(self) -> asyncio.Server | None:
        if self._settings.metrics_listen is None:
            return None
        # Not at the top: what writes the answer is imported only where it is asked for.
        from services.chassis import scrape

        return await scrape.serve(self._name, self._settings.metrics_listen)

    async def _end(self, grace_seconds: float) -> None:
        """Whoever calls is told UNAVAILABLE, by us or by the connection's end, and goes to another replica.

        gRPC's own stop makes CANCELLED, which clients don't repeat, of each call that comes after it from a
        client that has not read of it yet, and of each that no task was made for. So it comes last, when
        nobody is connected any more but who waits for a slow answer.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        last = began + min(LAST_CALLS_SECONDS_MAX, grace_seconds)
        connections = Connections(self._port)
        self._errors.refusing.set()
        try:
            connections.stop_listening()
            while connections.hang_up(but=self._errors.peers_under_way()):
                if loop.time() >= last:
                    connections.hang_up(but=self._errors.peers_under_way(), at_once=True)
                    break
                await asyncio.sleep(HANG_UP_EVERY_SECONDS)
        except (OSError, ValueError) as error:
            # The latter where gRPC names a caller by something else than an address.
            log.warning("connections are left to gRPC", error=type(error).__name__)
        await self.grpc.stop(max(0.0, began + grace_seconds - loop.time()))

    async def _watch(self) -> None:
        """Keeps readiness true to what `ready` says."""
        told = "starting"
        while not self.stopping.is_set():
            try:
                async with asyncio.timeout(READINESS_DEADLINE_SECONDS):
                    reason = await self._ready()
            except Exception as error:
                reason = type(error).__name__
            if reason != told and not self.stopping.is_set():
                log.info("ready" if not reason else "not ready", reason=reason)
                await self.health.set("", NOT_SERVING if reason else SERVING)
                told = reason
            await asyncio.sleep(
                READINESS_EVERY_SECONDS if told == "" else READINESS_EVERY_SECONDS / 5
            )


async def _end_all(
    tasks: Sequence[asyncio.Task[None]], cut_off: Sequence[Callable[[], None]]
) -> None:
    """Cancels again who goes on: what is cut off in a transaction ends with the transaction's own error, and
    whoever cares for such errors has not heard of being cancelled."""
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        _, late = await asyncio.wait(waiting, timeout=BACKGROUND_SECONDS_MAX)
        for cut in cut_off if late else ():
            cut()


async def _run(awaitable: Awaitable[None]) -> None:
    await awaitable


def _credentials(
    settings: ServiceSettings, callers_have_keys: bool
) -> grpc.ServerCredentials | None:
    """What the port is opened with; None is clear text. Ends the process rather than listen unsafely."""
    if settings.tls_cert_file and settings.tls_key_file:
        authority = settings.tls_client_ca_file
        certificate, key = _pem(settings.tls_cert_file), _pem(settings.tls_key_file)
        if not authority and not callers_have_keys and not is_loopback(settings.listen):
            raise Unsuitable(
                f"listen: got {settings.listen} without tls_client_ca_file, want it beyond loopback: "
                "this service's callers have no other credential"
            )
        return grpc.ssl_server_credentials(
            [(key, certificate)],
            root_certificates=_pem(authority) if authority else None,
            require_client_auth=authority is not None,
        )
    if not is_loopback(settings.listen) and not settings.tls_in_front:
        raise Unsuitable(
            f"listen: got {settings.listen} without tls_cert_file and tls_key_file, want loopback, a "
            "certificate, or tls_in_front"
        )
    return None


def _pem(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Unsuitable(f"{file}: {error.strerror}, want a PEM file") from None
    if b"-----BEGIN " not in content:
        raise Unsuitable(f"{file}: got {len(content)} other bytes, want a PEM file")
    return content


def run_process(main: Callable[[], Coroutine[None, None, None]]) -> None:
    """Runs a service's main. SIGTERM and SIGINT end it at any moment, before `Server.run` cares for them.

    As process 1 of a container a signal without a handler is ignored, even while it waits for its database.
    """

    async def stoppable() -> None:
        this = asyncio.current_task()
        assert this is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, this.cancel)
        await main()

    gc.set_threshold(GARBAGE_OBJECTS_MIN, *gc.get_threshold()[1:])
    try:
        uvloop.run(stoppable())
    except asyncio.CancelledError:
        log.info("stopped before it was ready")
    except Exception as error:
        # One line as for everything else; the text of an exception may quote a payload.
        for each in _leaves(error):
            log.critical("ended", error=type(each).__name__, where=place_of(each))
        raise SystemExit(1) from None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
