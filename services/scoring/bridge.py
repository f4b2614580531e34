"""GetBridge: why a score is another one than it was, in parts that sum exactly to the difference.

Each event that changed between the two positions belongs to one cause, with all that it adds to the sums
and takes from them; so the sums go from those that were seen to those of now in steps, and each step is a set
of facts that has a score. The parts are the differences of these scores, as exact decimals: whatever the
order of causes is, they telescope. The order is that of BridgeCause.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, localcontext

import asyncpg

from services.chassis.errors import Malformed
from services.scoring import formulas, question, score_query
from services.scoring.answers import Answers, Snapshot
from services.scoring.attributes import known_at
from services.scoring.question import PARENTS_OF, SUMS_OF, Cell
from services.scoring.score_query import (
    Arguments,
    asks_for_attributes,
    in_time,
    of_cell,
    with_attributes_then,
)
from services.scoring.scores import exact
from touchledger.v1 import scoring_pb2 as pb
from touchledger.v1.journal_pb2 import Position

# In the order of the bridge; the formula comes last.
CAUSES = (
    pb.BRIDGE_CAUSE_LATE_ARRIVALS,
    pb.BRIDGE_CAUSE_NEW_EVENTS,
    pb.BRIDGE_CAUSE_CORRECTIONS,
    pb.BRIDGE_CAUSE_RETRACTIONS,
    pb.BRIDGE_CAUSE_PROFILES,
)
# Doubles have 17 digits, from 1e308 down to 5e-324: no difference of two of them has more digits than this.
DIGITS_MAX = 700
RECORDED_AT = """
SELECT recorded_at FROM event WHERE tenant = $1 AND position <= $2 ORDER BY position DESC LIMIT 1
"""
# $1 position that was seen, $2 position of now, $3 moment at which it was seen.
CAUSE = """
CASE WHEN event_position > {seen} THEN
          CASE WHEN max(occurred_at) FILTER (WHERE sign > 0) <= {seen_at} THEN 1 ELSE 2 END
     WHEN bool_and(same) THEN 5
     WHEN bool_or(sign > 0) THEN 3
     ELSE 4 END
