"""The counts that rules judge, read as changes between positions of the journal.

Facts say from which position to which they were known, so the counts as known at each of many moments come
from one pass over those that have changed since the first; what was known then is the rollup without them.
All text of the statements is of this module and of the metrics.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from zoneinfo import ZoneInfo

from services.chassis.errors import Exhausted, Malformed, Unavailable
from services.chassis.postgres import Pool
from services.scoring.alerts import overdue, unasked
from services.scoring.alerts.judgement import Delta, Moment
from services.scoring.alerts.rule import COUNTS, FILTERS, GROUPS, Rule
from services.scoring.score_query import like
from touchledger.v1 import alerts_pb2 as pb

# Changes of the count of one period of a group by one moment. A million are 200 MB.
CELLS_MAX = 1_000_000
# A back-test, and a rule dated by request, read all facts of the tenant: some seconds for each million.
SCAN_SECONDS_MAX = 300.0
# Whoever asks waits for the answer no longer than this.
ASKED_SCAN_SECONDS_MAX = 25.0
# Each reads all facts of its tenant, and judges for seconds.
ASKED_MAX = 2

CHECKPOINT = """
SELECT journal_id, position, recorded_at FROM freshness WHERE projection = 'scoreboard'
"""
ZONE = "SELECT reporting_zone FROM tenant WHERE tenant = $1"
FIRST_RECORDED = "SELECT recorded_at FROM event ORDER BY recorded_at, position LIMIT 1"
RECORDED_BY = """
SELECT coalesce((SELECT position FROM event WHERE recorded_at <= moment.at
                  ORDER BY recorded_at DESC, position DESC LIMIT 1), 0) AS position
  FROM unnest($1::timestamptz[]) WITH ORDINALITY AS moment (at, nth)
 ORDER BY nth
"""
# `begins` is from where on the fact counts, `day` where.
BY_OCCURRED = (
    "SELECT *, from_position AS begins, reporting_date AS day FROM {table} WHERE tenant = $1"
)
# The day of a request is that of its event, which never changes. It must be known, too.
BY_REQUEST = """
SELECT f.*, greatest(f.from_position, e.position) AS begins,
       (e.occurred_at AT TIME ZONE t.reporting_zone)::date AS day
  FROM {table} f
  JOIN tenant t ON t.tenant = f.tenant
  JOIN event e ON e.tenant = f.tenant AND e.source = f.source AND e.event_id = f.request_id
 WHERE f.tenant = $1 AND e.topic = 'touchledger.feedback_requested.v1'
"""
# $1 tenant, $2 positions in order, $3 first day, $4 LIKE pattern of the touchpoint, $5 values of the filters
# ('' for any), $6 rows at most, $7 changes after this position. A change counts from the first of the
# positions that is not before it; width_bucket says how many are. Materialized, `dated` would be all facts.
CHANGES = """
WITH dated AS NOT MATERIALIZED ({dated}
), changes AS (
  SELECT {group} AS grp, {period} AS period, width_bucket(begins - 1, $2::bigint[]) AS nth,
         {part} AS part, {whole} AS whole
    FROM dated
   WHERE begins > $7 AND (to_position IS NULL OR to_position > begins) AND {wanted}
   GROUP BY 1, 2, 3
  UNION ALL
  SELECT {group}, {period}, width_bucket(to_position - 1, $2::bigint[]), -({part}), -({whole})
    FROM dated
   WHERE to_position > $7 AND to_position > begins AND {wanted}
   GROUP BY 1, 2, 3
), told AS (
  SELECT nth, grp, period, part, whole FROM changes WHERE nth < cardinality($2::bigint[]){before}
)
SELECT nth, grp, period, sum(part)::bigint AS part, sum(whole)::bigint AS whole
  FROM told
 GROUP BY 1, 2, 3
HAVING sum(part) <> 0 OR sum(whole) <> 0
 ORDER BY 1, 3, 2
 LIMIT $6
"""
# What was known at the first of the positions is what is known now without what has changed since. The rollup
# is a hundredth of the facts, and live judgement is never long after its last moment.
SINCE_ROLLUP = """
  UNION ALL
  SELECT 0, grp, period, -part, -whole FROM changes
  UNION ALL
  SELECT 0, {group}, {period}, sum({part}), sum({whole})
    FROM (SELECT *, reporting_date AS day FROM {rollup} WHERE tenant = $1) AS r
   WHERE {wanted}
   GROUP BY 2, 3
