"""What is kept in quarantine: sealed, once, within the tenant's bound, and seen by nobody else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import clock
from services.chassis.errors import (
    Conflict,
    Corrupt,
    Exhausted,
    Malformed,
    NotFound,
    ServiceError,
    Unavailable,
)
from services.chassis.postgres import Pool
from services.gateway import quarantine
from services.gateway.access import Caller
from services.gateway.keyring import Keyring
from services.gateway.quarantine import Bad, Quarantine
from touchledger.v1 import events_pb2
from touchledger.v1 import quarantine_pb2 as pb
from touchledger.v1.journal_pb2 import Position
from touchledger.v1.problem_pb2 import Problem

KEYRING = Keyring(bytes(range(32)))
TILL = Caller("acme", "till", frozenset({"publish"}), trust=events_pb2.TRUST_AUDITED)
SHOP = Caller("acme", "shop", frozenset({"publish"}))
STRANGER = Caller("other", "till", frozenset({"publish"}))
POSITION = Position(journal_id="6a1e", number=7)
NOW = datetime(2026, 8, 3, 10, tzinfo=UTC)


def bad(event_id: str = "event-1", content: bytes = b"as ever", code: str = "BAD_SCALE") -> Bad:
    problem = Problem(code=code, field="f", got="9", want="1 to 5")
    return Bad(event_id, content, "event_json", problem)


def bads(count: int) -> list[Bad]:
    return [bad(f"event-{number}") for number in range(count)]


@pytest.fixture
async def pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "gateway")
    async with asyncpg.create_pool(url, min_size=1, max_size=4) as opened:
        yield opened


@pytest.fixture
def kept(pool: Pool) -> Quarantine:
    return Quarantine(pool, KEYRING)


async def used(pool: Pool, tenant: str = "acme") -> tuple[int, int]:
    """What the tenant's row says is open, which the entries must agree with."""
    row = await pool.fetchrow(
        "SELECT entries, bytes FROM gateway.quarantine_use WHERE tenant = $1", tenant
    )
    counted = await pool.fetchrow(
        "SELECT count(*) AS entries, coalesce(sum(content_bytes), 0) AS bytes "
        "FROM gateway.quarantine WHERE tenant = $1 AND status = 'open'",
        tenant,
    )
    assert counted is not None
    told = (row["entries"], row["bytes"]) if row else (0, 0)
    assert told == (counted["entries"], counted["bytes"])
    return told


async def listed(kept: Quarantine, tenant: str = "acme", **asked: Any) -> list[str]:
    """The event ids, page by page."""
    request = pb.ListQuarantinedRequest(**asked)
    found = list[str]()
    while True:
        page = await kept.page(tenant, request)
        found += [entry.event_id for entry in page.entries]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_an_entry_tells_who_sent_what_and_why_it_is_there(
    kept: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: _timestamp(NOW))
    [quarantine_id] = await kept.keep(TILL, [bad()])
    got = await kept.get("acme", quarantine_id)
    expected = pb.QuarantineEntry(
        quarantine_id=quarantine_id,
        source="till",
        event_id="event-1",
        received_at=NOW,
        last_received_at=NOW,
        times_received=1,
        format="event_json",
        problem=bad().problem,
        status=pb.QUARANTINE_STATUS_OPEN,
    )
    assert expected == got.entry
    assert (b"as ever", events_pb2.TRUST_AUDITED) == (got.content, got.trust)


async def test_when_it_was_sent_and_received_is_kept_of_the_first_time(kept: Quarantine) -> None:
    sent_at, received_at = _timestamp(NOW - timedelta(hours=1)), _timestamp(NOW)
    later = _timestamp(NOW + timedelta(days=1))
    for times in ({"sent_at": sent_at, "received_at": received_at}, {"sent_at": later}):
        [quarantine_id] = await kept.keep(TILL, [bad()], **times)
    got = await kept.get("acme", quarantine_id)
    assert (sent_at, received_at) == (got.sent_at, got.entry.received_at)


@pytest.mark.parametrize("seconds", [-62135596800, 253402300799], ids=["year 1", "year 9999"])
async def test_a_clock_that_is_off_by_ages_is_not_kept(kept: Quarantine, seconds: int) -> None:
    [quarantine_id] = await kept.keep(TILL, [bad()], sent_at=Timestamp(seconds=seconds))
    assert (await kept.get("acme", quarantine_id)).sent_at is None


async def test_the_content_is_not_in_the_database(kept: Quarantine, pool: Pool) -> None:
    await kept.keep(TILL, [bad(content=b"a comment about somebody")])
    row = await pool.fetchrow("SELECT * FROM gateway.quarantine")
    assert row is not None
    assert b"somebody" not in row["content"]
    assert "somebody" not in str([*row.values()])


