"""Recorders: what is queued is recorded once and in order, whatever happens in between."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from services.chassis.buffer import Link, subject_of
from services.chassis.errors import Unavailable
from services.chassis.postgres import Pool, Unsuitable
from services.touchpoint.journal import Journal
from services.touchpoint.recorder import partitions as partitions_module
from services.touchpoint.recorder import stream as stream_module
from services.touchpoint.recorder.partitions import Partitions
from services.touchpoint.recorder.process import TENANTS_AT_ONCE
from services.touchpoint.recorder.servicer import BufferServicer
from services.touchpoint.recorder.store import Store
from services.touchpoint.recorder.stream import Batch, Stream
from tests.support.buffered import SHAPE, batches_in, put, recording, until
from tests.support.nats_server import NatsServer, nats_server
from touchledger.v1 import buffer_pb2
from touchledger.v1.journal_pb2 import AppendEntry, AppendManyRequest, AppendRequest

NO_CONTEXT = cast(Any, None)
IDS = "SELECT state FROM journal.stored_events ORDER BY notification_id"
REFUSED = (
    "SELECT tenant, event_id, code, format, content IS NOT NULL AS kept FROM journal.buffer_refused"
)


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def link(nats: NatsServer) -> AsyncIterator[Link]:
    link = Link(nats.url, name="test")
    running = asyncio.create_task(link.run())
    await until(lambda: link.generation)
    yield link
    running.cancel()
    await asyncio.wait([running])


@pytest.fixture
async def stream(link: Link) -> Stream:
    """It is there, and nobody records it."""
    stream = Stream(link, SHAPE)
    await stream.keep()
    return stream


def packed(*event_ids: str, tenant: str = "acme", digest: bytes = bytes(32)) -> bytes:
    entries = [
        AppendEntry(event_id=each, topic="t", event=each.encode(), content_digest=digest)
        for each in event_ids
    ]
    request = AppendRequest(tenant=tenant, source="till", entries=entries)
    return AppendManyRequest(requests=[request]).SerializeToString()


async def stored(pool: Pool) -> list[str]:
    return [row["state"].decode() for row in await pool.fetch(IDS)]


async def test_batches_are_recorded_in_order_and_taken_away(
    stream: Stream, nats: NatsServer, journal_pool: Pool
) -> None:
    await put(nats, subject_of(0, "acme"), *(packed(f"{n}a", f"{n}b") for n in range(50)))
    async with recording(journal_pool, nats):
        await until(lambda: batches_in(nats), 0)
    assert await stored(journal_pool) == [f"{n}{each}" for n in range(50) for each in "ab"]


async def test_what_was_recorded_and_not_taken_away_is_recorded_once(
    stream: Stream, nats: NatsServer, journal_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(nats, subject_of(0, "acme"), packed("one"))
    take_away, lost = Stream.take_away, list[str]()

    async def lose_first(self: Stream, subject: str, *, up_to: int, generation: int) -> None:
        if not lost:
            lost.append(subject)
            raise Unavailable("a purge that comes through")
        await take_away(self, subject, up_to=up_to, generation=generation)

    monkeypatch.setattr(Stream, "take_away", lose_first)
    async with recording(journal_pool, nats):
        await until(lambda: batches_in(nats), 0)
    assert lost
    assert await stored(journal_pool) == ["one"]


async def test_what_was_queued_twice_is_recorded_once(
    stream: Stream, nats: NatsServer, journal_pool: Pool
) -> None:
    await put(nats, subject_of(0, "acme"), packed("one", "two"), packed("two", "three"))
    async with recording(journal_pool, nats):
        await until(lambda: batches_in(nats), 0)
    assert await stored(journal_pool) == ["one", "two", "three"]


async def test_what_the_journal_never_takes_is_set_aside_and_the_others_recorded(
    stream: Stream, nats: NatsServer, journal_pool: Pool
) -> None:
    await put(
        nats,
        subject_of(0, "acme"),
        packed("a"),
        b"\xff no message",
        packed("b", "c", digest=bytes(5)),
        packed("stranger", tenant="other"),
        packed("a", digest=b"x" * 32),
        packed("d"),
    )
    async with recording(journal_pool, nats):
        await until(lambda: batches_in(nats), 0)
    assert await stored(journal_pool) == ["a", "d"]
    assert {tuple(row) for row in await journal_pool.fetch(REFUSED)} == {
        ("acme", "", "UNREADABLE_BATCH", "batch", True),
        ("acme", "b", "INVALID_ARGUMENT", "entry", True),
        ("acme", "c", "INVALID_ARGUMENT", "entry", True),
        ("", "stranger", "FOREIGN_TENANT", "entry", True),
        ("acme", "a", "EVENT_ID_CONFLICT", "", False),
    }


async def test_an_error_that_may_pass_refuses_nothing(
    stream: Stream, nats: NatsServer, journal_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(nats, subject_of(0, "acme"), packed("one"))
    append_many, failed = Journal.append_many, list[int]()

    async def fail_first(self: Journal, many: list[object]) -> object:
        if len(failed) < 2:
            failed.append(len(many))
            # A primary that became a standby.
            return [asyncpg.ReadOnlySQLTransactionError("not now") for _ in many]
        return await append_many(self, many)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "append_many", fail_first)
    async with recording(journal_pool, nats):
        await until(lambda: batches_in(nats), 0)
    assert failed == [1, 1]
    assert await stored(journal_pool) == ["one"]
    assert not await journal_pool.fetch(REFUSED)


async def test_a_tenant_waits_for_one_page_of_anothers_backlog_and_not_for_all_of_it(
    stream: Stream, nats: NatsServer, journal_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "PAGE_MESSAGES_MAX", 10)
    await put(nats, subject_of(0, "loud"), *(packed(f"{n}", tenant="loud") for n in range(200)))
    await put(nats, subject_of(0, "quiet"), packed("quiet", tenant="quiet"))
    async with recording(journal_pool, nats):
        await until(lambda: batches_in(nats), 0)
    recorded = await stored(journal_pool)
    assert len(recorded) == 201
    assert recorded.index("quiet") <= 10 * TENANTS_AT_ONCE
    assert [each for each in recorded if each != "quiet"] == [f"{n}" for n in range(200)]


async def test_a_page_with_a_gap_is_not_used(
    stream: Stream, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library drops what is more than its bounds."""
    await put(nats, subject_of(0, "acme"), *(packed(f"{n}") for n in range(5)))
    batch_of, seen = stream_module._batch, list[Batch]()

    def lose_second(message: object, headers: object, before: int) -> Batch:
        seen.append(batch_of(message, headers, before))  # type: ignore[arg-type]
        return seen[0]

    monkeypatch.setattr(stream_module, "_batch", lose_second)
    with pytest.raises(Unavailable):
        await stream.read(subject_of(0, "acme"))