"""
# What rollup_touchpoint_day does not tell apart.
FINE = ("service_mode", "store", "source")
PERIODS = {
    1: "day",
    # Monday; arithmetic of days alone, whatever the zone of the session.
    7: "day - (extract(isodow FROM day)::integer - 1)",
}


@dataclass(frozen=True, slots=True)
class Known:
    """How far the projection is."""

    journal_id: str
    position: int
    # None while nothing is recorded.
    recorded_at: datetime | None


class Points:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._asked = 0

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Around what somebody waits for. Raises Exhausted, and Unavailable where it takes too long."""
        if self._asked >= ASKED_MAX:
            raise Exhausted("fewer rules tested or put at once", got=f"{self._asked} under way")
        self._asked += 1
        try:
            yield
        except TimeoutError:
            raise Unavailable("a rule over fewer facts, or less load") from None
        finally:
            self._asked -= 1

    async def known(self) -> Known:
        row = await self._pool.fetchrow(CHECKPOINT)
        assert row is not None, "model/bi.sql inserts the row"
        return Known(row["journal_id"], row["position"], row["recorded_at"])

    async def zone(self, tenant: str) -> ZoneInfo:
        return ZoneInfo(await self._pool.fetchval(ZONE, tenant) or "UTC")

    async def first_recorded(self) -> datetime | None:
        """When the journal's first event was recorded."""
        moment: datetime | None = await self._pool.fetchval(FIRST_RECORDED)
        return moment

    async def moments(self, moments: list[datetime]) -> list[Moment]:
        """With the last position recorded by each."""
        rows = await self._pool.fetch(RECORDED_BY, moments)
        return [Moment(at, row["position"]) for at, row in zip(moments, rows, strict=True)]

    async def deltas(
        self, tenant: str, rule: Rule, moments: list[Moment], *, seconds: float
    ) -> list[list[Delta]]:
        """For each moment, what has changed since the one before; for the first, since the beginning."""
        for field in ("part", "whole"):
            # Of a later release, before a way back.
            if (count := getattr(rule.message, field)) not in COUNTS:
                raise Malformed(
                    "a count that this release knows", field=f"rule.{field}", got=repr(count)
                )
        if COUNTS[rule.message.part][0] == overdue.FACTS:
            dated: str | None = overdue.DATED.format(seconds=int(rule.grace.total_seconds()))
        elif COUNTS[rule.message.part][0] == unasked.FACTS:
            dated = unasked.DATED.format(days=rule.grace.days)
        elif rule.message.dated_by == pb.ALERT_DATED_BY_REQUEST:
            dated = BY_REQUEST
        else:
            dated = None
        group = GROUPS[rule.message.group_by]
        only = [getattr(rule.message, name) for name in FILTERS]
        fine = group in FINE or any(
            value for name, value in zip(FILTERS, only, strict=True) if name in FINE
        )
        rows = await self._pool.fetch(
            _statement(
                *(rule.message.part, rule.message.whole, group, rule.period_days),
                dated=dated,
                fine=fine,
            ),
            tenant,
            [moment.position for moment in moments],
            rule.reads_from,
            like(rule.message.touchpoint_glob),
            only,
            CELLS_MAX + 1,
            0 if dated else moments[0].position,
            timeout=seconds,
        )
        if len(rows) > CELLS_MAX:
            raise Malformed(
                f"at most {CELLS_MAX} changes of a group's period: narrow it",
                field="rule",
                got="more",
            )
        changes: list[list[Delta]] = [[] for _ in moments]
        for nth, found in groupby(rows, key=itemgetter("nth")):
            changes[nth] = [
                Delta(row["grp"], row["period"], row["part"], row["whole"]) for row in found
            ]
        return changes


@lru_cache(maxsize=256)
def _statement(
    part: str, whole: str, group: str, period_days: int, *, dated: str | None, fine: bool
) -> str:
    """dated: other rows than facts by their own day, which no rollup has.

    fine: groups or filters are needed that only the facts and rollup_day have.
    """
    table, part_sql = COUNTS[part]
    wanted = "day >= $3 AND touchpoint LIKE $4" + "".join(
        f" AND (($5::text[])[{nth}] = '' OR {name} = ($5::text[])[{nth}])"
        for nth, name in enumerate(FILTERS, start=1)
        if fine or dated or name not in FINE
    )
    shared = {
        "group": "'all'::text" if group == "all" else group,
        "period": PERIODS[period_days],
        "wanted": wanted,
    }
    before = SINCE_ROLLUP.format(
        **shared,
        part=part,
        whole=whole,
        rollup="rollup_day" if fine else "rollup_touchpoint_day",
    )
    return CHANGES.format(
        **shared,
        dated=(dated or BY_OCCURRED).format(table=table),
        part=part_sql,
        whole=COUNTS[whole][1],
        before="" if dated else before,
    )
