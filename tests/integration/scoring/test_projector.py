"""The projection follows the journal in pages that suit its pace, and no event stops it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from services.chassis.postgres import Pool
from services.scoring import lease, source
from services.scoring.source import Feed
from tests.support.events import csat, event, feedback
from tests.support.projecting import Published, Scoring, journal_on, scoring_on, until
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.journal_pb2 import Position, RecordedEvent, SubscribeResponse

INTERACTION = "touchledger.interaction.v1"
TOO_LARGE = "9999999999999999999999"


@pytest.fixture
async def journal(journal_pool: Pool) -> AsyncIterator[Published]:
    async with journal_on(journal_pool) as published:
        yield published


@pytest.fixture
async def scoring(journal: Published, new_database: Callable[[str], str]) -> AsyncIterator[Scoring]:
    url = await asyncio.to_thread(new_database, "scoring")
    async with scoring_on(url, journal) as made:
        yield made


def visits(count: int, first: int = 1) -> list[pb.Event]:
    return [event(event_id=f"visit {number}") for number in range(first, first + count)]


async def parked(scoring: Scoring) -> dict[int, str]:
    rows = await scoring.live_pool.fetch("SELECT position, reason FROM parked_event")
    return {row["position"]: row["reason"] for row in rows}


async def positions(scoring: Scoring, table: str, column: str = "event_position") -> list[int]:
    rows = await scoring.live_pool.fetch(f"SELECT {column} FROM {table} ORDER BY 1")
    return [row[0] for row in rows]


async def test_what_was_there_and_what_comes_is_projected(
    journal: Published, scoring: Scoring
) -> None:
    await journal.publish(*visits(3))
    scoring.start()
    await scoring.caught_up()
    await journal.publish(*visits(2, first=4))
    await scoring.caught_up()
    assert [1, 2, 3, 4, 5] == await positions(scoring, "fact_interaction")


async def test_behind_many_messages_of_the_journal_make_one_page(
    journal: Published, scoring: Scoring
) -> None:
    await journal.publish(*visits(12_000))
    scoring.start()
    await scoring.caught_up()
    # The journal sends 1000 events at most in a message.
    assert 12_000 == sum(scoring.live.pages)
    assert 1000 < max(scoring.live.pages) <= source.PAGE_EVENTS_MAX


async def test_caught_up_events_that_come_together_share_a_page(
    journal: Published, scoring: Scoring
) -> None:
    scoring.start()
    await journal.publish(*visits(1))
    await scoring.caught_up()
    for number in range(2, 42):
        await journal.publish(*visits(1, first=number))
    await scoring.caught_up()
    assert 41 == sum(scoring.live.pages)
    assert len(scoring.live.pages) < 35


async def test_a_page_is_bounded(
    journal: Published, scoring: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "AHEAD_EVENTS_MAX", 1500)
    await journal.publish(*visits(6000))
    scoring.start()
    await scoring.caught_up()
    # What stands ahead may pass the bound by one message.
    assert max(scoring.live.pages) < 1500 + 1000


async def test_a_page_that_is_too_much_for_a_transaction_is_made_smaller(
    journal: Published, scoring: Scoring
) -> None:
    await scoring.live_pool.execute(
        """
        CREATE FUNCTION public.refuse_many() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (SELECT count(*) FROM added) > 100 THEN
                RAISE EXCEPTION USING ERRCODE = 'query_canceled';
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER refuse_many AFTER INSERT ON event REFERENCING NEW TABLE AS added
            FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_many();
        """
    )
    await journal.publish(*visits(500))
    scoring.start()
    await scoring.caught_up()
    assert 500 == sum(scoring.live.pages)
    assert {} == await parked(scoring)


def overflowing_amount(event_id: str = "poison") -> pb.Event:
    """More than a column holds. The builder refuses it, as the gateway does."""
    made = event(event_id=event_id, interaction={"amount": {"amount": "1", "currency": "EUR"}})
    made.interaction.amount.amount = TOO_LARGE
    return made


def overflowing_answer() -> pb.Event:
    made = feedback(csat("4"), event_id="poison")
    made.feedback_received.signals[0].value = TOO_LARGE
    return made


def with_nul() -> pb.Event:
    made = event(event_id="poison")
    made.touchpoint = "store\0checkout"
    return made


@pytest.mark.parametrize(
    ("poison", "topic"),
    [
        (overflowing_amount(), INTERACTION),
        (overflowing_answer(), "touchledger.feedback_received.v1"),
        (with_nul(), INTERACTION),
        (b"\xff\xff", INTERACTION),
        (b"", INTERACTION),
    ],
    ids=["amount", "answer", "nul", "no protobuf", "nothing"],
)
async def test_an_event_that_can_not_be_stored_is_parked_and_the_stream_goes_on(
    journal: Published, scoring: Scoring, poison: pb.Event | bytes, topic: str
) -> None:
    await journal.publish(*visits(20))
    await journal.store((poison, topic))
    await journal.publish(*visits(20, first=21))
    scoring.start()
    await scoring.caught_up()
    assert [21] == [*await parked(scoring)]
    good = [number for number in range(1, 42) if number != 21]
    assert good == await positions(scoring, "fact_interaction")
    assert [*range(1, 42)] == await positions(scoring, "event", "position")
    [standing] = await scoring.projections.standings()
    assert (41, 0, 1) == (standing.checkpoint.number, standing.missing, standing.parked)


async def test_a_reason_tells_what_was_wrong_and_nothing_of_the_event(
    journal: Published, scoring: Scoring
) -> None:
    await journal.publish(overflowing_amount())
    scoring.start()
    await scoring.caught_up()
    assert {1: "refused: NumericValueOutOfRangeError"} == await parked(scoring)


async def test_a_correction_of_a_parked_event_waits_for_a_release_that_can_read_it(
    journal: Published, scoring: Scoring
) -> None:
    right = {"interaction": {"amount": {"amount": "12", "currency": "EUR"}}}
    await journal.publish(
        overflowing_amount(),
        event(event_id="mended", amends={"event_id": "poison"}, correction=right),
    )
    scoring.start()
    await scoring.caught_up()
    assert [1] == [*await parked(scoring)]
    assert [] == await positions(scoring, "fact_interaction")
    assert [2] == await positions(scoring, "waiting_amendment", "position")


async def test_a_poisoned_correction_that_waits_parks_its_target_and_no_more(
    journal: Published, scoring: Scoring
) -> None:
    wrong = event(
        event_id="wrong",
        amends={"event_id": "visit 1"},
        correction={"interaction": {"amount": {"amount": "1", "currency": "EUR"}}},
    )
    wrong.correction.interaction.amount.amount = TOO_LARGE
    await journal.publish(wrong, *visits(3))
    scoring.start()
    await scoring.caught_up()
    assert [2] == [*await parked(scoring)]
    assert [3, 4] == await positions(scoring, "fact_interaction")


async def test_parked_events_come_back_by_a_rebuild_of_a_release_that_can(
    journal: Published, scoring: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scoring.live_pool.execute(
        "ALTER TABLE fact_interaction ADD CONSTRAINT too_narrow CHECK (touchpoint <> 'new')"
    )
    await journal.publish(*visits(2), event(event_id="new", touchpoint="new"))
    scoring.start()
    await scoring.caught_up()
    assert {3: "refused: CheckViolationError"} == await parked(scoring)
    await scoring.projections.rebuild(replace=False)
    await scoring.caught_up(lease.NEXT)
    await scoring.projections.switch(even_if_different=True)
    assert {} == await parked(scoring)
    assert [1, 2, 3] == await positions(scoring, "fact_interaction")


async def test_a_statement_that_does_not_fit_the_tables_parks_nothing(
    journal: Published, scoring: Scoring
) -> None:
    await scoring.live_pool.execute("ALTER TABLE fact_interaction DROP COLUMN outcome CASCADE")
    await journal.publish(*visits(2))
    with pytest.raises(asyncpg.UndefinedColumnError):
        await asyncio.wait_for(scoring.projector.run(), 20)
    assert {} == await parked(scoring)


async def test_a_standby_takes_over_at_once_when_the_owner_stops(
    journal: Published, scoring: Scoring
) -> None:
    scoring.start()
    await journal.publish(*visits(1))
    await scoring.caught_up()
    async with scoring_on(scoring.url, journal, owner="test:2") as standby:
        standby.start()
        await until_tried(standby)
        await scoring.stop()
        loop = asyncio.get_running_loop()
        stopped_at = loop.time()
        await journal.publish(*visits(1, first=2))
        await standby.caught_up()
        assert loop.time() - stopped_at < lease.SECONDS
        [standing] = await standby.projections.standings()
        assert "test:2" == standing.owner


async def until_tried(standby: Scoring) -> None:
    """Returns once it has asked for the lease in vain."""
    tried = asyncio.Event()
    take = standby.live_lease.take

    async def telling() -> int | None:
        token = await take()
        if token is None:
            asyncio.get_running_loop().call_soon(tried.set)
        return token

    standby.live_lease.take = telling  # type: ignore[method-assign]  # to see what nothing else shows
    async with asyncio.timeout(20):
        await tried.wait()


async def test_what_was_in_the_way_is_forgotten_by_who_stands_by(
    journal: Published, scoring: Scoring
) -> None:
    async with scoring_on(scoring.url, journal, owner="test:2") as standby:
        assert await scoring.live_lease.take() is not None
        standby.projector.trouble = "a hole that was mended since"
        standby.start()
        await until_tried(standby)
        assert "" == standby.projector.trouble


async def test_a_model_that_is_gone_while_it_is_filled_ends_nothing(
    journal: Published, scoring: Scoring
) -> None:
    await journal.publish(*visits(3))
    await scoring.projections.rebuild(replace=False)
    scoring.start()
    await scoring.caught_up(lease.NEXT)
    # As if it went between two statements, without the fence.
    await scoring.pool.execute("DROP SCHEMA bi_next, fold_next CASCADE")
    await journal.publish(*visits(3, first=4))
    await scoring.caught_up()
    await scoring.projections.rebuild(replace=False)
    await scoring.caught_up(lease.NEXT)


async def test_two_processes_at_once_never_apply_a_page_twice(
    journal: Published, scoring: Scoring
) -> None:
    async with scoring_on(scoring.url, journal, owner="test:2") as other:
        scoring.start()
        other.start()
        for number in range(1, 2000, 100):
            await journal.publish(*visits(100, first=number))
            # Ownership goes from the one to the other in the middle of it.
            await scoring.pool.execute(
                "UPDATE scoring.lease SET expires_at = '-infinity' WHERE projection = 'live'"
            )
        await scoring.caught_up()
        assert [*range(1, 2001)] == await positions(scoring, "fact_interaction")
        counted = await scoring.live_pool.fetchval("SELECT sum(interactions) FROM rollup_day")
        assert 2000 == counted


async def test_an_owner_without_events_keeps_its_lease(
    journal: Published, scoring: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SECONDS", 1.0)
    monkeypatch.setattr("services.scoring.projector.RENEW_EVERY_SECONDS", 0.1)
    scoring.start()
    await journal.publish(*visits(1))
    await scoring.caught_up()
    token = await owned_under(scoring)

    async def renewed_thrice_over() -> bool:
        left = await scoring.pool.fetchval(
            "SELECT expires_at > took_at + interval '3 s' FROM scoring.lease WHERE projection = 'live'"
        )
        return bool(left)

    await until(renewed_thrice_over, "renewed for three leases' time")
    assert token == await owned_under(scoring)


async def owned_under(scoring: Scoring) -> int:
    token: int = await scoring.pool.fetchval(
        "SELECT token FROM scoring.lease WHERE projection = 'live'"
    )
    return token


class Messages:
    """What a journal sends, by hand."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[SubscribeResponse | Exception] = asyncio.Queue()
        self._last = 0

    def send(self, count: int) -> None:
        events = [RecordedEvent(position=self._last + each) for each in range(1, count + 1)]
        self._last += count
        self._queue.put_nowait(SubscribeResponse(journal_id="j", events=events, head=self._last))

    def fail(self, error: Exception) -> None:
        self._queue.put_nowait(error)

    async def messages(self) -> Any:
        while True:
            got = await self._queue.get()
            if isinstance(got, Exception):
                raise got
            yield got