"""

Sums = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Bridge:
    """What is asked, once it is known when it was seen."""

    seen_score: str
    score: str
    cell: Cell
    seen: int
    seen_at: datetime

    @property
    def sums(self) -> list[str]:
        return _used(SUMS_OF, self.seen_score, self.score)

    @property
    def parents(self) -> list[str]:
        return _used(PARENTS_OF, self.seen_score, self.score)

    @property
    def columns(self) -> list[str]:
        return [*self.sums, *(f"parent_{name}" for name in self.parents)]


def _used(made_of: Mapping[str, Iterable[str]], *scores: str) -> list[str]:
    used = {name for score in scores for name in made_of[score]}
    return [name for name in formulas.SUMS if name in used]


async def get_bridge(
    answers: Answers, tenant: str, request: pb.GetBridgeRequest
) -> pb.GetBridgeResponse:
    score = question.score_name(request.score, "score")
    seen_score = question.score_name(request.seen_score or score, "seen_score")
    cell = question.cell(request)
    # The last change of the page before: its cause and position.
    page = question.page(request, size_max=question.PAGE_SIZE_MAX, keys=2)
    after = [question.count([each]) for each in page.after] or [0, 0]
    seen = await answers.position_of(request, "seen", tenant)
    if seen is None:
        raise Malformed("a position, a time or a date", field="seen", got="nothing")
    async with answers.snapshot(tenant, request, position=page.position) as snapshot:
        if seen > snapshot.position:
            raise Malformed("not after as_of", field="seen", got=f"position {seen}")
        seen_at = await _seen_at(answers, snapshot, request, seen)
        bridge = Bridge(seen_score, score, cell.in_zone(snapshot.zone), seen, seen_at)
        before = await _sums(snapshot, bridge, seen)
        now = await _sums(snapshot, bridge, snapshot.position)
        changed = await snapshot.fetch(*_changed_by_cause(snapshot, bridge))
        rows = await snapshot.fetch(*_changes(snapshot, bridge, after, limit=page.size + 1))
        by_cause = {row["cause"]: row for row in changed}
        states = _states(before, [by_cause.get(cause) for cause in CAUSES])
        assert states[-1] == now, "what changed is not what makes the difference"
        values = await _values(snapshot, bridge, [*states, now])
    more = len(rows) > page.size
    answer = _told(bridge, snapshot, before, now, values, by_cause)
    answer.changes.extend(_change(row, bridge) for row in rows[: page.size])
    if more:
        last = rows[page.size - 1]
        answer.next_page_token = question.next_page(
            request, snapshot.position, [last["cause"], last["event_position"]]
        )
    return answer


async def _seen_at(
    answers: Answers, snapshot: Snapshot, request: pb.GetBridgeRequest, seen: int
) -> datetime:
    """When somebody looked: as the question says, or when what there was to see had come."""
    chosen = request.WhichOneof("seen")
    if chosen == "seen_time":
        return question.moment(request, chosen)
    if chosen == "seen_date":
        return await answers.start_of_day(
            question.bounded_day(request.seen_date, "seen_date"), snapshot.zone
        )
    rows = await snapshot.fetch(RECORDED_AT, [snapshot.tenant, seen])
    return rows[0]["recorded_at"] if rows else datetime.min.replace(tzinfo=UTC)


async def _sums(snapshot: Snapshot, bridge: Bridge, position: int) -> Sums:
    at = await snapshot.at((), bridge.cell, position)
    [row] = await snapshot.fetch(
        *score_query.one_cell(at, bridge.cell, bridge.sums, bridge.parents)
    )
    return {name: Decimal(row[name]) for name in bridge.columns}


def _states(before: Sums, steps: Iterable[asyncpg.Record | None]) -> list[Sums]:
    """The sums before, and after each step."""
    states = [before]
    for step in steps:
        last = states[-1]
        states.append(last if step is None else {name: last[name] + step[name] for name in last})
    return states


# What changed: the facts that are known now and were not, with sign 1, and those that were known and are
# not, with sign -1. Where customers' or staff's profiles matter, so do the facts that stayed the same.


def _changed(snapshot: Snapshot, bridge: Bridge, arguments: Arguments) -> str:
    tenant = arguments(snapshot.tenant, "text")
    seen = arguments(bridge.seen, "bigint")
    now = arguments(snapshot.position, "bigint")
    told = {
        "seen": seen,
        "seen_at": arguments(bridge.seen_at, "timestamptz"),
    }
    tables = [
        table
        for table in formulas.SUMMED
        if set(formulas.sums_of(table)) & {*bridge.sums, *bridge.parents}
    ]
    causes, deltas = [], []
    facts = _facts_by_profile if asks_for_attributes((), bridge.cell) else _facts
    texts = [
        f"changed_{table} AS MATERIALIZED ({facts(table, tenant, seen, now)})" for table in tables
    ]
    for table in tables:
        causes.append(
            f"SELECT event_position, {CAUSE.format(**told)} AS cause FROM changed_{table}"  # noqa: S608  # see _changed
            " GROUP BY event_position"
        )
        deltas.append(_deltas(bridge, table, bridge.cell, arguments, own=True))
        if bridge.parents:
            deltas.append(_deltas(bridge, table, bridge.cell.anywhere(), arguments, own=False))
    added = ", ".join(f"sum({name}) AS {name}" for name in bridge.columns)
    any_change = " OR ".join(f"sum({name}) <> 0" for name in bridge.columns)
    texts += [
        f"caused AS ({' UNION ALL '.join(causes)})",
        f"delta AS (SELECT event_position, {added} FROM ({' UNION ALL '.join(deltas)}) AS d"  # noqa: S608  # as above
        f" GROUP BY event_position HAVING {any_change})",
    ]
    return f"WITH {', '.join(texts)}"


def _facts(table: str, tenant: str, seen: str, now: str) -> str:
    return f"""
SELECT f.*, 1 AS sign, false AS same FROM {table} AS f
 WHERE f.tenant = {tenant} AND f.from_position > {seen} AND f.from_position <= {now}
   AND (f.to_position IS NULL OR f.to_position > {now})
UNION ALL
SELECT f.*, -1, false FROM {table} AS f
 WHERE f.tenant = {tenant} AND f.from_position <= {seen}
   AND f.to_position > {seen} AND f.to_position <= {now}"""  # noqa: S608  # literals and places of arguments


def _facts_by_profile(table: str, tenant: str, seen: str, now: str) -> str:
    parts = []
    for sign, here, there in ((1, now, seen), (-1, seen, now)):
        known = with_attributes_then(tenant, here).format(
            table=table, where=f"f.tenant = {tenant} AND {known_at(here)}"
        )
        parts.append(
            f"SELECT f.*, {sign} AS sign, ({known_at(there)}) AS same FROM ({known}) AS f"  # noqa: S608  # as above
        )
    return " UNION ALL ".join(parts)


def _deltas(bridge: Bridge, table: str, cell: Cell, arguments: Arguments, *, own: bool) -> str:
    """What each event adds to the sums of the cell, or to those over all that the tenant has."""
    sums = formulas.sums_of(table)
    wanted = {
        (name if own else f"parent_{name}"): sums[name]
        for name in (bridge.sums if own else bridge.parents)
        if name in sums
    }
    listed = "".join(f", sign * ({wanted.get(name, '0')}) AS {name}" for name in bridge.columns)
    where = [
        "true",
        *of_cell(cell, arguments, "f.", set(question.FILTERS)),
        *in_time(cell, arguments),
    ]
    return (
        f"SELECT event_position{listed} FROM changed_{table} AS f"  # noqa: S608  # as above
        f" WHERE {' AND '.join(where)} GROUP BY event_position, sign"
    )


def _changed_by_cause(snapshot: Snapshot, bridge: Bridge) -> tuple[str, Arguments]:
    arguments = Arguments()
    added = ", ".join(f"sum({name}) AS {name}" for name in bridge.columns)
    text = f"""
{_changed(snapshot, bridge, arguments)}
SELECT cause, count(*) AS events, {added} FROM delta JOIN caused USING (event_position) GROUP BY cause
"""  # noqa: S608  # as above
    return text, arguments


def _changes(
    snapshot: Snapshot, bridge: Bridge, after: Sequence[int], *, limit: int
) -> tuple[str, Arguments]:
    arguments = Arguments()
    changed = _changed(snapshot, bridge, arguments)
    places = [arguments(after[0], "integer"), arguments(after[1], "bigint")]
    text = f"""
{changed}
SELECT cause, event_position, e.source, e.event_id, {", ".join(bridge.columns)}
  FROM delta
  JOIN caused USING (event_position)
  JOIN event e ON e.tenant = {arguments(snapshot.tenant, "text")} AND e.position = event_position
 WHERE (cause, event_position) > ({", ".join(places)})
 ORDER BY cause, event_position
 LIMIT {arguments(limit, "bigint")}
