"""The read models say what the journal says: as of any position, whatever was amended and however paged."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.postgres import Pool
from services.scoring import bi_role, formulas, models
from services.scoring.answers import Answers
from services.scoring.binary_copy import copy, moment, numeric
from services.scoring.facts import TABLES as FACT_TABLES
from services.scoring.models import LIVE
from services.scoring.score_query import Way
from services.scoring.scoreboard import Overtaken, Scoreboard
from services.scoring.scores import exact as told_exactly
from services.scoring.source import PAGE_EVENTS_MAX, Source
from tests.support.asking import Asking, at, by_the
from tests.support.events import csat, event, feedback, nps
from tests.support.journals import journal_of, project, recorded_at_position
from touchledger.v1 import events_pb2 as pb

PATH = {"search_path": LIVE.search_path}
TABLES = (
    "event",
    "dim_touchpoint",
    "tenant",
    "fact_interaction",
    "fact_feedback_request",
    "fact_feedback",
    "rollup_touchpoint_day",
)


@pytest.fixture
async def scoreboard(scoring_pool: Pool) -> Scoreboard:
    made = Scoreboard(scoring_pool)
    await made.install()
    return made


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    """To a journal that is nowhere: what is answered from the tables needs none."""
    async with grpc.aio.insecure_channel("127.0.0.1:1") as opened:
        yield opened


@pytest.fixture
def answers(scoring_pool: Pool, channel: grpc.aio.Channel) -> Answers:
    return Answers(scoring_pool, Source(channel))


async def scores_of(
    answers: Answers, *, as_of: int | None = None, tenant: str = "default", **asked: Any
) -> dict[str, dict[str, Any]]:
    """By group, every count, sum and score; a score that nobody answered for is None."""
    then = {} if as_of is None else {"as_of_position": at(as_of)}
    nothing = dict.fromkeys(formulas.SCORES_SQL)
    return {
        group: nothing | dict(each.counts) | dict(each.sums) | dict(each.scores)
        for group, each in (await Asking(answers).by_group(tenant, **asked, **then)).items()
    }


async def dump(pool: Pool) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in order."""
    return {
        table: sorted(
            (tuple(row) for row in await pool.fetch(f"SELECT * FROM bi.{table}")), key=repr
        )
        for table in TABLES
    }


def answered(number: int, value: str, **fields: object) -> pb.Event:
    return feedback(csat(value), event_id=f"answer-{number}", **fields)


def retraction(target: str, **fields: object) -> pb.Event:
    return event(
        event_id=f"retraction of {target}", amends={"event_id": target}, retraction={}, **fields
    )


def correction(target: str, value: str, number: int = 1, **fields: object) -> pb.Event:
    body = {"feedback_received": {"signals": [csat(value)]}}
    return event(
        event_id=f"correction {number} of {target}",
        amends={"event_id": target},
        correction=body,
        **fields,
    )


async def test_scores_come_with_their_counts_and_intervals(
    scoreboard: Scoreboard, answers: Answers
) -> None:
    await project(
        scoreboard,
        journal_of(
            event(event_id="visit"),
            event(event_id="asked", feedback_requested={}),
            event(event_id="spared", feedback_suppressed={"reason": "opt_out"}),
            *[answered(number, "5") for number in range(8)],
            *[answered(number, "1") for number in range(8, 10)],
        ),
    )
    got = (await scores_of(answers))["store.checkout"]
    assert (
        got["interactions"],
        got["asked"],
        got["suppressed"],
        got["answered"],
    ) == (1, 1, 1, 10)
    assert (
        got["csat_answered"],
        got["csat_mean"],
        got["top2"],
        got["bottom2"],
    ) == (10, 4.2, 0.8, 0.2)
    # facts: Wilson 8/10, z = 1.959963984540054
    assert (round(got["top2_lo"], 6), round(got["top2_hi"], 6)) == (0.490162, 0.943318)


