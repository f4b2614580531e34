"""ListFigures, GetFigure and GetFigureEvents: figures, their rows, and the events behind these."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

import asyncpg

from services.chassis.errors import Malformed, NotFound
from services.scoring import question
from services.scoring.answers import Answers, Snapshot
from services.scoring.experience import BY_NAME
from services.scoring.experience.figure import Figure, events, given, rows
from services.scoring.experience.known import KNOWN
from services.scoring.lineage import event_of
from services.scoring.score_query import Arguments
from touchledger.v1 import experience_pb2 as pb
from touchledger.v1 import scoring_pb2

# A figure looks at all facts of a tenant. What is known of them through several steps the planner takes for a
# few rows, and would look each of them up among all others: minutes instead of 0.1 s on 30,000 events.
WHOLE_TENANT = "SET LOCAL enable_nestloop = off"
ROWS = "SELECT told.* FROM ({rows}) AS told LIMIT {limit} OFFSET {skip}"
HORIZON = "SELECT horizon FROM ({moments}) AS moments"
# An event that a correction has put right is known by both. A decision about a case has its case's id and its
# own time in the place of an event's.
EVENTS = """
WITH counted AS ({events}), listed AS (
  SELECT position, {role_counted} AS role FROM counted
  UNION ALL
  SELECT a.position, {role_amendment}
    FROM counted
    JOIN event e ON e.tenant = {tenant} AND e.position = counted.position
    JOIN amendment a ON a.tenant = e.tenant AND a.target_source = e.source
                    AND a.target_event_id = e.event_id AND a.position <= {position}
)
SELECT e.position, e.source, coalesce(d.case_id, e.event_id) AS event_id, e.topic,
       coalesce(d.decided_at, e.occurred_at) AS occurred_at, e.recorded_at, l.role
  FROM (SELECT position, min(role) AS role FROM listed GROUP BY position) AS l
  JOIN event e ON e.tenant = {tenant} AND e.position = l.position
  LEFT JOIN case_decision d ON d.tenant = e.tenant AND d.position = e.position
 WHERE l.position > {after}
 ORDER BY l.position
 LIMIT {limit}
"""


def list_figures() -> pb.ListFiguresResponse:
    return pb.ListFiguresResponse(figures=[_shown(BY_NAME[name]) for name in sorted(BY_NAME)])


async def get_figure(
    answers: Answers, tenant: str, request: pb.GetFigureRequest
) -> pb.GetFigureResponse:
    figure = _figure(request.figure)
    page = question.page(
        request, size=question.PAGE_SIZE_MAX, size_max=question.PAGE_SIZE_MAX, keys=1
    )
    skip = question.count(page.after)
    async with answers.snapshot(tenant, request, position=page.position) as snapshot:
        await snapshot.connection.execute(WHOLE_TENANT)
        arguments = Arguments()
        asked = _asked(snapshot, request, arguments)
        text = ROWS.format(
            rows=rows(figure, *asked),
            limit=arguments(page.size + 1, "bigint"),
            skip=arguments(skip, "bigint"),
        )
        told = await snapshot.fetch(text, arguments)
        arguments = Arguments()
        moments = given(KNOWN["moments"], *_asked(snapshot, request, arguments))
        [[horizon]] = await snapshot.fetch(HORIZON.format(moments=moments), arguments)
    more = len(told) > page.size
    return pb.GetFigureResponse(
        rows=[_row(figure, row) for row in told[: page.size]],
        as_of_position=snapshot.as_of,
        horizon=horizon,
        reporting_zone=snapshot.zone,
        freshness=snapshot.freshness(),
        next_page_token=question.next_page(request, snapshot.position, [skip + page.size])
        if more
        else "",
        figure=_shown(figure),
    )


async def get_figure_events(
    answers: Answers, tenant: str, request: pb.GetFigureEventsRequest
) -> pb.GetFigureEventsResponse:
    figure = _figure(request.figure)
    keys = [_key(figure, each) for each in request.keys]
    # The position of the last event of the page before.
    page = question.page(request, size_max=question.PAGE_SIZE_MAX, keys=1)
    after = question.count(page.after)
    async with answers.snapshot(tenant, request, position=page.position) as snapshot:
        await snapshot.connection.execute(WHOLE_TENANT)
        arguments = Arguments()
        asked = _asked(snapshot, request, arguments)
        where = [
            f"evidence.{name}::text IS NOT DISTINCT FROM {arguments(value or None, 'text')}"
            for name, value in keys
        ]
        text = EVENTS.format(
            events=events(figure, *asked, " AND ".join(where) or "true"),
            role_counted=scoring_pb2.LINEAGE_ROLE_COUNTED,
            role_amendment=scoring_pb2.LINEAGE_ROLE_AMENDMENT,
            tenant=arguments(tenant, "text"),
            position=arguments(snapshot.position, "bigint"),
            after=arguments(after, "bigint"),
            limit=arguments(page.size + 1, "bigint"),
        )
        told = await snapshot.fetch(text, arguments)
    more = len(told) > page.size
    last = [told[page.size - 1]["position"]] if more else []
    return pb.GetFigureEventsResponse(
        events=map(event_of, told[: page.size]),
        as_of_position=snapshot.as_of,
        reporting_zone=snapshot.zone,
        freshness=snapshot.freshness(),
        next_page_token=question.next_page(request, snapshot.position, last) if more else "",
    )


def _figure(name: str) -> Figure:
    if name not in BY_NAME:
        raise NotFound("a figure that ListFigures tells", field="figure", got=repr(name[:64]))
    return BY_NAME[name]


def _key(figure: Figure, given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals or name not in figure.keys:
        names = ", ".join(figure.keys) or "none"
        raise Malformed(f"NAME=VALUE, NAME of {names}", field="keys", got=repr(given[:64]))
    question.check_text(value, "keys")
    return name, value


def _asked(snapshot: Snapshot, request: object, arguments: Arguments) -> tuple[str, str, str]:
    """Whose facts, as known when, and of the time before which moment: as SQL expressions."""
    return (
        arguments(snapshot.tenant, "text"),
        arguments(snapshot.position, "bigint"),
        arguments(_occurred_before(request, snapshot.zone), "timestamptz"),
    )


def _occurred_before(request: object, zone: str) -> datetime | None:
    bound = question.bound(request, "occurred_before")
    if bound.day is not None:
        return datetime.combine(bound.day, time(), ZoneInfo(zone))
    return bound.moment


def _shown(figure: Figure) -> pb.Figure:
    return pb.Figure(
        name=figure.name,
        formula_version=figure.formula_version,
        question=figure.question,
        columns=[
            pb.FigureColumn(name=name, type=each.type, meaning=each.meaning, key=key)
            for columns, key in ((figure.keys, True), (figure.columns, False))
            for name, each in columns.items()
        ],
    )


def _row(figure: Figure, row: asyncpg.Record) -> pb.FigureRow:
    return pb.FigureRow(keys=_texts(figure.keys, row), values=_texts(figure.columns, row))


def _texts(names: Iterable[str], row: asyncpg.Record) -> dict[str, str]:
    return {name: _text(row[name]) for name in names if row[name] is not None}


def _text(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            # How many zeros there are at its end says nothing.
            exact = format(value, "f")
            return exact.rstrip("0").rstrip(".") if "." in exact else exact
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case _:
            return str(value)
