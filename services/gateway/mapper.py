"""Makes events of stored deliveries: as soon as they are stored, and again in a replay.

Any number of gateways map, each what no other has in hand. Whatever ends in between, a delivery is mapped in
the end, perhaps twice: its events have ids of the vendor, so that twice is once.
"""

import asyncio
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import Corrupt, Malformed, Unavailable, place_of
from services.gateway.adapters.adapter import Delivery
from services.gateway.deliveries import Deliveries, log_failure
from services.gateway.upstream import Content, Upstream
from services.gateway.webhooks import Webhook, Webhooks
from touchledger.v1 import events_pb2, ingest_pb2
from touchledger.v1 import webhooks_pb2 as pb
from touchledger.v1.problem_pb2 import Problem

log = structlog.get_logger()

# Events of one call; also at most so many bytes, since journal and gateway take messages of 8 MiB.
EVENTS_MAX, EVENTS_BYTES_MAX = 500, 4 * 1024 * 1024
# Deliveries that are published together came within it: whether their events are late is told by one of them.
TOGETHER = timedelta(minutes=1)
# What other gateways stored and did not come to map.
POLL_SECONDS = 1.0
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 1.0, 60.0
# One call of a replay: a client waits for it.
REPLAY_SECONDS = 5.0
TROUBLES_MAX = 100
PAGE_TOKEN = re.compile(r"([0-9]{1,16})\.([0-9]{1,18})", re.ASCII)
UNOPENED = Problem(
    code="DATA_LOSS", got="a delivery sealed with another secret", want="this gateway's"
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Outcome:
    """What came of deliveries of one webhook."""

    counts: pb.WebhookCounts = field(default_factory=pb.WebhookCounts)
    # Ids of those that are dealt with, and of those that have to be mapped again.
    done: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    # Those that wait for the gateway's right secret.
    unopened: list[int] = field(default_factory=list)
    troubles: list[pb.ReplayTrouble] = field(default_factory=list)


@dataclass(slots=True)
class Read:
    """What a delivery was read as."""

    delivery_id: int
    received_at: datetime
    body: bytes
    # None where it could not be opened.
    events: Sequence[events_pb2.Event | Problem] | None


class Mapper:
    def __init__(self, webhooks: Webhooks, deliveries: Deliveries, upstream: Upstream) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._upstream = upstream
        self._stored = asyncio.Event()

    def wake(self) -> None:
        """This gateway stored something: it need not wait for the next poll."""
        self._stored.set()

    async def run(self) -> None:
        """Maps what is stored, until cancelled."""
        while True:
            self._stored.clear()
            try:
                taken = await self.map_some()
            except Exception as error:
                # Whatever it is, deliveries are safe, and the gateway has other work to go on with.
                log_failure(error, doing="taking deliveries in hand")
                taken = 0
                await asyncio.sleep(POLL_SECONDS)
            if not taken:
                try:
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._stored.wait()
                except TimeoutError:
                    pass

    async def map_some(self) -> int:
        """Takes some deliveries in hand and maps them; how many there were."""
        rows = await self._deliveries.take()
        for webhook_id, some in itertools.groupby(
            sorted(rows, key=lambda row: (row["webhook_id"], row["delivery_id"])),
            key=lambda row: str(row["webhook_id"]),
        ):
            await self._map_and_tell(webhook_id, list(some))
        return len(rows)

    async def _map_and_tell(self, webhook_id: str, rows: list[asyncpg.Record]) -> None:
        try:
            webhook = await self._webhooks.find(webhook_id)
            if webhook is None:  # deleted meanwhile: the sweep takes them
                return
            outcome = await self._map(webhook, rows)
            await self._finish(webhook_id, outcome)
            again = outcome.again + outcome.unopened
        except Exception as error:
            log_failure(error, doing="mapping deliveries")
            again = [row["delivery_id"] for row in rows]
        if again:
            tried = max(row["attempts"] for row in rows)
            wait = min(RETRY_SECONDS_MAX, RETRY_SECONDS_MIN * 2 ** min(tried - 1, 10))
            await self._deliveries.put_back(again, due_in_seconds=wait)

    async def replay(
        self, tenant: str, request: pb.ReplayDeliveriesRequest
    ) -> pb.ReplayDeliveriesResponse:
        webhook = await self._webhooks.of_tenant(tenant, request.webhook_id)
        after = _after(request)
        answer = pb.ReplayDeliveriesResponse()
        ends_at = asyncio.get_running_loop().time() + REPLAY_SECONDS
        while True:
            rows = await self._deliveries.page(webhook.webhook_id, after)
            if not rows:
                return answer
            outcome = await self._map(webhook, rows)
            if outcome.again:
                raise Unavailable("a quarantine that can be written")
            await self._finish(webhook.webhook_id, outcome)
            _add(answer.counts, outcome.counts)
            left = TROUBLES_MAX - len(answer.troubles)
            answer.troubles.extend(outcome.troubles[:left])
            after = rows[-1]["received_at"], rows[-1]["delivery_id"]
            if asyncio.get_running_loop().time() >= ends_at:
                answer.next_page_token = _token(*after)
                return answer

    async def _finish(self, webhook_id: str, outcome: Outcome) -> None:
        counts = outcome.counts
        await self._deliveries.finish(webhook_id, outcome.done, counts)
        if counts.conflicts or counts.rejected:
            log.warning(
                "deliveries with events that are not recorded",
                webhook=webhook_id[:8],
                conflicts=counts.conflicts,
                rejected=counts.rejected,
            )

    async def _map(self, webhook: Webhook, rows: Sequence[asyncpg.Record]) -> Outcome:
        """Reads deliveries and publishes what they tell. Raises what is retryable."""
        # A mapping of a large delivery takes a third of a second: others go on meanwhile.
        read = await asyncio.to_thread(self._read, webhook, rows)
        outcome = Outcome()
        again = set[int]()
        for batch in _batches(read):
            contents = [
                Content(each.body, webhook.adapter.name) if isinstance(event, Problem) else None
                for each, event in batch
            ]
            # Publishing changes events.
            event_ids = [
                event.event_id if isinstance(event, events_pb2.Event) else "" for _, event in batch
            ]
            results = await self._upstream.publish(
                webhook.caller,
                [event for _, event in batch],
                ingest_pb2.Attempt(),
                adapter=webhook.adapter.name,
                contents=contents,
                received_at=_timestamp(batch[-1][0].received_at),
            )
            for (each, _), event_id, result in zip(batch, event_ids, results, strict=True):
                if result.disposition == ingest_pb2.DISPOSITION_RETRY:
                    again.add(each.delivery_id)
                else:
                    _count(outcome, each, event_id, result)
        outcome.again = sorted(again)
        for each in read:
            if each.events is None:
                outcome.unopened.append(each.delivery_id)
                outcome.troubles.append(_trouble(each, "", UNOPENED))
        left = again.union(outcome.unopened)
        outcome.done = [each.delivery_id for each in read if each.delivery_id not in left]
        outcome.counts.deliveries = len(outcome.done)
        outcome.counts.empty = sum(
            1 for each in read if each.events is not None and not each.events
        )
        return outcome

    def _read(self, webhook: Webhook, rows: Sequence[asyncpg.Record]) -> list[Read]:
        read = []
        for row in rows:
            events: Sequence[events_pb2.Event | Problem] | None = None
            body = b""
            try:
                delivery = self._deliveries.opened(webhook, row)
            except Corrupt:
                # It waits for the gateway's right secret.
                log.error("a delivery can't be opened", delivery_id=row["delivery_id"])
            else:
                events, body = events_of(webhook, delivery), delivery.body
            read.append(Read(row["delivery_id"], row["received_at"], body, events))
        return read


def events_of(webhook: Webhook, delivery: Delivery) -> Sequence[events_pb2.Event | Problem]:
    try:
        return webhook.adapter.read(delivery, webhook.config)
    except Exception as error:
        # A fault of the adapter's harms no other delivery, and is mended by a replay.
        kind = type(error).__name__
        log.error("adapter failed", adapter=webhook.adapter.name, error=kind, where=place_of(error))
        return [Problem(code="ADAPTER_FAILED", got=kind, want="an adapter that can read it")]


def _batches(
    read: Iterable[Read],
) -> Iterable[list[tuple[Read, events_pb2.Event | Problem]]]:
    """The events of all deliveries, in their order, as many together as one call takes."""
    batch = list[tuple[Read, events_pb2.Event | Problem]]()
    size = 0
    for each in read:
        for event in each.events or ():
            # In place of what could not be read, the whole delivery is kept.
            more = len(each.body) if isinstance(event, Problem) else event.ByteSize()
            if batch and (
                len(batch) >= EVENTS_MAX
                or size + more > EVENTS_BYTES_MAX
                or abs(each.received_at - batch[0][0].received_at) > TOGETHER
            ):
                yield batch
                batch, size = [], 0
            batch.append((each, event))
            size += more
    if batch:
        yield batch


def _count(outcome: Outcome, read: Read, event_id: str, result: ingest_pb2.PublishResult) -> None:
    counts = outcome.counts
    match result.disposition:
        case ingest_pb2.DISPOSITION_RECORDED:
            counts.recorded += 1
            return
        case ingest_pb2.DISPOSITION_DUPLICATE:
            counts.duplicates += 1
            return
        case ingest_pb2.DISPOSITION_QUARANTINED:
            counts.quarantined += 1
        case _ if result.problem.code == "EVENT_ID_CONFLICT":
            counts.conflicts += 1
        case _:
            counts.rejected += 1
    outcome.troubles.append(_trouble(read, event_id, result.problem))


def _trouble(read: Read, event_id: str, problem: Problem) -> pb.ReplayTrouble:
    return pb.ReplayTrouble(
        received_at=_timestamp(read.received_at), event_id=event_id, problem=problem
    )


def _add(counts: pb.WebhookCounts, more: pb.WebhookCounts) -> None:
    for each, number in more.ListFields():
        setattr(counts, each.name, getattr(counts, each.name) + number)


def _after(request: pb.ReplayDeliveriesRequest) -> tuple[datetime, int]:
    """Where a page begins: after this delivery."""
    if request.page_token:
        match = PAGE_TOKEN.fullmatch(request.page_token)
        if match is None:
            raise Malformed("a token of an answer", field="page_token", got="other text")
        return EPOCH + timedelta(microseconds=int(match[1])), int(match[2])
    if not request.HasField("received_from"):
        return EPOCH, 0
    try:
        return request.received_from.ToDatetime(UTC), 0
    except (ValueError, OverflowError):
        raise Malformed(
            "a moment in the years 1 to 9999", field="received_from", got="another"
        ) from None


def _token(received_at: datetime, delivery_id: int) -> str:
    return f"{(received_at - EPOCH) // timedelta(microseconds=1)}.{delivery_id}"


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
