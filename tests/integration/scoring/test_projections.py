"""A rebuild goes on beside the live models, is compared with them row for row, and takes their place."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import asyncpg
import grpc
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from services.chassis.errors import Conflict, ErrorInterceptor, Unavailable
from services.chassis.postgres import Pool
from services.scoring import bi_role, lease, projections
from services.scoring.models import LIVE, NEXT, PREVIOUS
from services.scoring.projections import Compared, Comparison, Projections
from services.scoring.projections_servicer import ProjectionServicer
from tests.support.events import csat, feedback
from tests.support.projecting import (
    DEADLINE_SECONDS,
    Published,
    Scoring,
    journal_on,
    scoring_on,
    until,
)
from touchledger.v1 import events_pb2, projections_pb2, projections_pb2_grpc


@pytest.fixture
async def journal(journal_pool: Pool) -> AsyncIterator[Published]:
    async with journal_on(journal_pool) as published:
        yield published


@pytest.fixture
async def scoring(journal: Published, new_database: Callable[[str], str]) -> AsyncIterator[Scoring]:
    url = await asyncio.to_thread(new_database, "scoring")
    async with scoring_on(url, journal) as made:
        made.start()
        yield made


def answers(count: int, first: int = 1) -> list[events_pb2.Event]:
    return [
        feedback(
            csat(str(1 + number % 5)),
            event_id=f"answer {number}",
            occurred_at=f"2026-08-{1 + number % 28:02}T10:00:00Z",
        )
        for number in range(first, first + count)
    ]


async def compare(
    scoring: Scoring, *, tenant: str = "default", rows_max: int = 5
) -> tuple[list[Compared], Comparison]:
    found = [each async for each in scoring.projections.compare(tenant=tenant, rows_max=rows_max)]
    *tables, result = found
    assert isinstance(result, Comparison)
    return [each for each in tables if isinstance(each, Compared)], result


async def rebuilt(scoring: Scoring) -> None:
    await scoring.projections.rebuild(replace=False)
    await scoring.caught_up()
    await scoring.caught_up(lease.NEXT)


async def names(scoring: Scoring) -> list[str]:
    return [each.name for each in await scoring.projections.standings()]


async def count_of_answers(scoring: Scoring) -> int:
    counted: int = await scoring.live_pool.fetchval("SELECT sum(answered) FROM rollup_day")
    return counted


async def test_a_rebuild_comes_to_the_same_rows_and_is_switched_to(
    journal: Published, scoring: Scoring
) -> None:
    await journal.publish(*answers(300))
    await scoring.caught_up()
    await rebuilt(scoring)
    tables, result = await compare(scoring)
    assert 0 == result.differing_rows
    assert 300 == result.position.number
    counted = {each.table: each.live_rows for each in tables}
    assert 300 == counted["fact_feedback"]
    # Views, rollups, dimensions and what the fold keeps for itself are compared as well.
    assert {"rollup_touchpoint_day", "rollup_day", "dim_touchpoint"} <= counted.keys()
    assert {"waiting_amendment", "freshness"} <= counted.keys()

    assert 300 == (await scoring.projections.switch(even_if_different=False)).number
    assert ["live", "previous"] == await names(scoring)
    await journal.publish(*answers(50, first=301))
    await scoring.caught_up()
    assert 350 == await count_of_answers(scoring)


async def test_events_keep_coming_while_it_is_rebuilt_compared_and_switched(
    journal: Published, scoring: Scoring
) -> None:
    async def publish() -> None:
        for first in range(1, 3000, 50):
            await journal.publish(*answers(50, first=first))

    publishing = asyncio.create_task(publish())
    await scoring.projections.rebuild(replace=False)
    while not publishing.done() or (await names(scoring)) == ["live", "next"]:
        with contextlib.suppress(Conflict, Unavailable):
            _, result = await compare(scoring)
            assert 0 == result.differing_rows
            await scoring.projections.switch(even_if_different=False)
            await scoring.projections.rebuild(replace=False)
            if publishing.done():
                break
    await publishing
    await scoring.caught_up()
    assert 3000 == await count_of_answers(scoring)
    assert [*range(1, 3001)] == [
        row[0] for row in await scoring.live_pool.fetch("SELECT position FROM event ORDER BY 1")
    ]


async def test_a_rebuild_goes_on_after_a_restart(journal: Published, scoring: Scoring) -> None:
    await journal.publish(*answers(3000))
    await scoring.caught_up()
    scoring.rebuilder._events_max = 100
    await scoring.projections.rebuild(replace=False)

    async def some() -> bool:
        return bool(scoring.next.pages)

    await until(some, "a page of the rebuild")
    await scoring.stop()
    done = (await scoring.next.checkpoint()).number
    assert 0 < done
    async with scoring_on(scoring.url, journal, owner="test:2") as restarted:
        restarted.start()
        await restarted.caught_up(lease.NEXT)

        async def the_rest() -> bool:
            return 3000 - done == sum(restarted.next.pages)

        await until(the_rest, "the rest, and no more")
        assert (0, []) == await restarted.compared()


async def test_the_next_model_never_passes_the_live_one(
    journal: Published, scoring: Scoring
) -> None:
    await journal.publish(*answers(10))
    await scoring.caught_up()
    async with scoring.pool.acquire() as tx, tx.transaction():
        await lease.hold(tx, lease.LIVE)
        await journal.publish(*answers(10, first=11))
        await scoring.projections.rebuild(replace=False)

        async def at_10() -> bool:
            return (await scoring.next.checkpoint()).number == 10

        await until(at_10, "the next model at the live one's position")
        assert 10 == (await scoring.live.checkpoint()).number
    await scoring.caught_up(lease.NEXT)


async def differ(scoring: Scoring) -> None:
    """Something has gone astray in the live tables."""
    await scoring.live_pool.execute("UPDATE fact_feedback SET value = 5 WHERE event_position = 5")
    await scoring.live_pool.execute(
        "DELETE FROM dim_touchpoint WHERE touchpoint = 'store.checkout'"
    )


async def test_a_difference_is_told_row_for_row_and_refuses_the_switch(
    journal: Published, scoring: Scoring
) -> None:
    await journal.publish(*answers(20))
    await scoring.caught_up()
    await differ(scoring)
    await rebuilt(scoring)
    tables, result = await compare(scoring)
    assert 3 == result.differing_rows
    found = {each.table: each for each in tables if each.only_live or each.only_next}
    assert {"fact_feedback", "dim_touchpoint"} == found.keys()
    assert (1, 1) == (found["fact_feedback"].only_live, found["fact_feedback"].only_next)
    assert (0, 1) == (found["dim_touchpoint"].only_live, found["dim_touchpoint"].only_next)
    [row] = found["dim_touchpoint"].differences
    assert ("next", 1) == (row.only_in, row.copies)
    assert '"touchpoint": "store.checkout"' in row.row

    with pytest.raises(Conflict, match="next: got 3 differing rows, want equal models"):
        await scoring.projections.switch(even_if_different=False)
    await scoring.projections.switch(even_if_different=True)
    assert 1 == await scoring.live_pool.fetchval("SELECT count(*) FROM dim_touchpoint")


async def test_copies_of_a_row_count(journal: Published, scoring: Scoring) -> None:
    await journal.publish(*answers(3))
    await scoring.caught_up()
    await rebuilt(scoring)
    await scoring.pool.execute(
        f"""
        CREATE TABLE {LIVE.bi}.twins AS SELECT NULL::text AS nothing FROM generate_series(1, 3);
        CREATE TABLE {NEXT.bi}.twins AS SELECT NULL::text AS nothing FROM generate_series(1, 5);
        """
    )
    tables, result = await compare(scoring)
    twins = next(each for each in tables if each.table == "twins")
    assert (3, 5, 0, 2) == (
        twins.live_rows,
        twins.next_rows,
        twins.only_live,
        twins.only_next,
    )
    assert 2 == result.differing_rows


async def test_rows_of_other_tenants_are_counted_and_not_shown(
    journal: Published, scoring: Scoring
) -> None:
    await journal.publish(*answers(3), tenant="one")
    await journal.publish(*answers(3), tenant="two")
    await scoring.caught_up()
    await scoring.live_pool.execute("UPDATE fact_feedback SET value = 1, question = 'astray'")
    await rebuilt(scoring)
    tables, _ = await compare(scoring, tenant="two", rows_max=100)
    found = next(each for each in tables if each.table == "fact_feedback")
    assert (6, 6) == (found.only_live, found.only_next)
    assert 6 == len(found.differences)
    assert all('"tenant": "two"' in each.row for each in found.differences)


async def test_a_switch_without_a_comparison_is_refused(
    journal: Published, scoring: Scoring
) -> None:
    await journal.publish(*answers(3))
    await rebuilt(scoring)
    with pytest.raises(Conflict, match="a comparison first"):
        await scoring.projections.switch(even_if_different=False)
    await compare(scoring)
    assert await scoring.projections.comparison() is not None
    # Another next model is not the one that was compared.
    await scoring.projections.rebuild(replace=True)
    assert await scoring.projections.comparison() is None


async def test_a_next_model_that_is_far_behind_is_not_waited_for(
    journal: Published, scoring: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections, "NEAR_EVENTS_MAX", 5)
    await journal.publish(*answers(20))
    await scoring.caught_up()
    await scoring.stop()
    await scoring.projections.rebuild(replace=False)
    with pytest.raises(Conflict, match=r"next.checkpoint: got 0, want at most 5 events behind"):
        await compare(scoring)
    with pytest.raises(Conflict, match=r"next.checkpoint: got 0"):
        await scoring.projections.switch(even_if_different=True)


async def test_a_next_model_that_nobody_fills_holds_the_live_one_for_a_moment_only(
    journal: Published, scoring: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections, "TOGETHER_SECONDS_MAX", 0.2)
    await journal.publish(*answers(20))
    await scoring.caught_up()
    await scoring.stop()
    await scoring.projections.rebuild(replace=False)
    with pytest.raises(Unavailable, match="the next model at position 20"):
        await compare(scoring)
    scoring.start()
    await journal.publish(*answers(1, first=21))
    await scoring.caught_up()


async def test_there_is_one_rebuild_at_a_time_unless_it_is_replaced(scoring: Scoring) -> None:
    await scoring.projections.rebuild(replace=False)
    with pytest.raises(Conflict, match="next: got one already"):
        await scoring.projections.rebuild(replace=False)
    await scoring.projections.rebuild(replace=True)


async def test_there_is_one_comparison_at_a_time(
    journal: Published, scoring: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections, "LOCK_SECONDS_MAX", 1)
    await journal.publish(*answers(3))
    await rebuilt(scoring)
    comparing = scoring.projections.compare(tenant="default", rows_max=5)
    async with contextlib.aclosing(comparing):
        await anext(comparing)
        with pytest.raises(Unavailable, match="when nobody compares"):
            await compare(scoring)
        with pytest.raises(Unavailable, match="when nobody compares"):
            await scoring.projections.switch(even_if_different=True)
    await scoring.projections.switch(even_if_different=True)


async def test_what_is_not_there_is_not_switched_to(scoring: Scoring) -> None:
    with pytest.raises(Conflict, match="next: got none"):
        await scoring.projections.switch(even_if_different=True)
    with pytest.raises(Conflict, match="next: got none"):
        await compare(scoring)
    with pytest.raises(Conflict, match="previous: got none"):
        await scoring.projections.roll_back()


async def test_a_rolled_back_model_catches_up_and_the_other_waits_to_be_switched_to_again(
    journal: Published, scoring: Scoring
) -> None:
    await journal.publish(*answers(10))
    await scoring.caught_up()
    await rebuilt(scoring)
    await scoring.projections.switch(even_if_different=True)
    await journal.publish(*answers(10, first=11))
    await scoring.caught_up()

    assert 10 == (await scoring.projections.roll_back()).number
    assert ["live", "next"] == await names(scoring)
    await scoring.caught_up()
    assert 20 == await count_of_answers(scoring)
    await journal.publish(*answers(10, first=21))
    await scoring.caught_up(lease.NEXT)
    assert (0, []) == await scoring.compared()
    await scoring.projections.switch(even_if_different=False)
    assert 30 == await count_of_answers(scoring)


async def test_a_model_of_another_shape_is_not_rolled_back_to(
    journal: Published, scoring: Scoring
) -> None:
    await journal.publish(*answers(10))
    await scoring.caught_up()
    await rebuilt(scoring)
    await scoring.projections.switch(even_if_different=True)
    await scoring.pool.execute(f"UPDATE {PREVIOUS.fold}.shape SET number = number - 1")
    with pytest.raises(Conflict, match="shape: got "):
        await scoring.projections.roll_back()
    assert ["live", "previous"] == await names(scoring)
    assert 10 == await count_of_answers(scoring)


async def test_a_page_under_way_is_not_written_into_the_wrong_model(
    journal: Published, scoring: Scoring
) -> None:
    await journal.publish(*answers(10))
    await scoring.caught_up()
    await rebuilt(scoring)
    before = [await scoring.pool.fetchval(TOKEN, name) for name in ("live", "next")]
    await scoring.projections.switch(even_if_different=True)
    after = [await scoring.pool.fetchval(TOKEN, name) for name in ("live", "next")]
    assert all(old < new for old, new in zip(before, after, strict=True))


TOKEN = "SELECT token FROM scoring.lease WHERE projection = $1"


async def test_zones_declared_long_ago_are_the_next_models_too(
    journal: Published, scoring: Scoring
) -> None:
    await journal.publish(*answers(3))
    await scoring.caught_up()
    await scoring.live_pool.execute("UPDATE tenant SET reporting_zone = 'Asia/Tokyo'")
    late = feedback(csat("4"), event_id="late", occurred_at="2026-08-03T20:00:00Z")
    await journal.publish(late)
    await scoring.caught_up()
    await rebuilt(scoring)
    day = "SELECT reporting_date::text FROM fact_feedback WHERE event_position = 4"
    assert "2026-08-04" == await scoring.live_pool.fetchval(day)
    assert "2026-08-04" == await scoring.next_pool.fetchval(day)


async def test_bi_roles_read_what_is_live_and_neither_the_next_nor_the_previous(
    journal: Published, scoring: Scoring
) -> None:
    role = f"bi_{uuid.uuid4().hex}"
    await scoring.pool.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    await bi_role.admit(scoring.live_pool, role=role, tenant="default")
    await journal.publish(*answers(7))
    await scoring.caught_up()
    scheme, _, rest = scoring.url.partition("://")
    url = f"{scheme}://{role}:secret@{rest.rpartition('@')[2]}"

    async def sees(schema: str, table: str = "fact_feedback") -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(f"SELECT count(*) FROM {schema}.{table}")
        except asyncpg.InsufficientPrivilegeError:
            return "nothing"
        finally:
            await connection.close()

    await rebuilt(scoring)
    assert (7, "nothing") == (await sees(LIVE.bi), await sees(NEXT.bi))
    await scoring.projections.switch(even_if_different=True)
    assert (7, "nothing") == (await sees(LIVE.bi), await sees(PREVIOUS.bi))
    # So that its views are made anew.
    await scoring.pool.execute(f"UPDATE {PREVIOUS.fold}.formulas SET signature = 'the one before'")
    await scoring.projections.roll_back()
    assert (7, "nothing") == (await sees(LIVE.bi), await sees(NEXT.bi))
    assert 1 == await sees(LIVE.bi, "satisfaction_by_touchpoint")


@pytest.fixture
async def stub(scoring: Scoring) -> AsyncIterator[projections_pb2_grpc.ProjectionServiceStub]:
    server = grpc.aio.server(interceptors=[ErrorInterceptor(calls_max=100)])
    servicer = ProjectionServicer(scoring.projections, scoring.journal.source)
    projections_pb2_grpc.add_ProjectionServiceServicer_to_server(servicer, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield projections_pb2_grpc.ProjectionServiceStub(channel)
    finally:
        await server.stop(None)


CALL: dict[str, Any] = {
    "metadata": (("touchledger-tenant", "default"),),
    "timeout": DEADLINE_SECONDS,
}


async def test_the_service_tells_and_does_all_of_it(
    journal: Published,
    scoring: Scoring,
    stub: projections_pb2_grpc.ProjectionServiceStub,
) -> None:
    await journal.publish(*answers(10))
    await stub.RebuildProjection(projections_pb2.RebuildProjectionRequest(), **CALL)
    await scoring.caught_up(lease.NEXT)
    found = [
        each async for each in stub.DiffProjection(projections_pb2.DiffProjectionRequest(), **CALL)
    ]
    assert 0 == found[-1].result.differing_rows
    assert 10 < len(found)
    told = await stub.GetProjections(projections_pb2.GetProjectionsRequest(), **CALL)
    assert ["live", "next"] == [each.name for each in told.projections]
    assert [10, 10] == [each.checkpoint.number for each in told.projections]
    assert ["test:1", "test:1"] == [each.owner for each in told.projections]
    assert (10, 10) == (told.head.number, told.comparison.position.number)
    switched = await stub.SwitchProjection(projections_pb2.SwitchProjectionRequest(), **CALL)
    assert 10 == switched.position.number
    back = await stub.RollBackProjection(projections_pb2.RollBackProjectionRequest(), **CALL)
    assert 10 == back.position.number


async def test_what_is_measured_is_of_the_models_that_are_projected(
    journal: Published, scoring: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = InMemoryMetricReader()
    monkeypatch.setattr(projections, "meter", MeterProvider([reader]).get_meter("test"))
    monkeypatch.setattr(projections, "MEASURE_EVERY_SECONDS", 0.01)
    measured = Projections(scoring.pool, journal.source)

    # What tells where a model is, rather than what it lacks; and nobody here is called "".
    position, owner = "touchledger.projection.position", "touchledger.projection.owner"

    async def is_told(position_of: dict[str, int]) -> bool:
        data = reader.get_metrics_data()
        told = dict[tuple[str, object], object]()
        for of_service in data.resource_metrics if data else ():
            for metric in of_service.scope_metrics[0].metrics:
                for point in metric.data.data_points:
                    assert isinstance(point, NumberDataPoint)
                    assert point.attributes
                    told[metric.name, point.attributes["projection"]] = point.value
        wanted = {(name, model): 0 for name, *_ in projections.GAUGES for model in position_of}
        wanted |= {(owner, model): 0 for model in position_of}
        wanted |= {(position, model): number for model, number in position_of.items()}
        return told == wanted

    await journal.publish(*answers(10))
    await scoring.caught_up()
    await rebuilt(scoring)
    measuring = asyncio.create_task(measured.measure())
    await until(partial(is_told, {"live": 10, "next": 10}), "both are measured")
    await scoring.projections.switch(even_if_different=True)
    await journal.publish(*answers(10, first=11))

    # Of the next one, which is gone, and of the previous one, which stands still, nothing is told.
    await until(partial(is_told, {"live": 20}), "the live one alone is measured")

    measuring.cancel()


async def test_more_rows_than_are_shown_are_refused(
    stub: projections_pb2_grpc.ProjectionServiceStub,
) -> None:
    request = projections_pb2.DiffProjectionRequest(rows_max=101)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        _ = [each async for each in stub.DiffProjection(request, **CALL)]
    assert grpc.StatusCode.INVALID_ARGUMENT is refused.value.code()
    assert "rows_max: got 101, want at most 100" in (refused.value.details() or "")


async def test_a_comparison_ends_with_its_caller(
    journal: Published,
    scoring: Scoring,
    stub: projections_pb2_grpc.ProjectionServiceStub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(projections, "LOCK_SECONDS_MAX", 10)
    await journal.publish(*answers(3))
    await rebuilt(scoring)
    stream = stub.DiffProjection(projections_pb2.DiffProjectionRequest(), **CALL)
    await stream.read()
    stream.cancel()
    # It holds the models no longer.
    await scoring.projections.switch(even_if_different=True)
