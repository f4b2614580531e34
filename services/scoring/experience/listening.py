"""Active and empathic listening: was it understood what was meant, and acknowledged what was felt?

Answers of the dimensions "understood" and "acknowledged" (CSAT or ratings on any scale, rescaled to points of
0 to 100, 100 is good), by the team of whoever served and by who judged: customers in feedback, others in
assessments, who are never mixed. Of several answers about one dimension in one event the first counts. The
gap is understood minus acknowledged, over the events that judge both: above 0, a team grasps what is said and
passes over what is felt (active empathetic listening: Drollinger, Comer and Warrington 2006).

A team is that of the member of staff in the interaction that was judged, at that time; where none is known,
that of the member whom the event names. What is of no known team is in no row.
"""

from services.scoring.experience.figure import Figure, K, kept_back
from services.scoring.metric import Column
from services.scoring.metrics.csat_rescaled import RESCALED

T = "t interval, 95 % (Student 1908)"


def _summed(name: str, low: int, high: int) -> str:
    """The answers of a kind: how many, their mean with its bounds, and whether they are of too few."""
    given = f"FILTER (WHERE {name} IS NOT NULL)"
    sums = f"sum({name}), sum({name} * {name}), count({name})"
    # Customers have a door of their own only where they are those who judge.
    return f"""
               count({name}) AS n_{name}, avg({name}) AS mean_{name},
               mean_bound({sums}, -1, {low}) AS lo_{name}, mean_bound({sums}, 1, {high}) AS hi_{name},
               count({name}) > 0
               AND (count(DISTINCT (source, staff)) {given} < {K}
                    OR assessor = 'customer' AND count(DISTINCT person) {given} < {K}) AS few_{name}"""


def _told(name: str, column: str) -> str:
    return ", ".join(
        kept_back(f"{column}{end}", f"{sum_}_{name}", few=f"few_{name}")
        for sum_, end in (("mean", ""), ("lo", "_lo"), ("hi", "_hi"))
    )


listening = Figure(
    name="listening",
    version=1,
    question="Do teams understand what customers mean, and acknowledge what they feel?",
    keys={
        "staff_group": Column("text", "The team that served."),
        "assessor": Column("text", "Who judged: customer, or the word of the assessment."),
    },
    columns={
        "too_few": Column(
            "boolean",
            f"Answers of a kind are of fewer than {K} members of staff, or customers who judged: their points"
            " are kept back.",
        ),
        "understood_answers": Column(
            "bigint", "Answers to whether it was understood what was meant."
        ),
        "understood_points": Column(
            "double precision", "Their mean, 0 to 100 points: active listening."
        ),
        "understood_points_lo": Column("double precision", f"Lower bound of it: {T}."),
        "understood_points_hi": Column("double precision", f"Upper bound of it: {T}."),
        "acknowledged_answers": Column(
            "bigint", "Answers to whether it was acknowledged what was felt."
        ),
        "acknowledged_points": Column(
            "double precision", "Their mean, 0 to 100 points: empathic listening."
        ),
        "acknowledged_points_lo": Column("double precision", f"Lower bound of it: {T}."),
        "acknowledged_points_hi": Column("double precision", f"Upper bound of it: {T}."),
        "pairs": Column("bigint", "Feedback or assessments with an answer to both."),
        "empathy_gap": Column(
            "double precision",
            "Mean of understood minus acknowledged of these, -100 to 100 points; above 0, feelings"
            " are passed over.",
        ),
        "empathy_gap_lo": Column("double precision", f"Lower bound of empathy_gap: {T}."),
        "empathy_gap_hi": Column("double precision", f"Upper bound of empathy_gap: {T}."),
    },
    evidence=f"""
WITH judged AS (
  SELECT event_position, signal_index, dimension, 'customer' AS assessor, person, {RESCALED} AS points
    FROM known_feedback
   WHERE dimension IN ('understood', 'acknowledged') AND metric IN ('csat', 'rating')
  UNION ALL
  SELECT event_position, signal_index, dimension, assessor, person, {RESCALED}
    FROM known_assessment
   WHERE dimension IN ('understood', 'acknowledged') AND metric IN ('csat', 'rating')
     -- What customers say is feedback; by that name it would be mixed with it.
     AND assessor <> 'customer'
), both_of AS (
  SELECT event_position, assessor, person,
         (array_agg(points ORDER BY signal_index) FILTER (WHERE dimension = 'understood'))[1] AS understood,
         (array_agg(points ORDER BY signal_index) FILTER (WHERE dimension = 'acknowledged'))[1]
           AS acknowledged
    FROM judged
   GROUP BY event_position, assessor, person
)
SELECT s.staff_group, j.assessor, s.source, s.staff, j.person, j.understood, j.acknowledged,
       j.understood - j.acknowledged AS gap,
       array_remove(ARRAY[j.event_position, s.interaction_position, s.profile_position], NULL) AS events
  FROM both_of j
  JOIN served_by s ON s.event_position = j.event_position
 WHERE s.staff_group <> 'unspecified'
""",  # noqa: S608  # literals of this package
    sql=f"""
SELECT staff_group, assessor, few_understood OR few_acknowledged OR few_gap AS too_few,
       n_understood AS understood_answers, {_told("understood", "understood_points")},
       n_acknowledged AS acknowledged_answers, {_told("acknowledged", "acknowledged_points")},
       n_gap AS pairs, {_told("gap", "empathy_gap")}
  FROM (SELECT staff_group, assessor, {_summed("understood", 0, 100)},
               {_summed("acknowledged", 0, 100)}, {_summed("gap", -100, 100)}
          FROM evidence
         GROUP BY staff_group, assessor) AS summed
""",  # noqa: S608  # literals of this module
)
