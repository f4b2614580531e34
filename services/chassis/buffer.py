"""The stream between gateways and recorders: its name and shape, and a link to the servers that keep it.

It holds packed batches until the journal has them. A message is an encoded AppendManyRequest, all of one
tenant and one partition, which its subject names.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from services.chassis.errors import Unavailable, place_of
from services.chassis.postgres import Unsuitable

log = structlog.get_logger()

STREAM = "TOUCHLEDGER_BATCHES"
# Behind it PARTITION.TENANT.
BATCHES = "touchledger.batches"
# Behind it PARTITION: the headers of each batch, once it is stored. A hint, and nothing more.
QUEUED = "touchledger.queued"
# What is packed into a message, unless a single event is larger: a commit has more, and a tenant's share of
# the stream is counted in messages.
MESSAGE_BYTES = 256 * 1024
# What the stream takes: an event of 128 KiB and what stands around it may come on top of the above.
MESSAGE_BYTES_MAX = 512 * 1024
MESSAGE_EVENTS_MAX = 1000
MESSAGE_REQUESTS_MAX = 256
# In which a message that a gateway sends again, since it got no ack, is known to be the same. Twice of what
# it tries for; the journal knows it for ever.
SAME_MESSAGE_SECONDS = 120

CONNECT_SECONDS_MAX = 2
RECONNECT_EVERY_SECONDS = 0.2
# A server that says nothing for so long is left for another one.
PING_EVERY_SECONDS = 2
PINGS_UNANSWERED_MAX = 2
ASK_SECONDS_MAX = 2.0
# Closing waits for nothing that matters.
CLOSE_SECONDS_MAX = 2.0
STREAM_NOT_FOUND = 10059
PORT = 4222


def subject_of(partition: int | str, tenant: str) -> str:
    # Dots and wildcards mean something in a subject; the rest of a name is readable.
    return f"{BATCHES}.{partition}.{quote(tenant, safe='').replace('.', '%2E')}"


def subjects_of(partition: int | str) -> str:
    """Those of all tenants."""
    return f"{BATCHES}.{partition}.*"


def tenant_of(subject: str) -> str:
    return unquote(subject.rpartition(".")[2])


def partition_of(subject: str) -> int:
    return int(subject.split(".")[2])


def raise_if_cancelled() -> None:
    """After each wait for the library, which forgets a cancellation that comes while it flushes."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class ApiError(Exception):
    """What JetStream has refused."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{code} {description}")
        self.code = code


class Shape(NamedTuple):
    """What the stream promises, as one who looks at it can tell."""

    replicas: int
    partitions: int
    bytes_max: int
    tenant_messages_max: int

    def config(self, *, first_sequence: int) -> dict[str, Any]:
        return {
            "name": STREAM,
            "description": "Batches that the journal does not have yet. Touchledger makes and empties it.",
            # The number of partitions is kept in them: a message for another one finds no stream.
            "subjects": [subjects_of(each) for each in range(self.partitions)],
            "retention": "limits",
            "storage": "file",
            "num_replicas": self.replicas,
            # What does not fit is refused, so that its publisher is told.
            "discard": "new",
            "discard_new_per_subject": True,
            "max_bytes": self.bytes_max,
            "max_msgs_per_subject": self.tenant_messages_max,
            "max_msg_size": MESSAGE_BYTES_MAX,
            "max_msgs": -1,
            "max_age": 0,
            "duplicate_window": SAME_MESSAGE_SECONDS * 1_000_000_000,
            "no_ack": False,
            "deny_delete": False,
            "deny_purge": False,
            "allow_direct": True,
            # A stream that is made anew goes on above the one before it: what somebody still wants to take
            # away from that one is nothing of this one.
            "first_seq": first_sequence,
            "republish": {
                "src": f"{BATCHES}.*.*",
                "dest": f"{QUEUED}.{{{{wildcard(1)}}}}",
                "headers_only": True,
            },
        }

    def faults(self, found: Mapping[str, Any]) -> list[str]:
        """Where a stream is not so."""
        wanted = self.config(first_sequence=0)
        return [
            f"{name}: got {found.get(name)}, want {value}"
            for name, value in wanted.items()
            # What is 0 or false is left out; where it begins is its own.
            if name not in ("description", "first_seq") and found.get(name, type(value)()) != value
        ]


def refused_durability(found: Mapping[str, Any], *, replicas: int) -> list[str]:
    """What keeps an ack of this stream from being worth a QUEUED, whatever its sizes are."""
    wanted = {"storage": "file", "num_replicas": replicas, "discard": "new", "no_ack": False}
    return [
        f"{name}: got {found.get(name)}, want {value}"
        for name, value in wanted.items()
        if found.get(name, False) != value
    ]


def partitions_of(found: Mapping[str, Any]) -> int:
    return len(found.get("subjects", ()))


class Link:
    """A connection that comes back by itself, to any of the servers."""

    def __init__(
        self,
        servers: str,
        *,
        name: str,
        ca_file: Path | None = None,
        cert_file: Path | None = None,
        key_file: Path | None = None,
    ) -> None:
        """servers: nats:// or tls:// URLs, separated by commas."""
        self._servers = _urls(servers)
        self._name = name
        self._tls = _tls(self._servers, ca_file, cert_file, key_file)
        self._client: Client | None = None
        # Counts connections: whatever was found out over another one may not hold any more.
        self.generation = 0
        self._heard: dict[str, Callable[[Msg], Awaitable[None]]] = {}

    def hear(self, subject: str, heard: Callable[[Msg], Awaitable[None]]) -> None:
        """Of each message on the subject, as long as there is a connection. Before `run`."""
        self._heard[subject] = heard

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            closed = asyncio.Event()
            client = Client()
            try:
                await self._connect(client, closed)
                await closed.wait()
            except (OSError, TimeoutError, nats.errors.Error) as error:
                log.warning("buffer away", error=type(error).__name__)
            finally:
                self._client = None
                await _close(client)
            await asyncio.sleep(RECONNECT_EVERY_SECONDS)

    async def _connect(self, client: Client, closed: asyncio.Event) -> None:
        async def on_error(error: Exception) -> None:
            log.info("buffer", error=type(error).__name__)

        async def on_change() -> None:
            self.generation += 1
            log.info("buffer", connected=client.is_connected)

        async def on_close() -> None:
            self.generation += 1
            closed.set()

        await client.connect(
            servers=list(self._servers),
            name=f"touchledger-{self._name}",
            error_cb=on_error,
            disconnected_cb=on_change,
            reconnected_cb=on_change,
            closed_cb=on_close,
            max_reconnect_attempts=-1,
            connect_timeout=CONNECT_SECONDS_MAX,
            # The library says whole seconds and takes any.
            reconnect_time_wait=RECONNECT_EVERY_SECONDS,  # type: ignore[arg-type]
            ping_interval=PING_EVERY_SECONDS,
            max_outstanding_pings=PINGS_UNANSWERED_MAX,
            # Nothing is kept for a connection that may come: whoever waits is told at once.
            pending_size=0,
            tls=self._tls,
        )
        raise_if_cancelled()
        for subject, heard in self._heard.items():
            await client.subscribe(subject, cb=heard)
            raise_if_cancelled()
        self.generation += 1
        self._client = client
        log.info("buffer", connected=True)

    @property
    def client(self) -> Client:
        """Raises Unavailable where there is no connection."""
        if self._client is None or not self._client.is_connected:
            raise Unavailable("the buffer, which is away")
        return self._client

    async def request(
        self,
        subject: str,
        payload: bytes,
        *,
        headers: dict[str, str] | None = None,
        seconds_max: float = ASK_SECONDS_MAX,
    ) -> Msg:
        """Raises Unavailable where no answer comes."""
        client = self.client
        try:
            # The library's own deadline begins after what it sends was taken.
            async with asyncio.timeout(seconds_max):
                answer = await client.request(
                    subject, payload, timeout=seconds_max, headers=headers
                )
                raise_if_cancelled()
                return answer
        except (OSError, TimeoutError, nats.errors.Error) as error:
            raise Unavailable("an answer of the buffer", got=type(error).__name__) from error

    async def api(self, name: str, asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer of JetStream's API, such as STREAM.INFO; raises ApiError and Unavailable."""
        message = await self.request(
            f"$JS.API.{name}.{STREAM}", json.dumps(asked).encode() if asked else b""
        )
        try:
            answer: dict[str, Any] = json.loads(message.data)
        except ValueError:
            raise Unavailable("an answer of JetStream", got="something else") from None
        if error := answer.get("error"):
            raise ApiError(error.get("err_code", 0), error.get("description", ""))
        return answer

    async def stream(self, asked: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Configuration and state of the stream; None where there is none."""
        try:
            return await self.api("STREAM.INFO", asked)
        except ApiError as error:
            if error.code != STREAM_NOT_FOUND:
                raise
        return None


async def _close(client: Client) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS_MAX):
            await client.close()
    except Exception as error:
        log.info("buffer not closed", error=type(error).__name__, where=place_of(error))


def _urls(servers: str) -> tuple[str, ...]:
    urls = tuple(each.strip() for each in servers.split(",") if each.strip())
    for url in urls:
        try:
            split = urlsplit(url)
            good = split.scheme in ("nats", "tls") and split.hostname and (split.port or PORT)
        except ValueError:
            good = None
        if not good:
            # Without the value: a password may stand in it.
            raise Unsuitable("buffer: got something else, want nats://HOST:PORT or tls://HOST:PORT")
    if not urls:
        raise Unsuitable("buffer: got nothing, want nats://HOST:PORT, or several with commas")
    return urls


def _tls(
    urls: tuple[str, ...], ca_file: Path | None, cert_file: Path | None, key_file: Path | None
) -> ssl.SSLContext | None:
    if not any(urlsplit(url).scheme == "tls" for url in urls):
        return None
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if cert_file:
            context.load_cert_chain(cert_file, key_file)
    except OSError as error:
        raise Unsuitable(
            f"buffer: certificate files: {error.strerror}, want PEM files for tls://"
        ) from None
    return context