@pytest.mark.parametrize(
    ("values", "nps_score", "low", "high"),
    [
        (["10"] * 6 + ["8"] * 3 + ["2"], 50, -0.20, 77.13),
        # The plain standard error of one promoter is 0.
        (["10"], 100, -48.5, 98.5),
    ],
)
async def test_nps_has_the_adjusted_interval(
    scoreboard: Scoreboard,
    values: list[str],
    nps_score: int,
    low: float,
    high: float,
    answers: Answers,
) -> None:
    given = [
        feedback(nps(value), event_id=f"answer-{number}") for number, value in enumerate(values)
    ]
    await project(scoreboard, journal_of(*given))
    got = (await scores_of(answers))["store.checkout"]
    assert nps_score == got["nps"]
    assert low == pytest.approx(got["nps_lo"], abs=0.05)
    assert high == pytest.approx(got["nps_hi"], abs=0.05)


async def test_nobody_answered_is_null_and_never_zero(
    scoreboard: Scoreboard, answers: Answers
) -> None:
    await project(scoreboard, journal_of(event()))
    got = (await scores_of(answers))["store.checkout"]
    # Of one interaction it is known that nobody complained of it or praised it, and of how many it is.
    known = ("complaints_per_1000", "compliments_per_1000", "health_n")
    unknown = [name for name in formulas.SCORES_SQL if not name.startswith(known)]
    assert dict.fromkeys(unknown) == {name: got[name] for name in unknown}
    assert got["asked"] == 0


async def test_other_scales_and_single_dimensions_are_not_mixed_in(
    scoreboard: Scoreboard, answers: Answers
) -> None:
    await project(
        scoreboard,
        journal_of(
            answered(1, "5"),
            feedback(csat("7", scale_max="7"), event_id="of 7"),
            feedback(csat("1", dimension="speed"), event_id="speed"),
        ),
    )
    got = (await scores_of(answers))["store.checkout"]
    assert (
        got["csat_mean"],
        got["csat_answered"],
        got["csat_other_scale"],
        got["answered"],
    ) == (5.0, 1, 1, 3)


async def test_feedback_with_several_signals_is_one_answer(
    scoreboard: Scoreboard, answers: Answers
) -> None:
    await project(
        scoreboard,
        journal_of(
            feedback(csat("4"), nps("9"), event_id="both"), feedback(event_id="words alone")
        ),
    )
    got = (await scores_of(answers))["store.checkout"]
    assert (got["answered"], got["csat_answered"], got["nps_answered"]) == (2, 1, 1)


async def test_a_correction_shows_from_its_own_position_on(
    scoreboard: Scoreboard, answers: Answers
) -> None:
    await project(scoreboard, journal_of(answered(1, "5"), correction("answer-1", "2")))
    before = (await scores_of(answers, as_of=1))["store.checkout"]
    after = (await scores_of(answers, as_of=2))["store.checkout"]
    assert (before["csat_mean"], before["answered"]) == (5.0, 1)
    assert (after["csat_mean"], after["answered"]) == (2.0, 1)


async def test_a_correction_may_move_the_touchpoint(
    scoreboard: Scoreboard, answers: Answers
) -> None:
    moved = correction("answer-1", "2", touchpoint="web.returns")
    await project(scoreboard, journal_of(answered(1, "5"), moved))
    assert list(await scores_of(answers)) == ["web.returns"]


async def test_a_retraction_takes_the_answer_out(scoreboard: Scoreboard, answers: Answers) -> None:
    await project(
        scoreboard, journal_of(answered(1, "5"), answered(2, "1"), retraction("answer-1"))
    )
    assert (await scores_of(answers, as_of=2))["store.checkout"]["csat_mean"] == 3.0
    assert (await scores_of(answers))["store.checkout"]["csat_mean"] == 1.0


async def test_an_amendment_before_its_target_waits_for_it(
    scoreboard: Scoreboard, scoring_pool: Pool, answers: Answers
) -> None:
    journal = journal_of(correction("answer-1", "2"), answered(2, "4"), answered(1, "5"))
    await project(scoreboard, journal[:2])
    waiting = (await answers.status("default")).waiting
    assert waiting == 1
    await project(scoreboard, journal[2:])
    waiting = (await answers.status("default")).waiting
    assert waiting == 0
    assert (await scores_of(answers, as_of=2))["store.checkout"]["csat_mean"] == 4.0
    assert (await scores_of(answers, as_of=3))["store.checkout"]["csat_mean"] == 3.0