async def test_content_that_was_put_into_another_entry_is_told(
    kept: Quarantine, pool: Pool
) -> None:
    first, second = await kept.keep(TILL, bads(2))
    await pool.execute(
        "UPDATE gateway.quarantine SET content = "
        "(SELECT content FROM gateway.quarantine WHERE quarantine_id = $1) "
        "WHERE quarantine_id = $2",
        first,
        second,
    )
    assert b"as ever" == (await kept.get("acme", first)).content
    with pytest.raises(Corrupt):
        await kept.get("acme", second)


async def test_the_same_bad_event_again_is_the_same_entry_and_is_counted(
    kept: Quarantine, pool: Pool
) -> None:
    [first] = await kept.keep(TILL, [bad()])
    again = await kept.keep(TILL, [bad(), bad()])
    assert [first, first] == again
    assert 3 == (await kept.get("acme", first)).entry.times_received
    assert (1, 7) == await used(pool)


async def test_another_id_content_source_or_tenant_is_another_entry(kept: Quarantine) -> None:
    ids = [
        *await kept.keep(TILL, [bad(), bad("event-2"), bad(content=b"other"), bad("", b"x")]),
        *await kept.keep(SHOP, [bad()]),
        *await kept.keep(STRANGER, [bad()]),
    ]
    assert len(ids) == len({*ids, ""}) - 1


async def test_the_same_bad_event_through_two_gateways_at_once_is_one_entry(pool: Pool) -> None:
    gateways = [Quarantine(pool, KEYRING) for _ in range(2)]
    ids = await asyncio.gather(*(each.keep(TILL, bads(50)) for each in gateways * 5))
    assert all(each == ids[0] for each in ids)
    assert (50, 350) == await used(pool)
    entry = (await gateways[0].get("acme", ids[0][0])).entry
    assert 10 == entry.times_received


async def test_those_that_come_at_once_are_kept_together(kept: Quarantine, pool: Pool) -> None:
    async with pool.acquire() as other, other.transaction():
        await other.execute(quarantine.LOCK, "acme")
        tasks = [asyncio.create_task(kept.keep(TILL, [each])) for each in bads(60)]
        await until_waiting_for_a_lock(pool)
    ids = await asyncio.gather(*tasks)
    assert 60 == len({quarantine_id for [quarantine_id] in ids})
    transactions = await pool.fetchval("SELECT count(DISTINCT xmin::text) FROM gateway.quarantine")
    assert 2 >= transactions


WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


async def until_waiting_for_a_lock(pool: Pool) -> None:
    async with asyncio.timeout(10):
        while not await pool.fetchval(WAITING):
            pass


async def test_what_waits_to_be_kept_is_bounded(
    kept: Quarantine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "WAITING_ENTRIES_MAX", 10)
    monkeypatch.setattr(quarantine, "WAITING_BYTES_MAX", 100)
    async with pool.acquire() as other, other.transaction():
        await other.execute(quarantine.LOCK, "acme")
        task = asyncio.create_task(kept.keep(TILL, bads(9)))
        await until_waiting_for_a_lock(pool)
        with pytest.raises(Exhausted) as too_many:
            await kept.keep(TILL, bads(2))
        with pytest.raises(Exhausted) as too_large:
            await kept.keep(TILL, [bad(content=bytes(50))])
        assert too_many.value.problem.HasField("retry_after")
        assert too_large.value.problem.HasField("retry_after")
    assert all(await task)
    assert all(await kept.keep(TILL, bads(10)))


async def test_a_caller_that_gives_up_takes_nobody_elses_entry_with_it(
    kept: Quarantine, pool: Pool
) -> None:
    async with pool.acquire() as other, other.transaction():
        await other.execute(quarantine.LOCK, "acme")
        gone, stays = (asyncio.create_task(kept.keep(TILL, [each])) for each in bads(2))
        await until_waiting_for_a_lock(pool)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    [quarantine_id] = await stays
    assert "event-1" == (await kept.get("acme", quarantine_id)).entry.event_id


async def test_a_database_that_is_away_is_told_as_retryable_and_keeping_goes_on_after(
    kept: Quarantine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "KEEP_SECONDS_MAX", 0.05)
    async with pool.acquire() as other, other.transaction():
        await other.execute(quarantine.LOCK, "acme")
        with pytest.raises(Unavailable) as refused:
            await kept.keep(TILL, [bad()])
        assert refused.value.problem.HasField("retry_after")
    monkeypatch.undo()
    assert all(await kept.keep(TILL, [bad()]))


