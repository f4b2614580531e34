"""What is known at a position, of one tenant, of the time before a moment: what figures read, by its name.

Each text may read those before it. {tenant}, {position} and {occurred_before} stand for SQL expressions.
"""

from services.scoring.attributes import CUSTOMERS, SEGMENTS, STAFF, known_at
from services.scoring.derived import moments
from services.scoring.facts import TABLES
from services.scoring.identity import IDENTITY
from services.scoring.metrics.csat_rescaled import RESCALED, SATISFIED

AT = known_at("{position}")
# Profiles say what is so from their occurred_at on, whatever moment is asked for.
OF_TENANT = "f.tenant = {tenant}"

# Of a fact, everything, and who the person is that its customer belongs to.
FACT = f"""
SELECT f.*, coalesce(p.person, f.customer) AS person
  FROM {{table}} f
 CROSS JOIN moments m
  LEFT JOIN person p ON p.customer = f.customer
 WHERE f.tenant = {{{{tenant}}}} AND {AT.replace("{position}", "{{position}}")}
   AND f.occurred_at < m.occurred_before
"""  # noqa: S608

# The interaction that feedback is about: the one that it names, or else the person's last one at the
# touchpoint before it, on the journey of the same correlation id where both have one.
ABOUT = """
SELECT f.event_position AS feedback_position, i.event_position AS interaction_position
  FROM known_feedback f
  JOIN event e ON e.tenant = {tenant} AND e.source = coalesce(f.about_source, f.source)
              AND e.event_id = f.about_event_id
  JOIN known_interaction i ON i.event_position = e.position
 WHERE f.signal_index = 0
UNION ALL
(SELECT DISTINCT ON (f.event_position) f.event_position, i.event_position
   FROM known_feedback f
   JOIN known_interaction i ON i.person = f.person AND i.touchpoint = f.touchpoint
                           AND i.occurred_at <= f.occurred_at
                           AND (i.correlation_id = f.correlation_id
                                OR i.correlation_id IS NULL OR f.correlation_id IS NULL)
  WHERE f.signal_index = 0 AND f.about_event_id IS NULL
  ORDER BY f.event_position, i.occurred_at DESC, i.event_position DESC)
"""

# Each fact that names a member of staff, and where that member worked at the time.
STAFF_AT = "UNION ALL".join(
    f"""
SELECT '{kind}' AS kind, f.event_position, f.source, f.staff,
       coalesce(s.staff_group, 'unspecified') AS staff_group, coalesce(s.cohort, 'unspecified') AS cohort,
       coalesce(s.job_design, 'unspecified') AS job_design, s.event_position AS profile_position
  FROM known_{kind} f
  LEFT JOIN known_staff s ON s.source = f.source AND s.staff = f.staff AND s.valid_from <= f.occurred_at
                         AND (s.valid_to IS NULL OR s.valid_to > f.occurred_at)
 WHERE f.staff IS NOT NULL{" AND f.signal_index = 0" if kind in ("feedback", "assessment") else ""}
"""  # noqa: S608
    for kind in ("interaction", "feedback", "assessment", "recognition", "front_line", "insight")
)
# Answers may come weeks later, when whoever served works elsewhere. So feedback, or an assessment, belongs to
# the member of staff of the interaction that it is about, at that time; where none is known, to its own.
SERVED_BY = """
SELECT j.kind, j.event_position, j.interaction_position, s.source, s.staff, s.staff_group, s.cohort,
       s.job_design, s.profile_position
  FROM (SELECT 'feedback' AS kind, f.event_position, i.event_position AS interaction_position,
               CASE WHEN i.staff IS NULL THEN f.event_position ELSE i.event_position END AS served
          FROM known_feedback f
          LEFT JOIN about a ON a.feedback_position = f.event_position
          LEFT JOIN known_interaction i ON i.event_position = a.interaction_position
         WHERE f.signal_index = 0
        UNION ALL
        SELECT 'assessment', f.event_position, i.event_position,
               CASE WHEN i.staff IS NULL THEN f.event_position ELSE i.event_position END
          FROM known_assessment f
          LEFT JOIN event e ON e.tenant = {tenant} AND e.source = coalesce(f.about_source, f.source)
                           AND e.event_id = f.about_event_id
          LEFT JOIN known_interaction i ON i.event_position = e.position
         WHERE f.signal_index = 0) AS j
  JOIN staff_at s ON s.event_position = j.served
"""
# Answers about the whole, as csat/2 reads them; the bottom two boxes of 1 to 5 are 25 points and less on any
# scale, multiplied out, so that no rounding decides.
CSAT_ANSWER = f"""
SELECT f.*, {RESCALED} AS points,
       4 * CASE WHEN higher_is_better THEN value - scale_min ELSE scale_max - value END
           <= scale_max - scale_min AS bottom2
  FROM known_feedback f
 WHERE metric = 'csat' AND dimension IS NULL
"""  # noqa: S608
# What a customer said last of an interaction is what counts of it.
RATED_SERVICE = f"""
SELECT DISTINCT ON (coalesce(b.interaction_position, b.event_position))
       b.event_position AS feedback_position, b.interaction_position,
       coalesce(i.occurred_at, f.occurred_at) AS served_at, b.source, b.staff, b.staff_group,
       b.profile_position, coalesce(f.person, i.person) AS person, f.points, {SATISFIED} AS satisfied
  FROM served_by b
  JOIN csat_answer f ON f.event_position = b.event_position
  LEFT JOIN known_interaction i ON i.event_position = b.interaction_position
 WHERE b.kind = 'feedback'
 ORDER BY coalesce(b.interaction_position, b.event_position),
          f.occurred_at DESC, f.event_position DESC, f.signal_index DESC
"""  # noqa: S608