async def test_the_last_amendment_in_journal_order_counts(
    scoreboard: Scoreboard, answers: Answers
) -> None:
    await project(
        scoreboard,
        journal_of(
            correction("answer-1", "2", 1),
            answered(1, "5"),
            correction("answer-1", "3", 2),
            correction("answer-1", "4", 3),
        ),
        page_events=3,
    )
    seen = [
        (await scores_of(answers, as_of=position))["store.checkout"]["csat_mean"]
        for position in (2, 3, 4)
    ]
    assert seen == [2.0, 3.0, 4.0]


async def test_a_correction_after_a_retraction_counts(
    scoreboard: Scoreboard, answers: Answers
) -> None:
    journal = journal_of(answered(1, "5"), retraction("answer-1"), correction("answer-1", "2"))
    await project(scoreboard, journal)
    assert {} == await scores_of(answers, as_of=2)
    assert 2.0 == (await scores_of(answers))["store.checkout"]["csat_mean"]


async def test_a_correction_of_another_kind_waits_and_changes_nothing(
    scoreboard: Scoreboard, answers: Answers
) -> None:
    await project(scoreboard, journal_of(event(event_id="visit"), correction("visit", "2")))
    waiting = (await answers.status("default")).waiting
    got = (await scores_of(answers))["store.checkout"]
    assert (1, 1, 0) == (waiting, got["interactions"], got["answered"])


async def test_a_touchpoint_whose_only_feedback_was_retracted_is_in_no_view(
    scoreboard: Scoreboard, answers: Answers, scoring_pool: Pool
) -> None:
    await project(scoreboard, journal_of(answered(1, "5"), retraction("answer-1")))
    assert {} == await scores_of(answers)
    assert [] == await scoring_pool.fetch("SELECT * FROM bi.satisfaction_by_touchpoint")


async def test_what_only_a_later_release_can_read_stops_nobody(
    scoreboard: Scoreboard, answers: Answers, scoring_pool: Pool
) -> None:
    odd = event(event_id="odd", place={"business_date": "whenever"})
    odd.interaction.stage = 99  # type: ignore[assignment]  # as a later release may know it
    await project(scoreboard, journal_of(odd, answered(1, "5")))
    assert 5.0 == (await scores_of(answers))["store.checkout"]["csat_mean"]
    assert 2 == await scoring_pool.fetchval("SELECT count(*) FROM bi.event")


async def test_a_zone_stays_declared_until_another_is(scoring_pool: Pool, answers: Answers) -> None:
    zones = list[str]()
    for declared in ("Asia/Tokyo", None, "Europe/Berlin"):
        scoreboard = Scoreboard(scoring_pool, reporting_zone=declared)
        await scoreboard.install()
        if not zones:
            await project(scoreboard, journal_of(event()))
        zones.append(await answers.reporting_zone("default"))
    assert ["Asia/Tokyo", "Asia/Tokyo", "Europe/Berlin"] == zones


async def test_an_amendment_of_an_amendment_waits_and_changes_nothing(
    scoreboard: Scoreboard, answers: Answers
) -> None:
    await project(
        scoreboard,
        journal_of(
            answered(1, "5"),
            correction("answer-1", "2"),
            retraction("correction 1 of answer-1"),
        ),
    )
    waiting = (await answers.status("default")).waiting
    assert waiting == 1
    assert (await scores_of(answers))["store.checkout"]["csat_mean"] == 2.0


def a_bit_of_everything() -> list[pb.Event]:
    answers = [
        answered(number, str(1 + number % 5), occurred_at=f"2026-08-{1 + number % 28:02}T10:00:00Z")
        for number in range(40)
    ]
    return [
        retraction("answer-3"),
        correction("answer-20", "3", 7),
        *answers[:25],
        event(event_id="asked", feedback_requested={}),
        correction("answer-1", "5", 1),
        correction("answer-1", "4", 2, touchpoint="web.returns"),
        retraction("answer-2"),
        *answers[25:],
        event(event_id="visit", interaction={"amount": {"amount": "12.30", "currency": "EUR"}}),
        retraction("visit"),
        retraction("nothing that ever comes"),
        correction("answer-39", "1", 3),
    ]


@pytest.mark.parametrize("page_events", [1, 2, 3, 7, 1000])
async def test_the_size_of_pages_changes_nothing(
    page_events: int, new_database: Callable[[str], str]
) -> None:
    dumps = []
    for size in (page_events, 5):
        url = await asyncio.to_thread(new_database, "scoring")
        async with asyncpg.create_pool(url, min_size=1, max_size=4, server_settings=PATH) as pool:
            scoreboard = Scoreboard(pool)
            await scoreboard.install()
            await project(scoreboard, journal_of(*a_bit_of_everything()), page_events=size)
            dumps.append(await dump(pool))
    assert dumps[0] == dumps[1]