async def test_a_full_quarantine_keeps_what_fits_and_what_it_has(
    kept: Quarantine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "OPEN_ENTRIES_MAX", 3)
    ids = await kept.keep(TILL, bads(5))
    assert [True, True, True, False, False] == [bool(each) for each in ids]
    assert [ids[0], ""] == await kept.keep(TILL, [bad("event-0"), bad("event-9")])
    assert 2 == (await kept.get("acme", ids[0])).entry.times_received
    assert all(await kept.keep(STRANGER, bads(3)))
    await kept.discard("acme", ids[1], "test data")
    assert all(await kept.keep(TILL, [bad("event-9")]))
    assert (3, 21) == await used(pool)


async def test_the_bytes_of_a_tenant_are_bounded(
    kept: Quarantine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "OPEN_BYTES_MAX", 100)
    large, other, small = await kept.keep(
        TILL, [bad("1", bytes(60)), bad("2", bytes(60)), bad("3", bytes(40))]
    )
    assert (True, False, True) == (bool(large), bool(other), bool(small))
    assert (2, 100) == await used(pool)


@pytest.mark.parametrize(
    "unusable",
    [
        bad("event\0"),
        bad("event\n1"),
        bad("x" * 129),
        bad("half \ud800 of a pair"),
        bad(content=bytes(quarantine.ENTRY_BYTES_MAX + 1)),
    ],
    ids=["NUL", "newline", "long", "surrogate", "large"],
)
async def test_what_no_one_could_mend_is_not_kept_and_harms_no_neighbour(
    kept: Quarantine, unusable: Bad
) -> None:
    first, second, third = await kept.keep(TILL, [bad("event-1"), unusable, bad("event-2")])
    assert (True, "", True) == (bool(first), second, bool(third))


async def test_a_released_entry_stays_so_whatever_comes_after(kept: Quarantine, pool: Pool) -> None:
    [quarantine_id] = await kept.keep(TILL, [bad()])
    released = await kept.release("acme", quarantine_id, POSITION)
    assert pb.QUARANTINE_STATUS_RELEASED == released.entry.status
    assert POSITION == released.position
    again = await kept.release("acme", quarantine_id, Position(journal_id="6a1e", number=8))
    assert released == again
    with pytest.raises(Conflict):
        await kept.discard("acme", quarantine_id, "too late")
    assert [quarantine_id] == await kept.keep(TILL, [bad()])
    assert pb.QUARANTINE_STATUS_RELEASED == (await kept.get("acme", quarantine_id)).entry.status
    assert (0, 0) == await used(pool)


async def test_a_discarded_entry_has_no_content_and_is_not_kept_again(
    kept: Quarantine, pool: Pool
) -> None:
    [quarantine_id] = await kept.keep(TILL, [bad()])
    discarded = await kept.discard("acme", quarantine_id, "test data")
    assert (pb.QUARANTINE_STATUS_DISCARDED, "test data", b"") == (
        discarded.entry.status,
        discarded.entry.reason,
        discarded.content,
    )
    assert discarded == await kept.discard("acme", quarantine_id, "another reason")
    assert [""] == await kept.keep(TILL, [bad()])
    assert 2 == (await kept.get("acme", quarantine_id)).entry.times_received
    assert await pool.fetchval("SELECT content IS NULL FROM gateway.quarantine")
    assert (0, 0) == await used(pool)


async def test_an_entry_that_was_discarded_while_its_event_was_recorded_is_released(
    kept: Quarantine, pool: Pool
) -> None:
    [quarantine_id, _] = await kept.keep(TILL, bads(2))
    await kept.discard("acme", quarantine_id, "test data")
    released = await kept.release("acme", quarantine_id, POSITION)
    assert (pb.QUARANTINE_STATUS_RELEASED, "", b"", POSITION) == (
        released.entry.status,
        released.entry.reason,
        released.content,
        released.position,
    )
    assert released == await kept.get("acme", quarantine_id)
    assert (1, 7) == await used(pool)


async def test_an_entry_without_an_event_id_is_given_one_once(kept: Quarantine) -> None:
    named, unnamed = await kept.keep(TILL, [bad("event-1"), bad("")])
    assert "event-1" == await kept.name("acme", named, "event-2")
    ids = [f"mended-{number}" for number in range(8)]
    given = await asyncio.gather(*(kept.name("acme", unnamed, each) for each in ids))
    assert 1 == len({*given})
    assert given[0] in ids
    assert given[0] == (await kept.get("acme", unnamed)).entry.event_id
    # It is the same entry still, when the vendor's document comes again.
    assert [unnamed] == await kept.keep(TILL, [bad("")])


async def test_an_entry_that_was_discarded_is_given_no_event_id(kept: Quarantine) -> None:
    [quarantine_id] = await kept.keep(TILL, [bad("")])
    await kept.discard("acme", quarantine_id, "test data")
    assert "" == await kept.name("acme", quarantine_id, "event-1")


