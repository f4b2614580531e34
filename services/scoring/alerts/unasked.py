"""Touchpoints that stop asking their customers, as counts that rules can watch.

Silence is a fact of the calendar: whether anybody asked in the N days that follow a day, N being the rule's
grace. It can begin on each day on which the touchpoint asked somebody, and on the first day on which it met a
customer, heard one or decided not to ask, so that one which never asks is told of, too. Those days are
asking_due. Those of them after which nobody was asked for N days are asking_lapsed: one for each silence,
told once, when the N days are over. A request that occurred in the N days and is recorded later takes the
alarm back, and a touchpoint that is retired by their end owes nothing. Where clocks are put back meanwhile,
they end an hour early.
"""

# In the place of a fact table.
FACTS = "asking"
COUNTS = {
    "asking_due": (FACTS, "sum(due)"),
    "asking_lapsed": (FACTS, "sum(lapsed)"),
}


def _positions(standing: str, taken_back: str) -> str:
    """At which positions of the journal something is known: of facts that stand, and of those taken back."""
    return f"""(CASE WHEN {standing} IS NULL THEN int8multirange()
                ELSE int8multirange(int8range({standing}, NULL)) END
           + coalesce({taken_back}, int8multirange()))"""


# As points.BY_OCCURRED has facts: `begins` is from where on a row counts. Of each day of a touchpoint, at
# which positions it is known that somebody was asked, or met; so what was known at any position comes of
# adding and taking away such sets. Of facts that stand, the least position says all; to add up the sets of
# a million of them, day by day, takes three times as long.
DATED = f"""
WITH of_day AS (
  SELECT touchpoint, day - date '1970-01-01' AS nth, day,
         min(from_position) FILTER (WHERE asked AND to_position IS NULL) AS asked_from,
         range_agg(int8range(from_position, to_position)) FILTER (WHERE asked AND to_position IS NOT NULL)
           AS asked_back,
         min(from_position) FILTER (WHERE met AND to_position IS NULL) AS met_from,
         range_agg(int8range(from_position, to_position)) FILTER (WHERE met AND to_position IS NOT NULL)
           AS met_back,
         min(from_position) FILTER (WHERE NOT met) AS retired_from
    FROM (SELECT touchpoint, reporting_date AS day, from_position, to_position, true AS met,
                 decision = 'requested' AS asked
            FROM fact_feedback_request WHERE tenant = $1
          UNION ALL
          SELECT touchpoint, reporting_date, from_position, to_position, true, false
            FROM fact_interaction WHERE tenant = $1
          UNION ALL
          SELECT touchpoint, reporting_date, from_position, to_position, true, false
            FROM fact_feedback WHERE tenant = $1 AND signal_index = 0
          UNION ALL
          SELECT d.touchpoint, (d.declared_at AT TIME ZONE t.reporting_zone)::date, d.from_position, NULL,
                 false, false
            FROM touchpoint_declaration d JOIN tenant t USING (tenant)
           WHERE d.tenant = $1 AND d.retired) AS told
   GROUP BY touchpoint, day
), around AS (
  SELECT *, min(met_from) OVER earlier AS earlier_from, range_agg(met_back) OVER earlier AS earlier_back,
         min(asked_from) OVER later AS later_from, range_agg(asked_back) OVER later AS later_back,
         min(retired_from) OVER (
           PARTITION BY touchpoint ORDER BY nth RANGE BETWEEN CURRENT ROW AND {{days}} FOLLOWING)
           AS ended_from
    FROM of_day
  WINDOW earlier AS (
           PARTITION BY touchpoint ORDER BY nth ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
         later AS (PARTITION BY touchpoint ORDER BY nth RANGE BETWEEN 1 FOLLOWING AND {{days}} FOLLOWING)
), silence AS (
  SELECT touchpoint, day,
         {_positions("asked_from", "asked_back")}
         + ({_positions("met_from", "met_back")} - {_positions("earlier_from", "earlier_back")}) AS due,
         {_positions("later_from", "later_back")} + {_positions("ended_from", "NULL")} AS ended
    FROM around
)
SELECT touchpoint, '' AS stage, '' AS channel, '' AS service_mode, '' AS store, '' AS source, day,
       lower(span) AS begins, upper(span) AS to_position, due, lapsed
  FROM (SELECT touchpoint, day, unnest(due) AS span, 1 AS due, 0 AS lapsed FROM silence
        UNION ALL
        SELECT touchpoint, day, unnest(due - ended), 0, 1 FROM silence) AS counted
"""  # noqa: S608  # literals of this module
