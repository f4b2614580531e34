"""Makes events of stored deliveries: as soon as they are stored, and again in a replay.

Any number of gateways map, each what no other has in hand. Whatever ends in between, a delivery is mapped in
the end, perhaps twice: its events have ids of the vendor, so that twice is once. One that gateways die of is
given up: it goes into quarantine unread.
"""

import asyncio
import itertools
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import clock
from services.chassis.errors import Corrupt, Malformed, Unavailable, place_of
from services.gateway.adapters.adapter import Delivery
from services.gateway.deliveries import Deliveries, kept_since, log_failure
from services.gateway.quarantine import Quarantine
from services.gateway.upstream import Content, Upstream
from services.gateway.webhooks import Webhook, Webhooks
from touchledger.v1 import events_pb2, ingest_pb2
from touchledger.v1 import webhooks_pb2 as pb
from touchledger.v1.journal_pb2 import Position
from touchledger.v1.problem_pb2 import Problem

log = structlog.get_logger()

# Events of one call; also at most so many bytes, since journal and gateway take messages of 8 MiB.
EVENTS_MAX, EVENTS_BYTES_MAX = 500, 4 * 1024 * 1024
# Deliveries that are published together came within it: whether their events are late is told by one of them.
TOGETHER = timedelta(minutes=1)
# What other gateways stored and did not come to map.
POLL_SECONDS = 1.0
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 1.0, 60.0
# A turn of a webhook: what is not read by then waits for the next one. A single delivery takes a third of a
# second at most.
READ_SECONDS = 0.25
# Of a tenant no further webhook is begun after it, so that whoever comes meanwhile waits no longer.
ROUND_SECONDS = 1.0
# A delivery that has ended so many attempts without an outcome is given up: gateways died of it, or met with
# an error that nobody had foreseen.
ATTEMPTS_MAX = 5
# In a stop.
PUT_BACK_SECONDS_MAX = 2.0
# One call of a replay: a client waits for it.
REPLAY_SECONDS = 5.0
TROUBLES_MAX = 100
STORED = (ingest_pb2.DISPOSITION_RECORDED, ingest_pb2.DISPOSITION_DUPLICATE)
PAGE_TOKEN = re.compile(r"([0-9]{1,16})\.([0-9]{1,18})", re.ASCII)
UNOPENED = Problem(
    code="DATA_LOSS", got="a delivery sealed with another secret", want="this gateway's"
)
GIVEN_UP = Problem(
    code="MAPPING_GIVEN_UP",
    got=f"{ATTEMPTS_MAX} attempts that ended without an outcome",
    want="a delivery that a gateway can map",
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Outcome:
    """What came of deliveries of one webhook."""

    counts: pb.WebhookCounts = field(default_factory=pb.WebhookCounts)
    # Ids of those that are dealt with, and of those that have to be mapped again.
    done: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    # Those that wait for the gateway's right secret, or for one that knows their adapter.
    unopened: list[int] = field(default_factory=list)
    # Those for which there was no time.
    unread: list[int] = field(default_factory=list)
    # Where the events are that are in the journal now, by their ids; and where the last one is of a delivery
    # of which all are, by its body.
    stored: dict[str, Position] = field(default_factory=dict)
    documents: dict[bytes, Position] = field(default_factory=dict)
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
    def __init__(
        self,
        webhooks: Webhooks,
        deliveries: Deliveries,
        upstream: Upstream,
        quarantine: Quarantine,
    ) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._upstream = upstream
        self._quarantine = quarantine
        self._stored = asyncio.Event()
        # By delivery id: what this gateway has taken, and what of it the database was away for when its
        # outcome was to be told.
        self._in_hand = dict[int, asyncpg.Record]()
        self._untold = dict[int, asyncpg.Record]()
        # Two threads at most read, since they keep the event loop waiting; replays, however many there are,
        # keep only each other waiting.
        self._reading, self._reading_again = asyncio.Lock(), asyncio.Lock()

    def wake(self) -> None:
        """This gateway stored something: it need not wait for the next poll."""
        self._stored.set()

    async def run(self) -> None:
        """Maps what is stored, until cancelled."""
        try:
            while True:
                await self._map_or_wait()
        finally:
            # Others need not wait until its time is up, and it is not held against the deliveries.
            self._untold |= self._in_hand
            try:
                async with asyncio.timeout(PUT_BACK_SECONDS_MAX):
                    await self._put_back_untold()
            except Exception as error:
                log_failure(error, doing="putting deliveries back")

    async def _map_or_wait(self) -> None:
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
        await self._put_back_untold()
        rows = await self._deliveries.take()
        self._in_hand |= {row["delivery_id"]: row for row in rows}
        ends_at = asyncio.get_running_loop().time() + ROUND_SECONDS
        rows.sort(key=lambda row: (row["tenant"], row["webhook_id"], row["delivery_id"]))
        async with asyncio.TaskGroup() as tasks:
            for _, some in itertools.groupby(rows, key=lambda row: row["tenant"]):
                tasks.create_task(self._map_turn(list(some), ends_at), name="map deliveries")
        for row in rows:
            if self._in_hand.pop(row["delivery_id"], None):
                self._untold[row["delivery_id"]] = row
        return len(rows)

    async def _map_turn(self, rows: Sequence[asyncpg.Record], ends_at: float) -> None:
        """Of one tenant."""
        now = asyncio.get_running_loop().time
        for index, (webhook_id, some) in enumerate(
            itertools.groupby(rows, key=lambda row: str(row["webhook_id"]))
        ):
            part = list(some)
            try:
                if index and now() >= ends_at:
                    await self._put_back(part, due_in_seconds=0, begun=False)
                else:
                    await self._map_and_tell(webhook_id, part)
            except Exception as error:
                log_failure(error, doing="telling what came of deliveries")

    async def _map_and_tell(self, webhook_id: str, rows: Sequence[asyncpg.Record]) -> None:
        wait = min(
            RETRY_SECONDS_MAX,
            RETRY_SECONDS_MIN * 2 ** min(max(row["attempts"] for row in rows) - 1, 10),
        )
        try:
            webhook = await self._find(webhook_id)
            if webhook is None:
                outcome = Outcome(unopened=[row["delivery_id"] for row in rows])
            else:
                outcome = await self._map(webhook, rows, self._reading)
        except Exception as error:
            was_away = log_failure(error, doing="mapping deliveries")
            await self._put_back(rows, due_in_seconds=wait, answered=was_away)
            return
        # What nobody could open for as long as deliveries are kept is dealt with: the sweep deletes it.
        oldest = kept_since(clock.now().ToDatetime(UTC))
        by_id = {row["delivery_id"]: row for row in rows}
        unopened = [by_id[each] for each in outcome.unopened]
        outcome.done += [row["delivery_id"] for row in unopened if row["received_at"] < oldest]
        await self._finish(webhook_id, outcome)
        for delivery_id in outcome.done:
            self._in_hand.pop(delivery_id, None)
        await self._put_back([by_id[each] for each in outcome.again], due_in_seconds=wait)
        await self._put_back(
            [row for row in unopened if row["received_at"] >= oldest],
            due_in_seconds=RETRY_SECONDS_MAX,
        )
        await self._put_back(
            [by_id[each] for each in outcome.unread], due_in_seconds=0, begun=False
        )

    async def _find(self, webhook_id: str) -> Webhook | None:
        """None where it was deleted, has an adapter of a newer release, or is sealed with another secret."""
        try:
            return await self._webhooks.find(webhook_id)
        except Corrupt:
            log.error("a webhook can't be opened", webhook=webhook_id[:8])
            return None

    async def _put_back(
        self,
        rows: Sequence[asyncpg.Record],
        *,
        due_in_seconds: float,
        begun: bool = True,
        answered: bool = True,
    ) -> None:
        if rows:
            await self._deliveries.put_back(
                rows, due_in_seconds=due_in_seconds, begun=begun, answered=answered
            )
        for row in rows:
            self._in_hand.pop(row["delivery_id"], None)

    async def _put_back_untold(self) -> None:
        if self._untold:
            await self._deliveries.put_back([*self._untold.values()], due_in_seconds=0)
            self._untold.clear()

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
            outcome = await self._map(webhook, rows, self._reading_again)
            if outcome.again:
                raise Unavailable("a quarantine that can be written")
            await self._quarantine.release_mapped(
                webhook.caller, events=outcome.stored, documents=outcome.documents
            )
            await self._finish(webhook.webhook_id, outcome)
            _add(answer.counts, outcome.counts)
            left = TROUBLES_MAX - len(answer.troubles)
            answer.troubles.extend(outcome.troubles[:left])
            last = rows[len(rows) - len(outcome.unread) - 1]
            after = last["received_at"], last["delivery_id"]
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

    async def _map(
        self, webhook: Webhook, rows: Sequence[asyncpg.Record], reading: asyncio.Lock
    ) -> Outcome:
        """Reads deliveries and publishes what they tell. Raises what is retryable."""
        # Others go on meanwhile.
        async with reading:
            read = await asyncio.to_thread(self._read, webhook, rows)
        outcome = Outcome()
        again, incomplete = set[int](), list[bytes]()
        for batch in _batches(read):
            contents = [
                Content(each.body, webhook.adapter.name) if isinstance(event, Problem) else None
                for each, event in batch
            ]
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
                if result.disposition in STORED:
                    outcome.stored[event_id] = outcome.documents[each.body] = result.position
                else:
                    incomplete.append(each.body)
        for body in incomplete:
            outcome.documents.pop(body, None)
        outcome.again = sorted(again)
        outcome.unread = [row["delivery_id"] for row in rows[len(read) :]]
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
        """The first of them at least, and as many as there is time for."""
        ends_at = time.monotonic() + READ_SECONDS
        read = list[Read]()
        for row in rows:
            if read and time.monotonic() >= ends_at:
                break
            events: Sequence[events_pb2.Event | Problem] | None = None
            body = b""
            try:
                delivery = self._deliveries.opened(webhook, row)
            except Corrupt:
                # It waits for the gateway's right secret.
                log.error("a delivery can't be opened", delivery_id=row["delivery_id"])
            else:
                body = delivery.body
                if row["unanswered"] > ATTEMPTS_MAX:
                    log.error("a delivery is given up", delivery_id=row["delivery_id"])
                    events = [GIVEN_UP]
                else:
                    events = events_of(webhook, delivery)
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