# What is known of customers, by person. The last band of years that was said of any of a person's references.
BIRTH_BAND = f"""
SELECT DISTINCT ON (coalesce(p.person, f.customer))
       coalesce(p.person, f.customer) AS person, f.birth_year_from, f.birth_year_to, f.event_position
  FROM fact_customer_profile f
  LEFT JOIN person p ON p.customer = f.customer
 WHERE {OF_TENANT} AND {AT} AND f.customer IS NOT NULL AND f.birth_year_from IS NOT NULL
   AND f.segment_index = 0
 ORDER BY coalesce(p.person, f.customer), f.occurred_at DESC, f.event_position DESC
"""  # noqa: S608
# By the rule that was valid then: boundaries have a date, too.
PERSON_GENERATION = """
SELECT b.person, r.valid_from, r.valid_to, coalesce(g.generation, 'unspecified') AS generation,
       b.event_position
  FROM birth_band b
 CROSS JOIN (SELECT DISTINCT rule_version, valid_from, valid_to FROM dim_generation_rule) AS r
  LEFT JOIN dim_generation_rule g ON g.rule_version = r.rule_version
                                 AND b.birth_year_from >= g.birth_year_from
                                 AND b.birth_year_to <= g.birth_year_to
"""
PERSON_SEGMENT = f"""
SELECT person, segment, occurred_at AS valid_from,
       lead(occurred_at) OVER (PARTITION BY person, segment ORDER BY occurred_at) AS valid_to, value,
       event_position
  FROM (SELECT DISTINCT ON (coalesce(p.person, f.customer), f.segment, f.occurred_at)
               coalesce(p.person, f.customer) AS person, f.segment, f.occurred_at, f.value, f.event_position
          FROM fact_customer_profile f
          LEFT JOIN person p ON p.customer = f.customer
         WHERE {OF_TENANT} AND {AT} AND f.customer IS NOT NULL AND f.segment IS NOT NULL
         ORDER BY coalesce(p.person, f.customer), f.segment, f.occurred_at, f.event_position DESC) AS said
"""  # noqa: S608

