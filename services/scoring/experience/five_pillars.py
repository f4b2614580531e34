"""The five pillars that service stands on, team by team: is anything known of each, and what does it come to?

What happened in the 90 days (2,160 hours) before the horizon counts; a pillar of which nothing happened in
them is unknown, which is not 0. Each event is of the team that it names, or else of its member of staff's at
that time.

* passion: pulses about passion, their mean rescaled to 0 to 100 points as in csat/2.
* empowerment: decisions for customers, the share that nobody else had to allow.
* rewards: recognitions for each 100 interactions of the team.
* involvement: how often a manager spent time with the team.
* feedback: how often what customers said was passed on to it.

A team's numbers are told from five members in the 90 days on (K), its passion from pulses of five on; those
that name nobody are each taken to be another one's.
"""

from services.scoring.experience.figure import Figure, K, kept_back
from services.scoring.metric import Column
from services.scoring.metrics.csat_rescaled import RESCALED

five_pillars = Figure(
    name="five_pillars",
    version=1,
    question="What is known of the passion, empowerment, rewards, involvement and feedback of each team?",
    keys={
        "staff_group": Column("text", "The team; unspecified where none is known."),
        "pillar": Column("text", "passion, empowerment, rewards, involvement or feedback."),
    },
    columns={
        "state": Column(
            "text",
            "known, or unknown: no event of this pillar in the 90 days (2160 h) before the horizon.",
        ),
        "last_at": Column("timestamptz", "When the last event of this pillar was, however old."),
        "days_since": Column(
            "bigint", "Whole days of 24 hours from last_at to the horizon; 0 where it is later."
        ),
        "events": Column(
            "bigint",
            "Pulses about passion, decisions, recognitions, contacts with managers, or feedback passed on,"
            " in the 90 days.",
        ),
        "interactions": Column(
            "bigint", "Interactions of the team in the 90 days, of rewards alone."
        ),
        "value": Column(
            "double precision",
            "What the pillar comes to in the 90 days, in the unit of column unit; NULL where it is unknown.",
        ),
        "value_lo": Column(
            "double precision",
            "Lower bound of value, 95 %: t interval (Student 1908) of passion, score interval of empowerment"
            " (Wilson 1927) and rewards (Barker 2002).",
        ),
        "value_hi": Column("double precision", "Upper bound of value, as value_lo."),
        "unit": Column(
            "text",
            "points (0 to 100), share (0 to 1), recognitions per 100 interactions, contacts or feedback.",
        ),
        "staff": Column("bigint", "Members of the team at any time of the 90 days."),
        "too_few": Column(
            "boolean",
            "Fewer than 5 members, or of passion fewer than 5 who told it: value, events, interactions are"
            " NULL.",
        ),
    },
    evidence=f"""
WITH happened AS (
  SELECT f.event_position, f.occurred_at, f.source, f.staff, s.staff_group AS of_member,
         f.staff_group AS named,
         CASE f.step WHEN 'pulse' THEN 'passion' WHEN 'decision' THEN 'empowerment'
                     WHEN 'manager_contact' THEN 'involvement' ELSE f.step END AS pillar,
         CASE WHEN f.step = 'pulse' THEN {RESCALED} END AS points,
         f.step = 'decision' AND NOT f.approval_needed AS alone,
         CASE WHEN f.staff_group IS NULL THEN s.profile_position END AS profile_position
    FROM known_front_line f
    LEFT JOIN staff_at s ON s.kind = 'front_line' AND s.event_position = f.event_position
   WHERE f.step IN ('decision', 'manager_contact', 'feedback') OR f.step = 'pulse' AND f.dimension = 'passion'
  UNION ALL
  SELECT f.event_position, f.occurred_at, f.source, f.staff, s.staff_group, NULL, 'rewards', NULL, false,
         s.profile_position
    FROM known_recognition f
    JOIN staff_at s ON s.kind = 'recognition' AND s.event_position = f.event_position
), counted AS (
  SELECT coalesce(h.named, h.of_member, 'unspecified') AS staff_group, h.pillar, h.event_position,
         h.profile_position, h.source, h.staff, h.occurred_at,
         h.occurred_at >= m.horizon - interval '2160 hours' AS recent, h.points, h.alone,
         max(h.occurred_at) OVER (PARTITION BY coalesce(h.named, h.of_member, 'unspecified'), h.pillar)
           AS last_at
    FROM happened h CROSS JOIN moments m
)
SELECT staff_group, pillar, array_remove(ARRAY[event_position, profile_position], NULL) AS events,
       source, staff, occurred_at, recent, points,
       alone, false AS interaction
  FROM counted
 WHERE recent OR occurred_at = last_at
UNION ALL
SELECT s.staff_group, 'rewards', array_remove(ARRAY[f.event_position, s.profile_position], NULL),
       f.source, f.staff, f.occurred_at, true, NULL,
       false, true
  FROM known_interaction f
  JOIN staff_at s ON s.kind = 'interaction' AND s.event_position = f.event_position
 CROSS JOIN moments m
 WHERE f.occurred_at >= m.horizon - interval '2160 hours'
""",  # noqa: S608  # literals, here and below
    sql=f"""
WITH team AS (
  SELECT s.staff_group,
         count(DISTINCT (s.source, s.staff))
           FILTER (WHERE s.valid_to IS NULL OR s.valid_to > m.horizon - interval '2160 hours') AS staff
    FROM known_staff s CROSS JOIN moments m
   WHERE s.valid_from < m.occurred_before
   GROUP BY s.staff_group
), told AS (
  SELECT staff_group, pillar,
         count(*) FILTER (WHERE recent AND NOT interaction) AS events,
         count(DISTINCT (source, staff)) FILTER (WHERE recent AND staff IS NOT NULL)
           + count(*) FILTER (WHERE recent AND staff IS NULL) AS people,
         max(occurred_at) FILTER (WHERE NOT interaction) AS last_at,
         count(*) FILTER (WHERE interaction) AS interactions,
         count(*) FILTER (WHERE recent AND alone) AS alone,
         sum(points) FILTER (WHERE recent) AS points,
         sum(points * points) FILTER (WHERE recent) AS squares
    FROM evidence
   GROUP BY staff_group, pillar
), pillars AS (
  SELECT g.staff_group, p.pillar, p.unit, coalesce(t.staff, 0) AS staff, coalesce(told.events, 0) AS events,
         coalesce(told.people, 0) AS people, told.last_at, told.alone, told.points, told.squares,
         CASE WHEN p.pillar = 'rewards' THEN coalesce(told.interactions, 0) END AS interactions,
         CASE WHEN told.events > 0 THEN 'known' ELSE 'unknown' END AS state
    FROM (SELECT staff_group FROM team UNION SELECT staff_group FROM told) AS g
   CROSS JOIN (VALUES ('passion', 'points'), ('empowerment', 'share'),
                      ('rewards', 'recognitions per 100 interactions'), ('involvement', 'contacts'),
                      ('feedback', 'feedback')) AS p (pillar, unit)
    LEFT JOIN team t USING (staff_group)
    LEFT JOIN told ON told.staff_group = g.staff_group AND told.pillar = p.pillar
)
SELECT staff_group, pillar, state, last_at, unit, staff,
       floor(extract(epoch FROM greatest(m.horizon, last_at) - last_at) / 86400) AS days_since,
       {kept_back("events")},
       {kept_back("interactions")},
       CASE WHEN told THEN CASE pillar
         WHEN 'passion' THEN (points / events)::double precision
         WHEN 'empowerment' THEN alone::double precision / events
         WHEN 'rewards' THEN 100 * events::double precision / NULLIF(interactions, 0)
         ELSE events END END AS value,
       CASE WHEN told THEN CASE pillar
         WHEN 'passion' THEN mean_bound(points, squares, events, -1, 0)
         WHEN 'empowerment' THEN wilson_lower(alone, events)
         WHEN 'rewards' THEN 100 * poisson_lower(events, interactions) END END AS value_lo,
       CASE WHEN told THEN CASE pillar
         WHEN 'passion' THEN mean_bound(points, squares, events, 1, 100)
         WHEN 'empowerment' THEN wilson_upper(alone, events)
         WHEN 'rewards' THEN 100 * poisson_upper(events, interactions) END END AS value_hi,
       too_few
  FROM (SELECT p.*, too_few, p.state = 'known' AND NOT too_few AS told
          FROM pillars p
         CROSS JOIN LATERAL (VALUES (staff < {K} OR pillar = 'passion' AND people BETWEEN 1 AND {K - 1}))
                         AS few (too_few)) AS p
 CROSS JOIN moments m
""",  # noqa: S608
)
