"""Everyone is a customer, inside and outside: the same measures for colleagues, partners and those who buy.

One row for each kind, by the customer's segment "kind" as it was when the fact occurred; where nothing was
said of it, or another word, or nobody was named, unspecified. First contact is as in first_contact: episodes
whose seven days are over, and those without a second contact. A service desk for colleagues is read off the
row internal like any other. Each score is told from five persons on of whom it is (K); what nobody known said
or did is taken to be of a person of its own.
"""

from services.scoring.derived.first_contact import SETTLED, first_contact
from services.scoring.experience.figure import Figure, K, kept_back, persons
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, mean, share

SCORES = {
    **mean(
        *("csat_points", "points", "squares", "csat_n"),
        "Mean CSAT answer, rescaled to 0 to 100 points as in csat/2 (ISO 10004)",
        scale=("0", "100"),
    ),
    **share(
        *("bottom2_share", "bottom2", "csat_n"),
        "Share of CSAT answers of 25 points or less (bottom-2-box of 1 to 5)",
    ),
    **share(
        *("done_share", "done", "ended"),
        "Share of interactions that ended completed or resolved, among those that say how they ended",
    ),
    **share(
        *("fcr_no_repeat", "unrepeated", "episodes"),
        "Share of service episodes without a second contact within seven days (SQM)",
    ),
}
# Of what each score is, by the column with their number.
OF = {
    "ended": "what = 'interaction' AND counts",
    "csat_n": "points IS NOT NULL",
    "episodes": "what = 'episode' AND counts",
}
FEW = {name: f"({persons(where)} BETWEEN 1 AND {K - 1})" for name, where in OF.items()}
TOLD = ", ".join(
    kept_back(name, f"count(*) FILTER (WHERE {where})", few=FEW[name]) for name, where in OF.items()
)
FIRST_CONTACT = first_contact.sql.replace("$1", "{tenant}").replace("$2", "{position}")

customer_kind = Figure(
    name="customer_kind",
    version=2,
    question="Are customers inside the company served as well as those outside?",
    keys={"kind": Column("text", "external, internal, partner or unspecified.")},
    columns={
        "customers": Column("bigint", "Persons of the kind who had an interaction or answered."),
        "interactions": Column("bigint", "Interactions with customers of the kind."),
        "ended": Column("bigint", "Interactions that say how they ended."),
        "csat_n": Column("bigint", "CSAT answers about the whole, on any scale."),
        "episodes": Column(
            "bigint", "Service episodes whose first contact was seven days ago or more."
        ),
        **columns(SCORES),
        "too_few": Column(
            "boolean",
            f"Interactions that say how they ended, answers or episodes are of fewer than {K} persons: their"
            " number, and what is reckoned from them, is NULL.",
        ),
    },
    evidence=f"""
WITH fact AS (
  SELECT 'interaction' AS what, event_position, occurred_at, person, NULL AS points,
         outcome <> 'unspecified' AS counts, outcome IN ('completed', 'resolved') AS good
    FROM known_interaction
  UNION ALL
  SELECT 'answer', event_position, occurred_at, person, points, true, NOT dissatisfied
    FROM journey_answer
   WHERE metric = 'csat'
  UNION ALL
  SELECT 'episode', event_position, f.occurred_at, coalesce(p.person, f.customer), NULL,
         f.{SETTLED}, repeated_at IS NULL
    FROM ({FIRST_CONTACT}) AS f
   CROSS JOIN moments AS m
    LEFT JOIN person AS p ON p.customer = f.customer
   WHERE f.occurred_at < m.occurred_before
)
SELECT CASE WHEN s.value IN ('external', 'internal', 'partner') THEN s.value ELSE 'unspecified' END AS kind,
       fact.what, fact.person, fact.points, fact.counts, fact.good,
       array_remove(ARRAY[fact.event_position, s.event_position], NULL) AS events
  FROM fact
  LEFT JOIN person_segment AS s ON s.person = fact.person AND s.segment = 'kind'
                               AND s.valid_from <= fact.occurred_at
                               AND (s.valid_to IS NULL OR s.valid_to > fact.occurred_at)
""",  # noqa: S608  # literals, here and below
    sql=f"""
SELECT kind, customers, interactions, ended, csat_n, episodes, {selected(SCORES)}, too_few
  FROM (SELECT kind, count(DISTINCT person) AS customers,
               count(*) FILTER (WHERE what = 'interaction') AS interactions, {TOLD},
               {" OR ".join(FEW.values())} AS too_few,
               count(*) FILTER (WHERE what = 'interaction' AND counts AND good) AS done,
               sum(points) AS points, sum(points * points) AS squares,
               count(*) FILTER (WHERE what = 'answer' AND NOT good) AS bottom2,
               count(*) FILTER (WHERE what = 'episode' AND counts AND good) AS unrepeated
          FROM (VALUES ('external'), ('internal'), ('partner')) AS always (kind)
          FULL JOIN evidence USING (kind)
         GROUP BY kind) AS counted
""",  # noqa: S608
)