"""  # noqa: S608  # as above
    return text, arguments


async def _values(
    snapshot: Snapshot, bridge: Bridge, states: Sequence[Sums]
) -> list[Decimal | None]:
    """The score of each state, by the formula that was seen; of the last one by that of now."""
    arguments = Arguments()
    places = []
    for name in bridge.columns:
        kind = formulas.SUMS[name.removeprefix("parent_")].type
        exact = int if kind == "bigint" else Decimal
        places.append(arguments([exact(state[name]) for state in states], f"{kind}[]"))
    text = f"""
SELECT {formulas.SCORES_SQL[bridge.seen_score].sql} AS seen, {formulas.SCORES_SQL[bridge.score].sql} AS now
  FROM unnest({", ".join(places)}) WITH ORDINALITY AS s ({", ".join(bridge.columns)}, n)
 ORDER BY n
"""  # noqa: S608  # as above
    rows = await snapshot.fetch(text, arguments)
    values = [row["seen"] for row in rows[:-1]] + [rows[-1]["now"]]
    return [None if value is None else Decimal(repr(value)) for value in values]


def _told(
    bridge: Bridge,
    snapshot: Snapshot,
    before: Sums,
    now: Sums,
    values: Sequence[Decimal | None],
    by_cause: Mapping[int, asyncpg.Record],
) -> pb.GetBridgeResponse:
    steps = differences(values)
    seen = Position(journal_id=snapshot.journal_id, number=bridge.seen)
    causes = [*CAUSES, pb.BRIDGE_CAUSE_FORMULA]
    return pb.GetBridgeResponse(
        seen=_state(seen, bridge.seen_score, values[0], before),
        now=_state(snapshot.as_of, bridge.score, values[-1], now),
        difference=_exact(_minus(values[-1], values[0])),
        parts=[
            pb.BridgePart(
                cause=cause,
                difference=_exact(steps[place] if steps else None),
                value=_exact(values[place + 1]),
                events=by_cause[cause]["events"] if cause in by_cause else 0,
            )
            for place, cause in enumerate(causes)
        ],
        freshness=snapshot.freshness(),
        reporting_zone=snapshot.zone,
    )


def differences(values: Sequence[Decimal | None]) -> list[Decimal]:
    """From each value to the next; none where the first or the last is missing.

    A step to nothing is 0, and the step from nothing begins at what there was before: so they sum to the last
    minus the first.
    """
    if values[0] is None or values[-1] is None:
        return []
    steps, last = [], values[0]
    for value in values[1:]:
        step = Decimal(0) if value is None else _minus(value, last)
        assert step is not None, "neither is missing"
        steps.append(step)
        last = last if value is None else value
    return steps


def _minus(value: Decimal | None, other: Decimal | None) -> Decimal | None:
    if value is None or other is None:
        return None
    with localcontext(prec=DIGITS_MAX):
        return value - other


def _exact(value: Decimal | None) -> str:
    if value is None:
        return ""
    with localcontext(prec=DIGITS_MAX):
        return f"{value.normalize():f}" if value else "0"


def _state(position: Position, score: str, value: Decimal | None, sums: Sums) -> pb.BridgeState:
    counts = {
        name: int(each)
        for name, each in sums.items()
        if formulas.SUMS[name.removeprefix("parent_")].type == "bigint"
    }
    return pb.BridgeState(
        position=position,
        score=score,
        value=_exact(value),
        counts=counts,
        sums={name: exact(each) for name, each in sums.items() if name not in counts},
    )


def _change(row: asyncpg.Record, bridge: Bridge) -> pb.BridgeChange:
    return pb.BridgeChange(
        cause=row["cause"],
        source=row["source"],
        event_id=row["event_id"],
        position=row["event_position"],
        sums={name: _exact(row[name]) for name in bridge.columns if row[name]},
    )