# Touches of journeys. A journey is that of the correlation id, whatever services and persons took part in it,
# or else all that is known of the person. Who abandons a purchase, or fails in it, has not paid.
JOURNEY_TOUCH = """
SELECT i.*, coalesce(i.correlation_id, i.person) AS journey,
       i.stage = 'purchase' AND i.outcome NOT IN ('abandoned', 'failed') AS paid
  FROM known_interaction i
 WHERE coalesce(i.correlation_id, i.person) IS NOT NULL
"""
# How satisfied customers are with the whole, in points of 0 to 100 as in csat/2: whatever the scale is.
JOURNEY_ANSWER = f"""
SELECT f.*, coalesce(f.correlation_id, f.person) AS journey,
       {RESCALED} AS points, {SATISFIED} AS satisfied,
       4 * CASE WHEN higher_is_better THEN value - scale_min ELSE scale_max - value END
         <= scale_max - scale_min AS dissatisfied
  FROM known_feedback f
 WHERE metric IN ('csat', 'rating') AND dimension IS NULL
"""  # noqa: S608  # as above

# What the catalogue declared of touchpoints. The time of one ends where a later one's begins: a service whose
# clock is behind may decide later and seem to have done so earlier.
DECLARATION = """
SELECT d.*, min(d.declared_at) OVER (PARTITION BY d.touchpoint ORDER BY d.from_position
                                     ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS declared_until
  FROM touchpoint_declaration d CROSS JOIN moments m
 WHERE d.tenant = {tenant} AND d.from_position <= {position} AND d.declared_at < m.occurred_before
"""
STANDARD = """
SELECT s.*, d.declared_at, d.declared_until
  FROM known_declaration d
  JOIN standard_declaration s ON s.tenant = d.tenant AND s.touchpoint = d.touchpoint
                             AND s.position = d.standard_position
"""

# Every answer, and when the experience was that it is about. OFFSET: it comes before joins with expectations.
# Else the planner, who expects hardly any answers of them, looks up each one's on its own.
EXPERIENCED_ANSWER = f"""
SELECT f.*, {RESCALED} AS points, coalesce(i.occurred_at, f.occurred_at) AS experienced_at
  FROM known_feedback f
  LEFT JOIN about ON about.feedback_position = f.event_position
  LEFT JOIN known_interaction i ON i.event_position = about.interaction_position
OFFSET 0
"""  # noqa: S608

# Answers that an expectation of the same customer stands against, as derived/disconfirmation.py has it, and
# with the interaction that the answer says it is about. Of several expectations the last one counts that was
# stated before the experience.
ANSWERED_EXPECTATION = """
SELECT DISTINCT ON (a.event_position, a.signal_index)
       e.event_position AS expectation_position, a.event_position AS answer_position, a.occurred_at,
       a.touchpoint, e.basis, a.dimension, a.person, a.customer, a.points AS perceived_points,
       round(100 * CASE WHEN a.higher_is_better THEN a.value - e.value ELSE e.value - a.value END
                 / (a.scale_max - a.scale_min), 6) AS gap,
       CASE WHEN a.higher_is_better THEN a.value >= e.value ELSE a.value <= e.value END AS met,
       CASE WHEN a.higher_is_better THEN a.value > e.value ELSE a.value < e.value END AS exceeded
  FROM experienced_answer AS a
  -- OFFSET: who a person is comes before the join, too. Else the planner joins all with all.
  JOIN (SELECT * FROM known_expectation OFFSET 0) AS e
                           ON e.person = a.person AND e.touchpoint = a.touchpoint AND e.metric = a.metric
                          AND e.dimension IS NOT DISTINCT FROM a.dimension
                          AND e.scale_min = a.scale_min AND e.scale_max = a.scale_max
                          AND e.higher_is_better = a.higher_is_better
                          AND (e.correlation_id IS NULL OR e.correlation_id = a.correlation_id)
                          AND e.occurred_at < a.experienced_at
 ORDER BY a.event_position, a.signal_index, e.occurred_at DESC, e.event_position DESC
"""