async def test_the_rollup_equals_the_facts_as_of_the_end(
    scoreboard: Scoreboard, scoring_pool: Pool, answers: Answers
) -> None:
    await project(scoreboard, journal_of(*a_bit_of_everything()), page_events=4)
    with by_the(Way.SCAN):
        from_facts = await scores_of(answers)
    rows = await scoring_pool.fetch("SELECT * FROM bi.satisfaction_by_touchpoint")
    counts = dict.fromkeys(formulas.COUNTS, int)
    exact = {name: told_exactly for name in formulas.SUMS if name not in counts}
    told: dict[str, Any] = counts | exact | dict.fromkeys(formulas.SCORES_SQL, lambda value: value)
    assert from_facts == {
        row["touchpoint"]: {name: say(row[name]) for name, say in told.items()} for row in rows
    }


async def test_a_refilled_rollup_equals_the_one_that_grew(
    scoreboard: Scoreboard, scoring_pool: Pool
) -> None:
    await project(scoreboard, journal_of(*a_bit_of_everything()), page_events=4)
    grown = await dump(scoring_pool)
    await scoring_pool.execute("UPDATE fold.formulas SET signature = 'of an older release'")
    await scoreboard.install()
    assert grown == await dump(scoring_pool)


async def test_what_was_shown_at_a_position_is_shown_for_ever(
    scoreboard: Scoreboard, answers: Answers
) -> None:
    journal = journal_of(*a_bit_of_everything())
    shown = []
    for number in range(len(journal)):
        await project(scoreboard, journal[number : number + 1])
        shown.append(await scores_of(answers))
    again = [await scores_of(answers, as_of=number + 1) for number in range(len(journal))]
    assert shown == again


async def test_a_time_stands_for_the_last_position_recorded_by_then(
    scoreboard: Scoreboard, answers: Answers
) -> None:
    await project(scoreboard, journal_of(answered(1, "5"), answered(2, "1"), answered(3, "1")))
    moments = [recorded_at_position(position) for position in range(3)]
    assert [0, 1, 2] == [(await answers.recorded_by(each, "as_of_time")).number for each in moments]


async def test_two_projectors_do_not_project_a_page_twice(
    scoreboard: Scoreboard, scoring_pool: Pool
) -> None:
    journal = journal_of(answered(1, "5"), answered(2, "1"), answered(3, "1"))
    await project(scoreboard, journal[:2])
    with pytest.raises(Overtaken):
        await project(scoreboard, journal)
    assert await scoring_pool.fetchval("SELECT count(*) FROM bi.event") == 2


async def test_a_page_that_fails_leaves_nothing(scoreboard: Scoreboard, scoring_pool: Pool) -> None:
    before = await dump(scoring_pool)
    await scoring_pool.execute("ALTER TABLE bi.fact_feedback ADD CONSTRAINT no CHECK (false)")
    with pytest.raises(asyncpg.CheckViolationError):
        await project(scoreboard, journal_of(event(), answered(1, "5")))
    assert before == await dump(scoring_pool)
    assert (await scoreboard.checkpoint()).number == 0


async def test_unreadable_bytes_stop_nobody(
    scoreboard: Scoreboard, scoring_pool: Pool, answers: Answers
) -> None:
    journal = journal_of(event(), answered(1, "5"))
    journal[0].event = b"\xff\xff"
    await project(scoreboard, journal)
    assert [
        row["position"] for row in await scoring_pool.fetch("SELECT * FROM bi.event ORDER BY 2")
    ] == [1, 2]
    assert (await scores_of(answers))["store.checkout"]["csat_mean"] == 5.0


async def test_money_and_values_stay_exact(scoreboard: Scoreboard, scoring_pool: Pool) -> None:
    sales = [
        event(event_id=str(number), interaction={"amount": {"amount": "0.1", "currency": "EUR"}})
        for number in range(10)
    ]
    await project(scoreboard, journal_of(*sales))
    assert (
        str(await scoring_pool.fetchval("SELECT sum(amount) FROM bi.fact_interaction"))
        == "1.000000"
    )


