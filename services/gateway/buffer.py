"""Queues checked events in front of the journal: packed by partition and tenant, acknowledged by the stream.

QUEUED is told of an event when the stream that was asked for has said that it has its message, and never
else. Of a message whose ack does not come it is not known whether it is stored: its events are told RETRY,
and the journal finds the ones that come twice.
"""

import asyncio
import json
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import uuid4

import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import telemetry
from services.chassis.buffer import (
    MESSAGE_BYTES,
    MESSAGE_EVENTS_MAX,
    MESSAGE_REQUESTS_MAX,
    STREAM,
    ApiError,
    Link,
    partitions_of,
    refused_durability,
    subject_of,
)
from services.chassis.errors import Exhausted, ServiceError, Unavailable, place_of
from services.chassis.wire import with_length
from services.gateway.checks import Good
from services.gateway.encoding import Shared, append_request
from services.gateway.keyring import Keyring
from touchledger.v1 import ingest_pb2

log = structlog.get_logger()

# How often the stream is looked at: whether it is there, and still what an ack is worth something of.
LOOK_EVERY_SECONDS = 1.0
# What was seen longer ago tells nothing of now.
LOOK_SECONDS_MAX = 5.0
# An ack takes milliseconds, and some seconds where the servers have to find another leader. A message is
# sent again under its id until then; its publisher is told to repeat after it.
ACK_SECONDS_MAX = 1.5
QUEUE_SECONDS_MAX = 5.0
# With what waits before it in the same partition. A publisher is better told to repeat than kept waiting.
RESULT_SECONDS_MAX = 10.0
# Between two attempts where nobody keeps the stream at the moment.
NOBODY_SECONDS = 0.1
# Of events that wait for their message to be sent, or for its ack: at 1 ms an ack, some thousand messages.
PENDING_BYTES_MAX = 64 * 1024 * 1024
# Beyond it a tenant's share is full, or the stream is: recorders are behind, for seconds at least.
RETRY_FULL_SECONDS = 2.0
# Where a request stands in an AppendManyRequest, and what an entry has beside the event as it came: topic,
# digest, intake, pseudonym.
REQUEST = b"\x0a"
ENTRY_BYTES_MORE = 200
# JetStream's words for a stream, or a subject of it, that takes no more.
STORE_FAILED, RESOURCES = 10077, (10023, 10028, 10047)
NO_MESSAGE = 10037

QUEUED = ingest_pb2.PublishResult(disposition=ingest_pb2.DISPOSITION_QUEUED)

acked = telemetry.meter.create_counter(
    "touchledger.buffer.queued", unit="{event}", description="Events that were answered QUEUED."
)
ack_duration = telemetry.duration_histogram(
    "touchledger.buffer.ack.duration", "From when a batch is sent until the stream has it."
)


@dataclass(slots=True, eq=False)
class _Request:
    """Events of one publish, encoded as an AppendRequest, and whether the stream has them."""

    encoded: bytes
    events: int
    done: "asyncio.Future[None]"


@dataclass(slots=True)
class _Lane:
    """What goes to one subject: one message at a time, so that what waits meanwhile is one message, too.

    It also keeps order: what comes later is not sent before what came earlier has its ack.
    """

    waiting: deque[_Request] = field(default_factory=deque)
    sending: asyncio.Task[None] | None = None


class Parcel:
    """The events of a publish on their way."""

    def __init__(self, events: int) -> None:
        self.events = events
        # Which of them go in which request.
        self.parts = list[tuple[Sequence[int], _Request]]()

    async def results(self) -> Sequence[ingest_pb2.PublishResult]:
        """In the order of the events: QUEUED, or RETRY with the reason. All RETRY: raises it."""
        results = [QUEUED] * self.events
        refused = list[ServiceError]()
        for indexes, request in self.parts:
            error = await _refusal_of(request)
            if error is not None:
                refused.append(error)
                retry = ingest_pb2.PublishResult(
                    disposition=ingest_pb2.DISPOSITION_RETRY, problem=error.problem
                )
                for index in indexes:
                    results[index] = retry
        if len(refused) == len(self.parts):
            raise refused[0]
        return results


async def _refusal_of(request: _Request) -> ServiceError | None:
    try:
        async with asyncio.timeout(RESULT_SECONDS_MAX):
            await request.done
    except TimeoutError:
        return Unavailable("a buffer that keeps up; it may have been queued")
    except ServiceError as error:
        return error
    return None