# What a customer was told to expect by a moment, and what fulfilled it: the person's first interaction at the
# touchpoint from then on that served its purpose, remedy, or closing that was not refused, on the same
# journey where the expectation names one.
TIMED_EXPECTATION = """
SELECT DISTINCT ON (e.event_position)
       e.event_position AS expectation_position, e.occurred_at, e.touchpoint, e.basis, e.dimension,
       e.person, e.due, d.event_position AS done_position, d.occurred_at AS done_at,
       2 * extract(epoch FROM d.occurred_at - e.occurred_at)
         <= extract(epoch FROM e.due - e.occurred_at) AS early
  FROM (SELECT *, coalesce(due_at, occurred_at
                                   + make_interval(secs => within_seconds::double precision)) AS due
          FROM known_expectation
         WHERE person IS NOT NULL AND (due_at IS NOT NULL OR within_seconds IS NOT NULL)) AS e
  LEFT JOIN (SELECT person, touchpoint, correlation_id, occurred_at, event_position FROM known_interaction
              WHERE outcome NOT IN ('abandoned', 'transferred', 'failed', 'returned')
             UNION ALL
             SELECT person, touchpoint, correlation_id, occurred_at, event_position FROM known_recovery
              WHERE step = 'remedy' OR step = 'closed' AND result <> 'refused') AS d
         ON d.person = e.person AND d.touchpoint = e.touchpoint AND d.occurred_at >= e.occurred_at
        AND (e.correlation_id IS NULL OR d.correlation_id = e.correlation_id)
 ORDER BY e.event_position, d.occurred_at, d.event_position
"""

# Touchpoints of which there is anything to tell: where customers were met, asked (or not) or heard, and those
# that the catalogue defines.
KNOWN_TOUCHPOINT = """
SELECT touchpoint FROM known_interaction
UNION
SELECT touchpoint FROM known_feedback_request
UNION
SELECT touchpoint FROM known_feedback
UNION
SELECT touchpoint FROM known_declaration WHERE declared_until IS NULL AND NOT retired
"""

# What was paid, or went back (below 0), in the 365 days before the horizon.
PAID_IN_YEAR = """
SELECT i.event_position, i.occurred_at, i.person, i.amount, i.currency
  FROM known_interaction i CROSS JOIN moments m
 WHERE i.amount IS NOT NULL AND i.occurred_at < m.horizon
   AND i.occurred_at >= m.horizon - interval '8760 hours'
"""

# The last scenario of each name.
LAST_SCENARIO = """
SELECT DISTINCT ON (scenario) *
  FROM known_scenario ORDER BY scenario, occurred_at DESC, event_position DESC
"""

# Advice as a whole, with what was taken.
ADVICE_GIVEN = """
SELECT event_position, occurred_at, touchpoint, person, correlation_id, count(*) AS options,
       max(item) FILTER (WHERE chosen) AS chosen, max(option_index + 1) FILTER (WHERE chosen) AS chosen_rank
  FROM known_advice
 GROUP BY event_position, occurred_at, touchpoint, person, correlation_id
"""
# How customers fare with what they took: each follow-up is of the person's last advice before it that the
# item was taken from.
FOLLOWED_UP = """
SELECT DISTINCT ON (f.event_position)
       f.*, a.event_position AS advice_position, a.occurred_at AS advised_at
  FROM known_product_follow_up f
  LEFT JOIN advice_given a ON a.person = f.person AND a.chosen = f.item AND a.occurred_at <= f.occurred_at
 ORDER BY f.event_position, a.occurred_at DESC, a.event_position DESC
"""