async def test_a_stream_that_is_not_as_told_ends_the_start(stream: Stream, link: Link) -> None:
    for wrong in (
        SHAPE._replace(bytes_max=SHAPE.bytes_max * 2),
        SHAPE._replace(tenant_messages_max=5),
        SHAPE._replace(partitions=3),
        SHAPE._replace(replicas=3),
    ):
        with pytest.raises(Unsuitable, match=r"got .*, want .*"):
            await Stream(link, wrong).keep()


async def test_a_stream_is_changed_only_where_that_was_said(
    stream: Stream, link: Link, nats: NatsServer
) -> None:
    await put(nats, subject_of(0, "acme"), packed("one"))
    larger = SHAPE._replace(bytes_max=SHAPE.bytes_max * 2)
    await Stream(link, larger, change=True).keep()
    await Stream(link, larger).keep()
    # Order would be lost: events of one customer would wait in two partitions.
    with pytest.raises(Unsuitable, match="want it empty"):
        await Stream(link, larger._replace(partitions=3), change=True).keep()
    assert len(await batches_in(nats)) == 1


async def test_a_stream_that_is_made_anew_begins_above_the_one_before(
    stream: Stream, link: Link, nats: NatsServer
) -> None:
    await put(nats, subject_of(0, "acme"), packed("old"))
    [old] = await batches_in(nats)
    generation = link.generation
    await stream.keep()
    await link.api("STREAM.DELETE")
    await stream.keep()
    assert stream.lost_batches == 1
    await put(nats, subject_of(0, "acme"), packed("new"))
    # What somebody still wants to take away from the old one is nothing of the new one.
    await stream.take_away(old.subject, up_to=old.sequence, generation=generation)
    [new] = await batches_in(nats)
    assert new.sequence > old.sequence


async def test_nothing_is_taken_away_over_another_connection(
    stream: Stream, link: Link, nats: NatsServer
) -> None:
    await put(nats, subject_of(0, "acme"), packed("one"))
    page = await stream.read(subject_of(0, "acme"))
    before = link.generation
    nats.kill()
    nats.start()
    await until(lambda: link.generation > before + 1)
    with pytest.raises(Unavailable):
        await stream.take_away(
            page.batches[0].subject,
            up_to=page.batches[0].sequence,
            generation=page.generation,
        )