LOOKUPS = """
SELECT count(*) FROM pg_indexes WHERE schemaname = 'bi' AND indexname ~ '_(customer|staff)_idx$'
"""


async def test_far_behind_a_model_is_filled_without_lookups(
    scoreboard: Scoreboard, scoring_pool: Pool
) -> None:
    journal = journal_of(answered(1, "5", customer="card 1"), answered(2, "4", customer="card 1"))
    await project(scoreboard, journal[:1], head=PAGE_EVENTS_MAX + 2)
    assert 0 == await scoring_pool.fetchval(LOOKUPS)
    await project(scoreboard, journal[1:], head=PAGE_EVENTS_MAX + 2)
    assert 2 * len(FACT_TABLES) == await scoring_pool.fetchval(LOOKUPS)


async def test_the_first_profile_makes_the_lookups_that_move_facts(
    scoreboard: Scoreboard, scoring_pool: Pool
) -> None:
    profile = {"birth_year_from": 1970, "birth_year_to": 1975}
    journal = journal_of(
        answered(1, "5", customer="card 1"),
        event(event_id="profile", customer="card 1", customer_profile=profile),
    )
    await project(scoreboard, journal[:1], head=1_000_000)
    await project(scoreboard, journal[1:], head=1_000_000)
    assert 2 * len(FACT_TABLES) == await scoring_pool.fetchval(LOOKUPS)
    assert "x" == await scoring_pool.fetchval("SELECT generation FROM rollup_day WHERE facts > 0")


async def test_making_lookups_may_take_longer_than_a_page(scoring_pool: Pool) -> None:
    await Scoreboard(scoring_pool).install()
    async with scoring_pool.acquire() as tx, tx.transaction():
        await tx.execute("SET LOCAL transaction_timeout = '2s'")
        await models.make_lookups(tx)
        await tx.execute("SELECT pg_sleep(2.1)")


async def test_lookups_end_with_the_process_that_makes_them(
    new_database: Callable[[str], str],
) -> None:
    url = await asyncio.to_thread(new_database, "scoring")
    killed, next_one = await asyncpg.connect(url), await asyncpg.connect(url)
    began = asyncio.Event()
    killed.add_log_listener(lambda *_: began.set())
    await killed.transaction().start()
    await killed.execute(models.ALLOW_LOOKUPS)
    await killed.execute("SELECT pg_advisory_xact_lock(1)")
    takes_long = "DO $$ BEGIN RAISE WARNING 'began'; PERFORM pg_sleep(600); END $$"
    making = asyncio.create_task(killed.execute(takes_long))
    async with asyncio.timeout(20):
        await began.wait()
    # No word to the server, as none comes from a process that is killed.
    killed.terminate()
    assert isinstance(*await asyncio.gather(making, return_exceptions=True), Exception)
    await next_one.execute("SELECT pg_advisory_xact_lock(1)", timeout=20)
    await next_one.close()


NUMBERS = (
    *("0", "-0", "1", "-1", "9999", "10000", "0.0001", "0.1", "-0.5", "12.90", "100000000"),
    *("123456789012345.123456", "-999999999999999.999999", "0.00001", "1e3", "1e-6", "00012"),
)


async def test_numbers_are_stored_as_postgres_reads_them(scoring_pool: Pool) -> None:
    async with scoring_pool.acquire() as connection, connection.transaction():
        await connection.execute("CREATE TEMPORARY TABLE number (told numeric) ON COMMIT DROP")
        rows = [(1).to_bytes(2, "big") + numeric(Decimal(number)) for number in NUMBERS]
        await copy(connection, "number", ["told"], rows)
        stored = await connection.fetch("SELECT told::text FROM number")
        read = await connection.fetch("SELECT unnest($1::text[])::numeric::text", NUMBERS)
    assert [row[0] for row in read] == [row[0] for row in stored]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e101", "1e-101", "1e999999999"])
