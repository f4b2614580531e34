"""Which teams to recognise: figure recognition, by where each member of staff worked at the time.

Where fewer than five different customers spoke, or fewer than five members of a team were spoken of, nothing
is told that rests on what customers said. Nor where fewer than five spoke of all those members together of
whom recognition tells nothing: what it tells of the others, taken off the team's, would be theirs.
"""

from services.scoring.experience.figure import Figure, K
from services.scoring.experience.recognition import COLUMNS, COUNTED, EVIDENCE, TOLD
from services.scoring.metric import Column

recognition_by_team = Figure(
    name="recognition_by_team",
    version=1,
    question="Which teams serve customers best for certain, and what were they recognised for?",
    keys={
        "staff_group": Column(
            "text", "The team of the member of staff at the time; unspecified where not known."
        )
    },
    columns=COLUMNS
    | {
        "staff": Column("bigint", "Members of the team whose interactions were answered."),
        "too_few": Column(
            "boolean",
            "Fewer than 5 different customers, or members, or customers of the members of whom recognition"
            " tells nothing: top, its share and bounds and rank are NULL.",
        ),
    },
    evidence=EVIDENCE,
    sql=f"""
SELECT staff_group, staff, {TOLD}
  FROM (SELECT c.*, least(customers, staff) < {K} OR untold > 0 AND customers_untold < {K} AS too_few
          FROM (SELECT staff_group, {COUNTED},
                       count(DISTINCT (source, staff)) FILTER (WHERE role = 'answer') AS staff,
                       count(*) FILTER (WHERE role = 'answer' AND NOT told) AS untold,
                       count(DISTINCT person) FILTER (WHERE role = 'answer' AND NOT told)
                         AS customers_untold
                  FROM evidence
                  JOIN (SELECT source, staff,
                               count(DISTINCT person) FILTER (WHERE role = 'answer') >= {K} AS told
                          FROM evidence GROUP BY source, staff) AS member USING (source, staff)
                 GROUP BY staff_group) AS c) AS c
""",  # noqa: S608  # literals
    order=("rank",),
)