class Buffer:
    def __init__(self, link: Link, keyring: Keyring, *, replicas: int) -> None:
        """replicas: what the stream must have for its acks to be worth a QUEUED."""
        self._link = link
        self._keyring = keyring
        self._replicas = replicas
        self._lanes = dict[str, _Lane]()
        self._pending_bytes = 0
        self._partitions = 0
        # The stream begins there; what is acknowledged below is another one's.
        self._first_sequence = 0
        self._looked_at = float("-inf")
        self._fault = "not looked at yet"
        self._look_now = asyncio.Event()

    async def run(self) -> None:
        """Looks at the stream again and again, until cancelled."""
        while True:
            await self._look()
            self._look_now.clear()
            try:
                async with asyncio.timeout(LOOK_EVERY_SECONDS):
                    await self._look_now.wait()
            except TimeoutError:
                pass

    async def _look(self) -> None:
        try:
            stream = await self._link.stream()
        except (ServiceError, ApiError) as error:
            # What was seen holds a while: the servers may be about to choose a leader.
            if self._seen_ago() > LOOK_SECONDS_MAX:
                self._fault = f"the buffer does not answer: {type(error).__name__}"
            return
        self._looked_at = asyncio.get_running_loop().time()
        if stream is None:
            self._fault = f"no stream {STREAM}"
            return
        config = stream["config"]
        faults = refused_durability(config, replicas=self._replicas)
        self._fault = f"{STREAM}: {', '.join(faults)}" if faults else ""
        self._partitions = partitions_of(config)
        self._first_sequence = config.get("first_seq", 0)

    def _seen_ago(self) -> float:
        return asyncio.get_running_loop().time() - self._looked_at

    def ready(self) -> str:
        """Why nothing could be queued now, or ""."""
        return self._fault

    def pending_bytes(self) -> int:
        return self._pending_bytes

    async def queue(self, shared: Shared, events: Good) -> Sequence[ingest_pb2.PublishResult]:
        """A result for each event, see Parcel."""
        return await (await self.put(shared, events)).results()

    async def put(self, shared: Shared, events: Good) -> Parcel:
        """Encodes the events and has them sent. What becomes of them, the parcel tells."""
        if self._fault:
            raise Unavailable("a buffer that keeps what it acknowledges", got=self._fault)
        parcel = Parcel(len(events.events))
        for indexes, subject in self._parts(shared, events):
            if parcel.parts:
                # A large publish is encoded part by part, and others get their turn.
                await asyncio.sleep(0)
            some = events if len(indexes) == parcel.events else events.chosen(indexes)
            encoded = b"".join(append_request(shared, some, self._keyring))
            parcel.parts.append((indexes, self._put(subject, encoded, len(indexes))))
        return parcel

    async def oldest_of(self, tenant: str) -> Timestamp | None:
        """When the tenant's oldest batch that is not recorded was queued. Raises Unavailable.

        Asked of the stream's leader: another server may not know yet of what was queued just now.
        """
        asked = {"seq": 1, "next_by_subj": subject_of("*", tenant)}
        try:
            found = await self._link.api("STREAM.MSG.GET", asked)
        except ApiError as error:
            if error.code == NO_MESSAGE:
                return None
            raise Unavailable(f"the stream {STREAM}", got=str(error)) from error
        queued_at = Timestamp()
        queued_at.FromJsonString(found["message"]["time"])
        return queued_at

    def _parts(self, shared: Shared, events: Good) -> list[tuple[Sequence[int], str]]:
        """Which events go together, in their order, and on which subject.

        Those of a customer go to one partition. Those without one go together, by how the first of them
        begins, which is its id: a repeat goes the same way.
        """
        parts = list[tuple[list[int], str]]()
        open_parts = dict[int, tuple[list[int], int]]()
        without = 0
        for index, customer in enumerate(events.customers):
            if not customer and not without:
                without = zlib.crc32(events.encodings[index][:64]) + 1
            place = zlib.crc32(f"{shared.tenant}\0{customer}".encode()) if customer else without - 1
            number = place % self._partitions
            size = len(events.encodings[index]) + ENTRY_BYTES_MORE
            indexes, before = open_parts.get(number, ([], 0))
            if not indexes or before + size > MESSAGE_BYTES or len(indexes) >= MESSAGE_EVENTS_MAX:
                indexes, before = [], 0
                parts.append((indexes, subject_of(number, shared.tenant)))
            indexes.append(index)
            open_parts[number] = indexes, before + size
        return [*parts]

    def _put(self, subject: str, encoded: bytes, events: int) -> _Request:
        request = _Request(encoded, events, asyncio.get_running_loop().create_future())
        if self._pending_bytes + len(encoded) > PENDING_BYTES_MAX:
            request.done.set_exception(
                Exhausted(
                    f"at most {PENDING_BYTES_MAX} bytes that wait for the buffer",
                    field="events",
                    got=f"{self._pending_bytes} bytes",
                )
            )
            return request
        self._pending_bytes += len(encoded)
        request.done.add_done_callback(partial(self._let_go, len(encoded)))
        lane = self._lanes.setdefault(subject, _Lane())
        lane.waiting.append(request)
        if lane.sending is None:
            # It begins after this turn of the event loop: publishes that came together go together.
            lane.sending = asyncio.create_task(self._send(subject, lane), name="queue a batch")
        return request

    def _let_go(self, size: int, done: "asyncio.Future[None]") -> None:
        self._pending_bytes -= size
        # When its caller has gone, nobody else looks at it.
        if not done.cancelled():
            done.exception()

    async def _send(self, subject: str, lane: _Lane) -> None:
        try:
            while lane.waiting:
                message = _next_message(lane.waiting)
                if not message:
                    continue
                try:
                    await self._publish(subject, message)
                except Exception as error:
                    # What waits behind it must not come before it. It would meet the same, too.
                    message += lane.waiting
                    lane.waiting.clear()
                    told = _told(error)
                    for each in message:
                        if not each.done.done():
                            each.done.set_exception(told)
                    continue
                acked.add(sum(each.events for each in message))
                for each in message:
                    if not each.done.done():
                        each.done.set_result(None)
        finally:
            for each in lane.waiting:
                each.done.cancel()
            del self._lanes[subject]

    async def _publish(self, subject: str, message: Sequence[_Request]) -> None:
        """Until the stream has it. Raises Unavailable where that is not known, Exhausted where it is full."""
        payload = b"".join([with_length(REQUEST, each.encoded) for each in message])
        headers = {"Nats-Msg-Id": uuid4().hex, "Nats-Expected-Stream": STREAM}
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            left = began + QUEUE_SECONDS_MAX - loop.time()
            try:
                message_seconds = max(0.0, min(ACK_SECONDS_MAX, left))
                answer = await self._link.request(
                    subject, payload, headers=headers, seconds_max=message_seconds
                )
                self._check(answer.data)
                ack_duration.record(loop.time() - began)
                return
            except Unavailable:
                self._look_now.set()
                if loop.time() + NOBODY_SECONDS > began + QUEUE_SECONDS_MAX:
                    raise
                await asyncio.sleep(NOBODY_SECONDS)

    def _check(self, answer: bytes) -> None:
        """Whether this is the stream's word that it has the message."""
        try:
            told = json.loads(answer)
            error = told.get("error")
            stream, sequence = told.get("stream"), int(told.get("seq", 0))
        except (ValueError, AttributeError, TypeError):
            raise Unavailable("an ack of the stream", got="something else") from None
        if error:
            raise _refusal(error.get("err_code", 0), error.get("description", ""))
        if stream != STREAM or sequence < max(1, self._first_sequence):
            raise Unavailable(f"an ack of the stream {STREAM}", got=f"of {stream} at {sequence}")