async def test_another_tenants_entry_does_not_exist(kept: Quarantine) -> None:
    [quarantine_id] = await kept.keep(TILL, [bad()])
    for ask in (
        kept.get("other", quarantine_id),
        kept.name("other", quarantine_id, "event-2"),
        kept.release("other", quarantine_id, POSITION),
        kept.discard("other", quarantine_id, "not mine"),
    ):
        with pytest.raises(NotFound) as refused:
            await ask
        assert str(await told(kept.get("acme", "0" * 32))) == str(refused.value)
    assert [] == await listed(kept, "other")
    assert ["event-1"] == await listed(kept)


async def told(ask: object) -> ServiceError:
    with pytest.raises(ServiceError) as refused:
        await ask  # type: ignore[misc]  # a coroutine of any kind
    return refused.value


@pytest.mark.parametrize("quarantine_id", ["", "x", "0" * 31, "0" * 32 + "\n", "\0", "'"])
async def test_no_text_is_an_id_by_chance(kept: Quarantine, quarantine_id: str) -> None:
    await kept.keep(TILL, [bad()])
    with pytest.raises(NotFound):
        await kept.get("acme", quarantine_id)


async def test_pages_tell_every_entry_once_the_youngest_first(
    kept: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two came at each moment, so that pages also end between entries of one moment.
    for number in range(5):
        moment = _timestamp(NOW + timedelta(microseconds=number))
        monkeypatch.setattr(clock, "now", lambda moment=moment: moment)
        await kept.keep(TILL, [bad(f"{number}-1"), bad(f"{number}-2")])
    for page_size in (1, 2, 3, 10, 0):
        found = await listed(kept, page_size=page_size)
        assert [4, 4, 3, 3, 2, 2, 1, 1, 0, 0] == [int(each[0]) for each in found]
        assert 10 == len({*found})


async def test_a_list_is_of_one_source_code_or_status(kept: Quarantine) -> None:
    released, discarded, _ = await kept.keep(TILL, [bad("1"), bad("2"), bad("3", code="MISSING")])
    await kept.keep(SHOP, [bad("4")])
    await kept.release("acme", released, POSITION)
    await kept.discard("acme", discarded, "test data")
    assert {"3", "4"} == {*await listed(kept)}
    assert ["4"] == await listed(kept, source="shop")
    assert ["3"] == await listed(kept, code="MISSING")
    assert [] == await listed(kept, source="shop", code="MISSING")
    assert ["1"] == await listed(kept, status=pb.QUARANTINE_STATUS_RELEASED)
    assert ["2"] == await listed(kept, status=pb.QUARANTINE_STATUS_DISCARDED)


@pytest.mark.parametrize(
    "asked",
    [
        {"page_size": quarantine.PAGE_SIZE_MAX + 1},
        {"page_token": "x"},
        {"page_token": f"{10**18 - 1}.{'0' * 32}"},
        {"source": "\0"},
        {"code": "\0"},
        {"status": 17},
    ],
    ids=str,
)
async def test_a_list_that_nobody_can_give_is_malformed(
    kept: Quarantine, asked: dict[str, Any]
) -> None:
    with pytest.raises(Malformed):
        await kept.page("acme", pb.ListQuarantinedRequest(**asked))


async def test_what_nobody_mended_in_time_is_discarded_and_what_was_resolved_long_ago_is_gone(
    kept: Quarantine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "SWEPT_TOGETHER_MAX", 2)
    day = timedelta(days=1)
    times = {
        "overdue": NOW - day * (quarantine.OPEN_DAYS_MAX + 1),
        "in time": NOW - day * (quarantine.OPEN_DAYS_MAX - 1),
        "resolved lately": NOW - day * (quarantine.RESOLVED_DAYS_MAX - 1),
        "resolved long ago": NOW - day * (quarantine.RESOLVED_DAYS_MAX + 1),
    }
    for name, moment in times.items():
        monkeypatch.setattr(clock, "now", lambda moment=moment: _timestamp(moment))
        for source in (TILL, SHOP, STRANGER):
            [quarantine_id] = await kept.keep(source, [bad(name)])
            if name.startswith("resolved"):
                await kept.release(source.tenant, quarantine_id, POSITION)
    monkeypatch.setattr(clock, "now", lambda: _timestamp(NOW))
    await kept.sweep()
    for tenant, sources in (("acme", 2), ("other", 1)):
        assert ["in time"] * sources == await listed(kept, tenant)
        assert ["overdue"] * sources == await listed(
            kept, tenant, status=pb.QUARANTINE_STATUS_DISCARDED
        )
        assert ["resolved lately"] * sources == await listed(
            kept, tenant, status=pb.QUARANTINE_STATUS_RELEASED
        )
        assert (sources, 7 * sources) == await used(pool, tenant)
    reasons = await pool.fetch(
        "SELECT DISTINCT reason FROM gateway.quarantine WHERE content IS NULL"
    )
    assert [quarantine.OVERDUE] == [row["reason"] for row in reasons]


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