# Which failure (or low score) a case is about: the event that it was opened for. People may open one and name
# none: then the last failure by that time of the same correlation id; of a case without one, the last in the
# 30 days (720 hours) before of the same person at the same touchpoint that has none either. So no failure
# counts twice.
CASE_FAILURE = """
SELECT o.case_id, e.position AS failure_position
  FROM case_decision o
  JOIN event e ON e.tenant = o.tenant AND e.source = o.failure_source
              AND e.event_id = o.failure_event_id AND e.position <= {position}
 WHERE o.tenant = {tenant} AND o.decision = 'opened' AND o.position <= {position}
UNION ALL
(SELECT DISTINCT ON (case_id) case_id, event_position
   FROM (SELECT o.case_id, f.event_position, f.occurred_at
           FROM case_decision o
           JOIN known_recovery f ON f.correlation_id = o.correlation_id
          WHERE o.tenant = {tenant} AND o.decision = 'opened' AND o.position <= {position}
            AND o.failure_event_id IS NULL AND f.step = 'failure' AND f.occurred_at <= o.decided_at
         UNION ALL
         SELECT o.case_id, f.event_position, f.occurred_at
           FROM case_decision o
           LEFT JOIN person p ON p.customer = o.customer
           JOIN known_recovery f ON f.touchpoint = o.touchpoint
                                AND f.person = coalesce(p.person, o.customer)
          WHERE o.tenant = {tenant} AND o.decision = 'opened' AND o.position <= {position}
            AND o.failure_event_id IS NULL AND f.step = 'failure' AND f.occurred_at <= o.decided_at
            AND o.correlation_id IS NULL AND f.correlation_id IS NULL
            AND f.occurred_at >= o.decided_at - interval '720 hours') AS meant
  ORDER BY case_id, occurred_at DESC, event_position DESC)
"""

# A failure and what followed it. A step belongs to the last failure before it of the same correlation id,
# whatever services and persons took part, or, where it has none, of the same person. What people decided
# about the failure's case is a step at the time of the decision; what an event asked for is that event. A
# closing that was reopened ended nothing.
RECOVERY_EPISODE = """
SELECT told.failure_position, told.failed_at, told.touchpoint, told.person, told.correlation_id,
       greatest(told.remedied_at, decided.remedied_at) AS remedied_at,
       greatest(told.gesture_at, decided.gesture_at) AS gesture_at,
       least(told.closed_at, decided.closed_at) AS closed_at,
       told.positions || coalesce(decided.positions, '{}') AS positions
  FROM (SELECT max(event_position) FILTER (WHERE step = 'failure') AS failure_position,
               max(occurred_at) FILTER (WHERE step = 'failure') AS failed_at,
               max(touchpoint) FILTER (WHERE step = 'failure') AS touchpoint,
               max(person) FILTER (WHERE step = 'failure') AS person,
               max(correlation_id) FILTER (WHERE step = 'failure') AS correlation_id,
               max(occurred_at) FILTER (WHERE step = 'remedy') AS remedied_at,
               max(occurred_at) FILTER (WHERE step = 'goodwill') AS gesture_at,
               min(occurred_at) FILTER (WHERE step = 'closed') AS closed_at,
               array_agg(event_position) AS positions
          FROM (SELECT step, event_position, occurred_at, touchpoint, person, correlation_id,
                       coalesce(correlation_id, person) AS episode,
                       CASE WHEN coalesce(correlation_id, person) IS NULL THEN event_position END
                         AS of_nobody,
                       count(*) FILTER (WHERE step = 'failure') OVER (
                         PARTITION BY coalesce(correlation_id, person),
                                      CASE WHEN coalesce(correlation_id, person) IS NULL
                                           THEN event_position END
                             ORDER BY occurred_at, event_position) AS failures
                  FROM known_recovery) AS step
         WHERE failures > 0
         GROUP BY episode, of_nobody, failures) AS told
  LEFT JOIN (SELECT c.failure_position,
                    max(d.decided_at) FILTER (WHERE d.decision = 'remedied') AS remedied_at,
                    max(d.decided_at) FILTER (WHERE d.decision = 'goodwill_given') AS gesture_at,
                    min(d.decided_at) FILTER (WHERE d.decision = 'closed') AS closed_at,
                    array_agg(d.position) AS positions
               FROM (SELECT d.*, max(position) FILTER (WHERE decision = 'reopened')
                                   OVER (PARTITION BY case_id) AS reopened_position
                       FROM case_decision d CROSS JOIN moments m
                      WHERE d.tenant = {tenant} AND d.position <= {position}
                        AND d.decided_at < m.occurred_before) AS d
               JOIN case_failure c ON c.case_id = d.case_id
              WHERE NOT d.of_event
                AND (d.decision IN ('remedied', 'goodwill_given')
                     OR d.decision = 'closed' AND (d.position < d.reopened_position) IS NOT TRUE)
              GROUP BY c.failure_position) AS decided USING (failure_position)
"""