async def test_recorders_go_on_when_the_servers_come_back_empty(
    nats: NatsServer, journal_pool: Pool
) -> None:
    async with recording(journal_pool, nats) as recorder:
        await until(lambda: recorder.owned())
        await put(nats, subject_of(0, "acme"), packed("before"))
        await until(lambda: stored(journal_pool), 1)
        nats.kill()
        nats.wipe()
        nats.start()

        async def made() -> bool:
            try:
                return await recorder.stream.look() is not None
            except Unavailable:
                return False

        await until(made)
        await put(nats, subject_of(0, "acme"), packed("before"), packed("after"))
        await until(lambda: stored(journal_pool), 2)
    assert await stored(journal_pool) == ["before", "after"]


async def test_recorders_share_the_partitions_evenly(journal_pool: Pool) -> None:
    one, two = (Partitions(journal_pool, owner=each, count=5) for each in ("one", "two"))
    assert not await one.turn()
    assert len(one.owned) == 5
    assert not await two.turn()
    surplus = await one.turn()
    await one.release(surplus)
    await two.turn()
    assert (len(one.owned), len(two.owned)) == (3, 2)
    assert not one.owned.keys() & two.owned.keys()
    await two.leave()
    await one.turn()
    assert len(one.owned) == 5


async def test_the_partitions_of_a_dead_recorder_are_taken_over(
    journal_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions_module, "LEASE_SECONDS", 0.2)
    dead, living = (Partitions(journal_pool, owner=each, count=4) for each in ("dead", "living"))
    await dead.turn()
    tokens = dict(dead.owned)

    async def all_taken() -> bool:
        await living.turn()
        return len(living.owned) == 4

    await until(all_taken)
    assert all(living.owned[each] > token for each, token in tokens.items())
    assert not any(dead.holds(each) for each in range(4))
    await dead.turn()
    assert not dead.owned


async def test_an_owner_that_stood_still_writes_nothing_twice(
    stream: Stream, nats: NatsServer, journal_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read a page, and goes on after another one has recorded it and more."""
    monkeypatch.setattr(partitions_module, "LEASE_SECONDS", 0.5)
    await put(nats, subject_of(0, "acme"), packed("one"), packed("two"))
    store, awake, asleep = Store.store, asyncio.Event(), list[object]()

    async def sleep_first(self: Store, batches: list[Batch]) -> object:
        if not asleep:
            asleep.append(self)
        if self is asleep[0]:
            await awake.wait()
        return await store(self, batches)

    monkeypatch.setattr(Store, "store", sleep_first)
    async with recording(journal_pool, nats, buffer_partitions=2) as sleeper:
        await until(lambda: asleep)
        # Standing still it renews nothing, and does not hear that it has lost its lease.
        sleeper._partitions.turn = _never  # type: ignore[method-assign]
        async with recording(journal_pool, nats):
            await until(lambda: batches_in(nats), 0)
            await put(nats, subject_of(0, "acme"), packed("three"))
            await until(lambda: batches_in(nats), 0)
            awake.set()
            await put(nats, subject_of(0, "acme"), packed("four"))
            await until(lambda: batches_in(nats), 0)
    assert await stored(journal_pool) == ["one", "two", "three", "four"]


async def _never() -> set[int]:
    return set()


def _holds_none(partition: int) -> bool:
    return False


async def test_reconcile_tells_what_was_queued_and_never_recorded(
    stream: Stream, nats: NatsServer, journal_pool: Pool
) -> None:
    journal = await Journal.open(journal_pool, stopping=asyncio.Event())
    async with recording(journal_pool, nats) as recorder:
        await put(nats, subject_of(0, "acme"), packed("recorded"))
        await until(lambda: stored(journal_pool), 1)
        servicer = BufferServicer(journal, recorder)
        await until(lambda: recorder.owned(), 2)
        status = await servicer.GetBuffer(buffer_pb2.GetBufferRequest(), NO_CONTEXT)
        assert [bool(each.owner) for each in status.partitions] == [True, True]
    async with recording(journal_pool, nats) as idle:
        idle._partitions.holds = _holds_none  # type: ignore[method-assign]
        await until(lambda: idle._link.generation)
        await put(nats, subject_of(1, "acme"), packed("recorded", "missing"), b"\xff")
        servicer = BufferServicer(journal, idle)
        found = await servicer.ReconcileBuffer(buffer_pb2.ReconcileBufferRequest(), NO_CONTEXT)
        status = await servicer.GetBuffer(buffer_pb2.GetBufferRequest(), NO_CONTEXT)
    assert (found.batches, found.recorded, found.unrecorded, found.unreadable) == (2, 1, 1, 1)
    assert [(each.tenant, each.event_id, each.partition) for each in found.events] == [
        ("acme", "missing", 1)
    ]
    assert (status.batches, status.partitions[1].batches, status.tenants[0].tenant) == (
        2,
        2,
        "acme",
    )
