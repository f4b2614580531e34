"""Are customers able to use what they bought, and happy with the choice? Those who were advised against the
others.

One case for each follow-up. It is of an advised customer when the item was taken from an Advice of the same
person before; where nobody is known, it is of the others. Who is asked twice counts twice.
"""

from services.scoring.experience.figure import Figure, share_columns
from services.scoring.metric import Column

usage = Figure(
    name="usage",
    version=1,
    question="Can customers use what they bought, and do they regret it, with advice and without?",
    keys={
        "advised": Column(
            "boolean", "The item was taken from an Advice of the same person before; else false."
        )
    },
    columns={
        "follow_ups": Column("bigint", "Follow-ups on what was bought."),
        "usage_n": Column("bigint", "Those that say whether the customer is able to use it."),
        **share_columns("usage_ok_rate", "Share of these whose customer is able to use it"),
        "choice_n": Column("bigint", "Follow-ups that say what the customer thinks of the choice."),
        **share_columns("regret_rate", "Share of these whose customer regrets it"),
    },
    evidence="""
SELECT advice_position IS NOT NULL AS advised, usable, happy,
       array_remove(ARRAY[event_position, advice_position], NULL) AS events
  FROM followed_up
""",
    sql="""
SELECT advised, follow_ups, usage_n, choice_n,
       usable::double precision / NULLIF(usage_n, 0) AS usage_ok_rate,
       wilson_lower(usable, usage_n) AS usage_ok_rate_lo,
       wilson_upper(usable, usage_n) AS usage_ok_rate_hi,
       regretted::double precision / NULLIF(choice_n, 0) AS regret_rate,
       wilson_lower(regretted, choice_n) AS regret_rate_lo,
       wilson_upper(regretted, choice_n) AS regret_rate_hi
  FROM (SELECT advised, count(events) AS follow_ups, count(usable) AS usage_n,
               count(*) FILTER (WHERE usable) AS usable, count(happy) AS choice_n,
               count(*) FILTER (WHERE NOT happy) AS regretted
          FROM (VALUES (true), (false)) AS of (advised)
          LEFT JOIN evidence USING (advised)
         GROUP BY advised) AS both_kinds
""",
)