def _told(error: Exception) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    # Whatever it is, nobody is left without an answer.
    log.error("unexpected", method="queue", error=type(error).__name__, where=place_of(error))
    return Unavailable("a buffer that takes batches")


def _refusal(code: int, description: str) -> ServiceError:
    if code == STORE_FAILED and "per subject" in description:
        return Exhausted(
            "fewer events of this tenant that are not recorded yet",
            code="TENANT_BUFFER_FULL",
            field="events",
            got="as many batches in a partition as a tenant may have",
            retry_after_seconds=RETRY_FULL_SECONDS,
        )
    if code == STORE_FAILED or code in RESOURCES:
        return Exhausted(
            "room in the buffer: recorders are behind",
            code="BUFFER_FULL",
            field="events",
            got=description,
            retry_after_seconds=RETRY_FULL_SECONDS,
        )
    return Unavailable(f"the stream {STREAM}, which takes batches", got=description)


def _next_message(waiting: deque[_Request]) -> list[_Request]:
    """Empty where nobody waits any more."""
    message, size, events = list[_Request](), 0, 0
    while waiting and len(message) < MESSAGE_REQUESTS_MAX:
        if waiting[0].done.done():
            # Its caller has gone.
            waiting.popleft()
            continue
        size += len(waiting[0].encoded)
        events += waiting[0].events
        if message and (size > MESSAGE_BYTES or events > MESSAGE_EVENTS_MAX):
            break
        message.append(waiting.popleft())
    return message