def test_what_no_column_takes_is_no_number(number: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        numeric(Decimal(number))


MOMENTS = (
    *("0001-01-01T00:00:00Z", "1900-01-01T00:00:00.000001Z", "1999-12-31T23:59:59.999999Z"),
    *("2000-01-01T00:00:00Z", "2026-08-03T10:00:00.123456789Z", "9999-12-31T23:59:59.999999Z"),
)


async def test_moments_are_stored_as_postgres_reads_them(scoring_pool: Pool) -> None:
    stamps = [Timestamp() for _ in MOMENTS]
    for stamp, told in zip(stamps, MOMENTS, strict=True):
        stamp.FromJsonString(told)
    async with scoring_pool.acquire() as connection, connection.transaction():
        await connection.execute("CREATE TEMPORARY TABLE moment (at timestamptz) ON COMMIT DROP")
        await copy(
            connection, "moment", ["at"], [(1).to_bytes(2, "big") + moment(each) for each in stamps]
        )
        stored = await connection.fetch("SELECT at FROM moment")
        # What is beyond a millionth of a second is cut off, not rounded.
        given = [told.replace("456789Z", "456Z") for told in MOMENTS]
        read = await connection.fetch("SELECT unnest($1::text[])::timestamptz", given)
    assert [row[0] for row in read] == [row[0] for row in stored]


def test_a_moment_that_no_reader_could_name_is_refused() -> None:
    for seconds in (-62_135_596_801, 253_402_300_800):
        with pytest.raises(OverflowError):
            moment(Timestamp(seconds=seconds))


async def test_joins_with_the_days_lose_nothing(scoreboard: Scoreboard, scoring_pool: Pool) -> None:
    times = ["1900-01-01T00:00:00Z", "2026-08-03T10:00:00Z", "2999-12-31T23:59:59.999999999Z"]
    visits = [event(event_id=each, occurred_at=each) for each in times]
    await project(scoreboard, journal_of(*visits))
    rows = await scoring_pool.fetch(
        "SELECT d.year FROM bi.fact_interaction f JOIN bi.dim_date d ON d.date_key = f.occurred_date "
        "ORDER BY d.year"
    )
    assert [row["year"] for row in rows] == [1900, 2026, 2999]


async def test_the_formulas_are_installed_once_by_many(
    new_database: Callable[[str], str],
) -> None:
    url = await asyncio.to_thread(new_database, "scoring")
    async with asyncpg.create_pool(url, min_size=4, max_size=4, server_settings=PATH) as pool:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(Scoreboard(pool).install())
        assert await pool.fetchval("SELECT count(*) FROM fold.formulas") == 1


async def test_a_projector_of_another_release_stands_by(
    scoreboard: Scoreboard, scoring_pool: Pool
) -> None:
    await scoring_pool.execute("UPDATE fold.formulas SET signature = 'of a later release'")
    with pytest.raises(Overtaken):
        await project(scoreboard, journal_of(event()))
    assert 0 == (await scoreboard.checkpoint()).number


async def test_the_bi_role_is_admitted_by_many_at_once(scoring_pool: Pool) -> None:
    role = f"bi_{uuid.uuid4().hex}"
    await scoring_pool.execute(f"CREATE ROLE {role}")
    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(bi_role.admit(scoring_pool, role=role, tenant="default"))
    assert "default" == await scoring_pool.fetchval(
        "SELECT tenant FROM scoring.bi_role WHERE role_name = $1", role
    )


async def test_every_table_view_and_column_of_bi_is_explained(
    scoreboard: Scoreboard, scoring_pool: Pool
) -> None:
    unexplained = await scoring_pool.fetch(
        """
        SELECT c.table_name, c.column_name FROM information_schema.columns c
          LEFT JOIN bi.data_dictionary d USING (table_name, column_name)
         WHERE c.table_schema = 'bi' AND coalesce(d.meaning, '') = ''
        """
    )
    assert unexplained == []


async def test_whoever_sees_many_rows_sees_them_with_statistics(
    scoreboard: Scoreboard, scoring_pool: Pool
) -> None:
    known = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'event'::regclass"
    journal = journal_of(*(event(event_id=f"{number}") for number in range(3000)))

    await project(scoreboard, journal[:999], head=999)
    assert -1 == await scoring_pool.fetchval(known)
    await project(scoreboard, journal[:1000][999:])
    assert 1000 == await scoring_pool.fetchval(known)
    await project(scoreboard, journal[:1999][1000:])
    assert 1000 == await scoring_pool.fetchval(known)
    await project(scoreboard, journal[1999:])
    # As PostgreSQL has it, which estimates.
    assert 2900 < await scoring_pool.fetchval(known)
