"""Good service is wallpaper, remarkable service is remarked on: how often do customers speak unasked?

A remark is feedback that answers no request and has words or a kind (complaint, compliment, comment), or a
public post of the person, not of the company. Read models hold no words; that there were any they know from
feedback without a measured answer, and from moods, which are read out of words.

Feedback is about the interaction that it is about (about of known.py). Where it names none and there is none
at its touchpoint, and for posts, that is the person's last interaction before. A remark counts within 72
hours of that interaction. Interactions whose 72 hours are not over by the horizon are pending and count in
nothing else.

The kind that the source gave decides whether a remark is positive or negative; where it gave none, the mood
does, by the side of the middle of its scale that it is on.

The rate is remarks for each 1,000 interactions, with the score interval of a Poisson rate (Barker 2002). It
is not told of fewer than five known customers, or of one to four members of staff where any are named.
"""

from services.scoring.experience.figure import Figure, K, kept_back
from services.scoring.metric import Column

# Rows are interactions.
REMARKED = """
WITH spoken AS (
  SELECT event_position, min(person) AS person, min(occurred_at) AS occurred_at, min(kind) AS kind,
         min(about_event_id) AS about_event_id,
         sum(2 * CASE WHEN higher_is_better THEN value - scale_min ELSE scale_max - value END
               / (scale_max - scale_min) - 1) FILTER (WHERE metric = 'sentiment') AS mood
    FROM known_feedback
   WHERE request_id IS NULL
   GROUP BY event_position
  HAVING min(kind) <> 'unspecified' OR bool_or(metric IS NULL OR metric = 'sentiment')
), placed AS (
  SELECT s.event_position, s.person, s.occurred_at, s.kind, s.mood, a.interaction_position,
         s.about_event_id IS NULL AND a.interaction_position IS NULL AS unplaced
    FROM spoken s
    LEFT JOIN about a ON a.feedback_position = s.event_position
  UNION ALL
  SELECT event_position, person, occurred_at, 'unspecified',
         2 * CASE WHEN higher_is_better THEN sentiment - scale_min ELSE scale_max - sentiment END
           / (scale_max - scale_min) - 1, NULL, true
    FROM known_public_post
   WHERE NOT by_company
), remark AS (
  SELECT event_position, occurred_at, kind, mood, interaction_position
    FROM placed
   WHERE interaction_position IS NOT NULL
  UNION ALL
  (SELECT DISTINCT ON (r.event_position) r.event_position, r.occurred_at, r.kind, r.mood, i.event_position
     FROM placed r
     JOIN known_interaction i ON i.person = r.person AND i.occurred_at <= r.occurred_at
                             AND i.occurred_at >= r.occurred_at - interval '72 hours'
    WHERE r.unplaced
    ORDER BY r.event_position, i.occurred_at DESC, i.event_position DESC)
), remarked AS (
  SELECT i.event_position, count(*) AS remarks, array_agg(r.event_position) AS positions,
         count(*) FILTER (WHERE r.kind = 'compliment' OR r.kind = 'unspecified' AND r.mood > 0) AS positive,
         count(*) FILTER (WHERE r.kind = 'complaint' OR r.kind = 'unspecified' AND r.mood < 0) AS negative
    FROM remark r
    JOIN known_interaction i ON i.event_position = r.interaction_position
                            AND r.occurred_at <= i.occurred_at + interval '72 hours'
   GROUP BY i.event_position
)
SELECT coalesce(i.script, 'none') AS script, i.person, i.source, i.staff,
       i.occurred_at + interval '72 hours' > m.horizon AS pending, coalesce(r.remarks, 0) AS remarks,
       coalesce(r.positive, 0) AS positive, coalesce(r.negative, 0) AS negative,
       i.event_position || coalesce(r.positions, '{}') AS events
  FROM known_interaction i
 CROSS JOIN moments m
  LEFT JOIN remarked r ON r.event_position = i.event_position
"""

remarkable = Figure(
    name="remarkable",
    version=1,
    question="After which words of staff do customers speak of the service unasked, and how?",
    keys={
        "script": Column(
            "text",
            "The variant of words or procedure that staff followed; none where none is known.",
        )
    },
    columns={
        "interactions": Column("bigint", "Interactions by this script whose 72 hours are over."),
        "pending": Column(
            "bigint", "Interactions whose 72 hours are not over by the horizon: in no other column."
        ),
        "remarks": Column(
            "bigint", "Feedback that nobody asked for, and public posts, about them."
        ),
        "remarked": Column("bigint", "Interactions with at least one remark."),
        "positive": Column("bigint", "Remarks that praise."),
        "negative": Column("bigint", "Remarks that complain."),
        "remark_rate_per_1000": Column(
            "double precision", "Remarks for each 1000 interactions (any number can be of one)."
        ),
        "remark_rate_per_1000_lo": Column(
            "double precision",
            "Lower bound of this rate: Poisson score interval, 95 % (Barker 2002).",
        ),
        "remark_rate_per_1000_hi": Column(
            "double precision",
            "Upper bound of this rate: Poisson score interval, 95 % (Barker 2002).",
        ),
        "too_few": Column(
            "boolean",
            "Fewer than 5 known customers, or 1 to 4 members of staff: all about remarks is NULL.",
        ),
    },
    evidence=REMARKED,
    sql=f"""
SELECT script, interactions, pending, too_few,
       {kept_back("remarks")},
       {kept_back("remarked")},
       {kept_back("positive")},
       {kept_back("negative")},
       {kept_back("remark_rate_per_1000", "1000 * remarks::double precision / interactions")},
       {kept_back("remark_rate_per_1000_lo", "1000 * poisson_lower(remarks, interactions)")},
       {kept_back("remark_rate_per_1000_hi", "1000 * poisson_upper(remarks, interactions)")}
  FROM (SELECT script, count(*) FILTER (WHERE NOT pending) AS interactions,
               count(*) FILTER (WHERE pending) AS pending,
               sum(remarks) FILTER (WHERE NOT pending)::bigint AS remarks,
               count(*) FILTER (WHERE NOT pending AND remarks > 0) AS remarked,
               sum(positive) FILTER (WHERE NOT pending) AS positive,
               sum(negative) FILTER (WHERE NOT pending) AS negative,
               count(DISTINCT person) FILTER (WHERE NOT pending) < {K}
                 OR count(DISTINCT (source, staff)) FILTER (WHERE NOT pending AND staff IS NOT NULL)
                    BETWEEN 1 AND {K - 1} AS too_few
          FROM evidence
         GROUP BY script) AS told
""",  # noqa: S608  # literals
)
