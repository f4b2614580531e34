"""Which failures are not put to an end yet, and which of them are overdue.

One case for each failure that is open at the horizon, and for each open recovery case that was opened
without one, such as for a low score. Where a failure has a recovery case, the case says whether it is open
(until it is closed, and again once it is reopened); else a failure is open until the event that closes its
recovery, found as in recovery. It is overdue where it was not put right (no remedy since it was opened or
reopened) within the time that the touchpoint's standard allows, as the catalogue has it, or 72 hours
where it says nothing; the case of a low score counts from the score on. GetFigureEvents lists the open
ones.
"""

from services.scoring.experience.figure import Figure
from services.scoring.metric import Column

# 72 hours, where the catalogue says nothing: a failure of a Friday is seen to on Monday.
RESOLVE_SECONDS = 259_200

open_recovery = Figure(
    name="open_recovery",
    version=1,
    question="At each touchpoint, which failures are not put to an end, and since when?",
    keys={"touchpoint": Column("text", "Where the company failed, or where the score was low.")},
    columns={
        "open": Column("bigint", "Failures and cases that are open (count)."),
        "remedied": Column("bigint", "Those where something was put right already (count)."),
        "overdue": Column(
            "bigint", "Those where nothing was put right within the time allowed (count)."
        ),
        "oldest_at": Column(
            "timestamptz", "When the oldest open one occurred; NULL where none is open."
        ),
        "allowed_hours": Column(
            "numeric",
            "Hours until it must be put right, by the catalogue; 72 where it says nothing.",
        ),
    },
    evidence=f"""
SELECT item.touchpoint, item.since, item.remedied,
       NOT item.remedied AND item.since
         + make_interval(secs => coalesce(t.resolve_seconds_max, {RESOLVE_SECONDS})::double precision)
         < m.horizon AS overdue,
       item.positions AS events
  FROM open_recovery_item AS item
 CROSS JOIN moments m
  LEFT JOIN known_declaration t ON t.touchpoint = item.touchpoint AND t.declared_until IS NULL
""",  # noqa: S608  # a literal of this module
    sql=f"""
WITH failed AS (
  SELECT touchpoint FROM recovery_episode UNION SELECT touchpoint FROM known_case
)
SELECT f.touchpoint, count(i.events) AS open, count(*) FILTER (WHERE i.remedied) AS remedied,
       count(*) FILTER (WHERE i.overdue) AS overdue, min(i.since) AS oldest_at,
       (SELECT coalesce(max(resolve_seconds_max), {RESOLVE_SECONDS}) FROM known_declaration t
         WHERE t.touchpoint = f.touchpoint AND t.declared_until IS NULL) / 3600 AS allowed_hours
  FROM failed f
  LEFT JOIN evidence i USING (touchpoint)
 GROUP BY f.touchpoint
""",  # noqa: S608
)