# A recovery case, as it stands since it was opened or last reopened. Its times are those of its decisions.
CASE = """
SELECT o.tenant, o.case_id, o.touchpoint, o.customer, coalesce(p.person, o.customer) AS person,
       o.correlation_id, o.severity, f.failure_position, o.decided_at AS opened_at,
       s.acknowledged_at, s.remedied_at, s.closed_at, s.result, s.positions,
       CASE WHEN s.closed_at IS NOT NULL THEN 'closed' WHEN s.remedied_at IS NOT NULL THEN 'remedied'
            WHEN s.acknowledged_at IS NOT NULL THEN 'acknowledged' ELSE 'open' END AS status
  FROM (SELECT case_id, array_agg(position) AS positions,
               max(decided_at) FILTER (WHERE decision = 'acknowledged' AND position > since)
                 AS acknowledged_at,
               -- What was retracted was a remedy since then, too: others are refused.
               CASE WHEN count(*) FILTER (WHERE decision = 'remedied' AND position > since)
                         > count(*) FILTER (WHERE decision = 'remedy_retracted' AND position > since)
                    THEN max(decided_at) FILTER (WHERE decision = 'remedied' AND position > since)
               END AS remedied_at,
               max(decided_at) FILTER (WHERE decision = 'closed' AND position > since)
                 AS closed_at,
               max(result) FILTER (WHERE decision = 'closed' AND position > since) AS result
          FROM (SELECT d.*, max(position) FILTER (WHERE decision IN ('opened', 'reopened'))
                              OVER (PARTITION BY case_id) AS since
                  FROM case_decision d CROSS JOIN moments m
                 WHERE d.tenant = {tenant} AND d.position <= {position}
                   AND d.decided_at < m.occurred_before) AS decided
         GROUP BY case_id) AS s
  JOIN case_decision o ON o.tenant = {tenant} AND o.case_id = s.case_id AND o.decision = 'opened'
  LEFT JOIN case_failure f ON f.case_id = s.case_id
  LEFT JOIN person p ON p.customer = o.customer
"""

# What is not put to an end yet: a failure, or a case that was opened without one, such as for a low score.
# Where a failure has a case, the case says whether it is open; else it is until the event that closes it.
OPEN_RECOVERY = """
SELECT e.touchpoint, e.person, e.failed_at AS since,
       coalesce(c.remedied, e.remedied_at IS NOT NULL) AS remedied, e.positions || c.positions AS positions
  FROM recovery_episode e
  LEFT JOIN (SELECT failure_position, bool_or(status <> 'closed') AS is_open,
                    bool_and(remedied_at IS NOT NULL) FILTER (WHERE status <> 'closed') AS remedied,
                    array_agg(position) AS positions
               FROM known_case CROSS JOIN unnest(positions) AS position
              WHERE failure_position IS NOT NULL
              GROUP BY failure_position) AS c USING (failure_position)
 WHERE coalesce(c.is_open, e.closed_at IS NULL)
UNION ALL
SELECT c.touchpoint, c.person, coalesce(s.occurred_at, c.opened_at), c.remedied_at IS NOT NULL,
       array_remove(c.failure_position || c.positions, NULL)
  FROM known_case c
  LEFT JOIN known_feedback s ON s.event_position = c.failure_position AND s.signal_index = 0
 WHERE c.status <> 'closed'
   AND NOT EXISTS (SELECT FROM recovery_episode e WHERE e.failure_position = c.failure_position)
"""

# known_interaction, known_feedback and so on: of each fact table.
OF_FACTS = {table.replace("fact_", "known_"): FACT.format(table=table) for table in TABLES}

