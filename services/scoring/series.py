"""GetSeries: scores period by period, those without anything too."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import groupby

import asyncpg

from services.chassis.errors import Malformed
from services.scoring import question, score_query
from services.scoring.answers import Answers
from services.scoring.question import Cell, Names
from services.scoring.scores import NUMBERS_MAX, groups_max, told
from touchledger.v1 import scoring_pb2 as pb

# Eleven years of days.
PERIODS_MAX = 4000


async def get_series(
    answers: Answers, tenant: str, request: pb.GetSeriesRequest
) -> pb.GetSeriesResponse:
    keys, names = question.series_keys(request), question.names(request.names)
    cell = question.cell(request)
    # How many series there were on the pages before: all pages are of one state.
    page = question.page(request, size=groups_max(keys, names), keys=1)
    skip = question.count(page.after)
    async with answers.snapshot(tenant, request, position=page.position) as snapshot:
        here = cell.in_zone(snapshot.zone)
        at = await snapshot.at(keys, here)
        [found] = await snapshot.fetch(*score_query.extent(at, keys, here, names))
        periods = _periods(keys[-1], here, found["first"], found["last"])
        size = min(page.size, _series_max(len(periods), keys, names))
        rows = await snapshot.fetch(
            *score_query.series(at, keys, here, names, skip=skip, limit=size + 1)
        )
    more = any(row["place"] > skip + size for row in rows)
    if more and not request.page_size:
        raise Malformed(
            f"at most {size} series: a page_size, a narrower question or fewer names",
            field="groups",
            got="more series",
        )
    return pb.GetSeriesResponse(
        scores=_filled([row for row in rows if row["place"] <= skip + size], keys, names, periods),
        as_of_position=snapshot.as_of,
        formula_version=names.formula_version,
        reporting_zone=snapshot.zone,
        freshness=snapshot.freshness(),
        next_page_token=question.next_page(request, snapshot.position, [skip + size])
        if more
        else "",
    )


def _series_max(periods: int, keys: Sequence[str], names: Names) -> int:
    numbers = periods * (NUMBERS_MAX // groups_max(keys, names))
    if numbers > NUMBERS_MAX:
        raise Malformed(
            "a shorter time, longer periods or fewer names", field="names", got=f"{numbers} numbers"
        )
    return NUMBERS_MAX // max(numbers, 1)


def _periods(unit: str, cell: Cell, found_first: date | None, found_last: date | None) -> list[str]:
    """The starts of the periods from the first to the last, as the question says or as there is anything."""
    first = cell.occurred_from.first_day or found_first
    last = cell.occurred_before.last_day or found_last
    if first is None or last is None:
        return []
    if (last - first).days > PERIODS_MAX * {"reporting_date": 1, "week_start": 7}.get(unit, 31):
        raise Malformed(
            f"at most {PERIODS_MAX} periods", field="occurred_from", got=f"{first} to {last}"
        )
    starts = list(_starts(unit, first, last))
    if len(starts) > PERIODS_MAX:
        raise Malformed(
            f"at most {PERIODS_MAX} periods", field="occurred_from", got=f"{len(starts)}"
        )
    return starts


def _starts(unit: str, first: date, last: date) -> Iterator[str]:
    start = score_query.start_of(unit, first) if unit != "reporting_date" else first
    while start <= last:
        yield start.isoformat()
        if unit == "reporting_date":
            start += timedelta(days=1)
        else:
            start = score_query.start_of(unit, start, ahead=True)


def _filled(
    rows: Sequence[asyncpg.Record], keys: Sequence[str], names: Names, periods: Sequence[str]
) -> Iterator[pb.Score]:
    apart, period = keys[:-1], keys[-1]
    if not rows and not apart:
        # Nothing happened in all the time that was asked for.
        for start in periods:
            yield _nothing({period: start}, names)
    for _, of_series in groupby(rows, key=lambda row: row["place"]):
        there = list(of_series)
        same = {key: str(there[0][key]) for key in apart}
        known = {score.keys[period]: score for score in told(there, keys, names)}
        for start in periods:
            yield known.get(start) or _nothing(same | {period: start}, names)


def _nothing(keys: dict[str, str], names: Names) -> pb.Score:
    counts = {name: 0 for name in names.sums if question.SUMS[name].type == "bigint"}
    sums = {name: "0" for name in names.sums if question.SUMS[name].type != "bigint"}
    return pb.Score(group=" | ".join(keys.values()), keys=keys, counts=counts, sums=sums)
