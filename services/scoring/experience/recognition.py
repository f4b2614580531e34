"""Whom to recognise: how customers take what each member of staff does, and the recognitions that were given.

An interaction counts once, by what its customer said last of it as a whole (rated_service of known.py); 75
points or more of 100 is top, as in csat/2. Members are ranked by the lower bound of their share of top
answers (Wilson 1927), never by the share: one of one stays behind 180 of 200. Of whom fewer than five
different customers are known to have spoken, nothing is told that rests on what they said, and there is no
rank.

A recognition is founded when the interaction that it names is known, is of the same source and was with the
same member of staff. Recognitions are given for all to see: they are counted whatever K.
"""

from services.scoring.experience.figure import Figure, K, kept_back
from services.scoring.metric import Column

# Cases of both figures about recognition. role: answer, or a recognition that is founded or unfounded.
EVIDENCE = """
SELECT s.source, s.staff, s.staff_group, 'answer' AS role, NULL AS given_by, s.person, s.satisfied,
       array_remove(ARRAY[s.interaction_position, s.feedback_position, s.profile_position], NULL) AS events
  FROM rated_service s
UNION ALL
SELECT r.source, r.staff, s.staff_group,
       CASE WHEN i.event_position IS NULL THEN 'unfounded' ELSE 'founded' END, r.given_by, NULL, NULL,
       array_remove(ARRAY[r.event_position, i.event_position, s.profile_position], NULL)
  FROM known_recognition r
  JOIN staff_at s ON s.kind = 'recognition' AND s.event_position = r.event_position
  LEFT JOIN event e ON e.tenant = {tenant} AND e.source = r.source AND e.event_id = r.interaction_id
  LEFT JOIN known_interaction i ON i.event_position = e.position AND i.staff = r.staff
"""

# Sums over these cases, whatever they are grouped by.
COUNTED = """
         count(*) FILTER (WHERE role = 'answer') AS answered,
         count(DISTINCT person) FILTER (WHERE role = 'answer') AS customers,
         count(*) FILTER (WHERE role = 'answer' AND satisfied) AS top,
         count(*) FILTER (WHERE role = 'founded') AS recognitions,
         count(*) FILTER (WHERE role = 'founded' AND given_by = 'customer') AS by_customer,
         count(*) FILTER (WHERE role = 'founded' AND given_by = 'colleague') AS by_colleague,
         count(*) FILTER (WHERE role = 'founded' AND given_by = 'manager') AS by_manager,
         count(*) FILTER (WHERE role = 'unfounded') AS recognitions_unfounded
"""
TOLD = f"""
       {kept_back("top")},
       {kept_back("top_share", "top::double precision / NULLIF(answered, 0)")},
       {kept_back("top_share_lo", "wilson_lower(top, answered)")},
       {kept_back("top_share_hi", "wilson_upper(top, answered)")},
       CASE WHEN NOT too_few THEN
         rank() OVER (PARTITION BY too_few ORDER BY wilson_lower(top, answered) DESC) END AS rank,
       answered, customers, recognitions, by_customer, by_colleague, by_manager, recognitions_unfounded,
       too_few
"""
COLUMNS = {
    "answered": Column(
        "bigint",
        "Interactions of which a customer said how satisfied he was; the last answer counts.",
    ),
    "customers": Column("bigint", "Different customers among them, as far as they are known."),
    "top": Column(
        "bigint", "Interactions with an answer of 75 or more of 100 points (csat version 2)."
    ),
    "top_share": Column("double precision", "Share of top in answered, 0 to 1."),
    "top_share_lo": Column(
        "double precision", "Lower bound of top_share: score interval, 95 % (Wilson 1927)."
    ),
    "top_share_hi": Column(
        "double precision", "Upper bound of top_share: score interval, 95 % (Wilson 1927)."
    ),
    "rank": Column("bigint", "1 is the highest top_share_lo; equal bounds share a rank."),
    "recognitions": Column(
        "bigint",
        "Recognitions for an interaction that is known and was with the same member of staff.",
    ),
    "by_customer": Column("bigint", "Those given by a customer."),
    "by_colleague": Column("bigint", "Those given by a colleague."),
    "by_manager": Column("bigint", "Those given by a manager."),
    "recognitions_unfounded": Column(
        "bigint", "Recognitions that name no interaction, or none that is known and was with them."
    ),
}

recognition = Figure(
    name="recognition",
    version=1,
    question="Which members of staff serve customers best for certain, and what were they recognised for?",
    keys={
        "source": Column("text", "The system whose reference staff is."),
        "staff": Column("text", "The source's reference of the member of staff."),
    },
    columns=COLUMNS
    | {
        "too_few": Column(
            "boolean",
            "Fewer than 5 different customers: top, its share and bounds and rank are NULL.",
        )
    },
    evidence=EVIDENCE,
    sql=f"""
SELECT source, staff, {TOLD}
  FROM (SELECT c.*, customers < {K} AS too_few
          FROM (SELECT source, staff, {COUNTED} FROM evidence GROUP BY source, staff) AS c) AS c
""",  # noqa: S608  # literals
    order=("rank",),
)