KNOWN: dict[str, str] = {
    # One row: occurred_before, and the horizon, before which all that happened is taken to be known.
    "moments": moments("{occurred_before}").replace("$1", "{tenant}").replace("$2", "{position}"),
    # Among them person: customer, person; of customers that belong together with others, alone.
    **IDENTITY,
    **OF_FACTS,
    # feedback_position, interaction_position.
    "about": ABOUT,
    # case_id, failure_position: of cases that are about an event.
    "case_failure": CASE_FAILURE,
    # One row for each failure: failure_position, failed_at, touchpoint, person, correlation_id; remedied_at
    # and gesture_at (the last of each), closed_at (the first); positions of all of them, decisions too.
    "recovery_episode": RECOVERY_EPISODE,
    # case_id, touchpoint, customer, person, correlation_id, severity, failure_position, opened_at,
    # acknowledged_at, remedied_at, closed_at, result, status (open, acknowledged, remedied or closed), and
    # the positions of its decisions.
    "known_case": CASE,
    # touchpoint, person, since, remedied, and the positions of the failure (or score), of what followed it
    # and of decisions.
    "open_recovery_item": OPEN_RECOVERY,
    # touchpoint_declaration, with declared_until: NULL for the last of a touchpoint.
    "known_declaration": DECLARATION,
    # standard_declaration, with declared_at and declared_until: join on the time of an experience.
    "known_standard": STANDARD,
    # known_feedback, with points and experienced_at.
    "experienced_answer": EXPERIENCED_ANSWER,
    # expectation_position, answer_position, gap, perceived_points, met, exceeded: of every dimension; the
    # whole is dimension NULL.
    "answered_expectation": ANSWERED_EXPECTATION,
    # expectation_position, due; done_position, done_at, early (in half of the time or less): NULL while
    # nothing fulfils it.
    "timed_expectation": TIMED_EXPECTATION,
    "known_touchpoint": KNOWN_TOUCHPOINT,
    "paid_in_year": PAID_IN_YEAR,
    "last_scenario": LAST_SCENARIO,
    # As known_interaction, with journey and paid; without those of nobody and no correlation id.
    "journey_touch": JOURNEY_TOUCH,
    # known_feedback of metric csat and rating, with journey, points (0 to 100), satisfied (75 or more) and
    # dissatisfied (25 or less).
    "journey_answer": JOURNEY_ANSWER,
    # known_feedback with points, 0 to 100, and bottom2: answers of satisfaction with the whole.
    "csat_answer": CSAT_ANSWER,
    # event_position, occurred_at, touchpoint, person, correlation_id, options, and what was chosen of these:
    # the item and its place, 1 is the first.
    "advice_given": ADVICE_GIVEN,
    # As known_product_follow_up, with advice_position and advised_at; NULL where the item was in no advice.
    "followed_up": FOLLOWED_UP,
    # person, birth_year_from, birth_year_to, event_position.
    "birth_band": BIRTH_BAND,
    # person, valid_from, valid_to, generation, event_position: join on the time of a fact.
    "person_generation": PERSON_GENERATION,
    # person, segment, valid_from, valid_to, value, event_position: join on the time of a fact.
    "person_segment": PERSON_SEGMENT,
    # customer, generation; only of those whose year of birth is known to a band.
    "known_generation": CUSTOMERS.format(known=AT, of=OF_TENANT),
    # customer, segment, valid_from, valid_to, value: join on the time of a fact.
    "known_segment": SEGMENTS.format(known=AT, of=OF_TENANT),
    # source, staff, valid_from, valid_to, staff_group, cohort, job_design, event_position: join on the time
    # of a fact.
    "known_staff": STAFF.format(known=AT, of=OF_TENANT),
    # kind, event_position, source, staff, staff_group, cohort, job_design, and the profile that says so.
    "staff_at": STAFF_AT,
    # kind (feedback or assessment), event_position, interaction_position (or NULL), and who served: source,
    # staff, staff_group, cohort, job_design, profile_position. Only of those that somebody is known to have
    # served.
    "served_by": SERVED_BY,
    # One row for each interaction with staff of which a customer said how satisfied he was, and each such
    # answer of which no interaction is known: feedback_position, interaction_position, served_at, source,
    # staff, staff_group (then), profile_position, person, points, satisfied (75 points or more).
    "rated_service": RATED_SERVICE,
}