@pytest.fixture
def messages() -> Messages:
    return Messages()


@pytest.fixture
async def feed(messages: Messages) -> AsyncIterator[Feed]:
    made = Feed(Position(journal_id="j"))
    reading = asyncio.create_task(made.read(messages.messages()))
    yield made
    reading.cancel()
    await asyncio.wait({reading})


async def numbers(feed: Feed, events_max: int = 1000) -> list[int]:
    page = await feed.page(events_max=events_max, within_seconds=0.2)
    return [each.position for each in page.events]


async def test_a_page_has_what_comes_while_it_is_held(feed: Feed, messages: Messages) -> None:
    messages.send(2)
    taking = asyncio.create_task(numbers(feed))
    await asyncio.sleep(0)
    messages.send(1)
    assert [1, 2, 3] == await taking


async def test_what_does_not_fit_into_a_page_is_in_the_next(feed: Feed, messages: Messages) -> None:
    messages.send(5)
    assert [[1, 2, 3], [4, 5], []] == [await numbers(feed, 3) for _ in range(3)]


async def test_what_came_is_handed_out_before_the_failure_of_the_stream(
    feed: Feed, messages: Messages
) -> None:
    messages.send(2)
    messages.fail(OSError("cut"))
    assert [1, 2] == await numbers(feed)
    with pytest.raises(OSError, match="cut"):
        await numbers(feed)


async def test_no_more_is_read_ahead_than_the_bound(
    feed: Feed, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "AHEAD_EVENTS_MAX", 10)
    for _ in range(9):
        messages.send(4)
    assert 12 == len(await numbers(feed))
    # Three messages stand ahead again, and the rest with the journal.
    assert 12 == len(await numbers(feed))
    assert 12 == len(await numbers(feed))


async def test_messages_count_too_since_events_may_be_large(
    feed: Feed, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "AHEAD_MESSAGES_MAX", 3)
    for _ in range(6):
        messages.send(1)
    assert [1, 2, 3] == await numbers(feed)
    assert [4, 5, 6] == await numbers(feed)
