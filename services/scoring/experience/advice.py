"""Up to three options, or more: which advice is taken, kept and not regretted?

An advice is one Advice event; or an interaction that says how many options it presented and has no Advice of
its own, whose choice is then not known. Its own is one at the same touchpoint, of the same person (of the
same correlation id where nobody is known, or where both have one), from its beginning on within 24 hours.
More than three options are recorded like any other number, and stand apart.

What a person took is kept when follow-ups within 30 days (720 hours) after the advice say that it was kept,
and none that it was given back. Follow-ups are of the person's last advice before that the item was taken
from. What is said in the 30 days is known once they have passed by the horizon; until then an advice is
pending and in no share.
"""

from services.scoring.experience.figure import Figure, mean_columns, share_columns
from services.scoring.metric import Column

WINDOW = "interval '720 hours'"
BELONGS = "interval '24 hours'"

advice = Figure(
    name="advice",
    version=1,
    question="Do customers choose better from up to three options than from more?",
    keys={
        "options_band": Column("text", "up to 3 or more than 3: how many options were presented.")
    },
    columns={
        "over_three": Column(
            "boolean", "More than three options: more than a trusted adviser presents."
        ),
        "advices": Column("bigint", "How often options were put before a customer."),
        **mean_columns("options_mean", "Mean number of options, 1 and more"),
        "choice_n": Column("bigint", "Advices of which it is known what was taken, if anything."),
        "chosen": Column("bigint", "Those of which an option was taken."),
        **share_columns(
            "chosen_share", "Share of advices with a known choice of which an option was taken"
        ),
        **mean_columns(
            "chosen_rank_mean", "Mean place of what was taken, 1 is what the adviser put first"
        ),
        "pending": Column(
            "bigint",
            "Options taken by known persons less than 30 days before the horizon, in no share.",
        ),
        "unheard": Column(
            "bigint",
            "Options taken by known persons of which nothing was heard within 30 days: neither kept"
            " nor given back, in no share.",
        ),
        "kept_n": Column(
            "bigint", "Options taken whose 30 days are over and of which something was heard."
        ),
        **share_columns("kept_30d_rate", "Share of these that were kept for 30 days"),
        "happy_n": Column(
            "bigint",
            "Options taken whose 30 days are over with the customer asked about the choice.",
        ),
        **share_columns(
            "happy_rate", "Share of these whose customer was happy with the choice, asked last"
        ),
    },
    evidence=f"""
WITH outcome AS (
  SELECT advice_position, bool_or(kept) AS kept, bool_or(NOT kept) AS given_back,
         (array_agg(happy ORDER BY occurred_at DESC, event_position DESC) FILTER (WHERE happy IS NOT NULL))[1]
             AS happy,
         array_agg(event_position) AS positions
    FROM followed_up
   WHERE occurred_at < advised_at + {WINDOW}
   GROUP BY advice_position
), presented AS (
  SELECT options, true AS choice_known, chosen_rank, chosen IS NOT NULL AND person IS NOT NULL AS followed,
         occurred_at + {WINDOW} <= horizon AS settled, o.kept, o.given_back, o.happy,
         event_position || coalesce(o.positions, '{{}}'::bigint[]) AS events
    FROM advice_given
   CROSS JOIN moments
    LEFT JOIN outcome o ON o.advice_position = event_position
  UNION ALL
  SELECT i.options_presented, false, NULL, false, NULL, NULL, NULL, NULL, ARRAY[i.event_position]
    FROM known_interaction i
   WHERE i.options_presented > 0
     AND NOT EXISTS (
         SELECT FROM advice_given a
          WHERE a.touchpoint = i.touchpoint AND coalesce(a.person, '') = coalesce(i.person, '')
            AND CASE WHEN a.person IS NULL THEN a.correlation_id ELSE '' END
                = CASE WHEN i.person IS NULL THEN i.correlation_id ELSE '' END
            AND (a.correlation_id = i.correlation_id OR a.correlation_id IS NULL OR i.correlation_id IS NULL)
            AND a.occurred_at >= i.occurred_at AND a.occurred_at < i.occurred_at + {BELONGS})
)
SELECT CASE WHEN options > 3 THEN 'more than 3' ELSE 'up to 3' END AS options_band, *
  FROM presented
""",  # noqa: S608  # constants of this module
    sql="""
WITH counted AS (
  SELECT options_band, count(options) AS advices, sum(options) AS options_total,
         sum(options * options) AS options_squares,
         count(*) FILTER (WHERE choice_known) AS choice_n, count(chosen_rank) AS chosen,
         sum(chosen_rank) AS rank_total, sum(chosen_rank * chosen_rank) AS rank_squares,
         count(*) FILTER (WHERE followed AND NOT settled) AS pending,
         count(*) FILTER (WHERE followed AND settled AND kept IS NULL) AS unheard,
         count(kept) FILTER (WHERE followed AND settled) AS kept_n,
         count(*) FILTER (WHERE followed AND settled AND kept AND NOT given_back) AS kept,
         count(happy) FILTER (WHERE followed AND settled) AS happy_n,
         count(*) FILTER (WHERE followed AND settled AND happy) AS happy
    FROM (VALUES ('up to 3'), ('more than 3')) AS band (options_band)
    LEFT JOIN evidence USING (options_band)
   GROUP BY options_band
)
SELECT *, options_band = 'more than 3' AS over_three,
       (options_total::numeric / NULLIF(advices, 0))::double precision AS options_mean,
       mean_bound(options_total, options_squares, advices, -1, 1) AS options_mean_lo,
       mean_bound(options_total, options_squares, advices, 1, 'infinity') AS options_mean_hi,
       chosen::double precision / NULLIF(choice_n, 0) AS chosen_share,
       wilson_lower(chosen, choice_n) AS chosen_share_lo,
       wilson_upper(chosen, choice_n) AS chosen_share_hi,
       (rank_total::numeric / NULLIF(chosen, 0))::double precision AS chosen_rank_mean,
       mean_bound(rank_total, rank_squares, chosen, -1, 1) AS chosen_rank_mean_lo,
       mean_bound(rank_total, rank_squares, chosen, 1, 'infinity') AS chosen_rank_mean_hi,
       kept::double precision / NULLIF(kept_n, 0) AS kept_30d_rate,
       wilson_lower(kept, kept_n) AS kept_30d_rate_lo,
       wilson_upper(kept, kept_n) AS kept_30d_rate_hi,
       happy::double precision / NULLIF(happy_n, 0) AS happy_rate,
       wilson_lower(happy, happy_n) AS happy_rate_lo,
       wilson_upper(happy, happy_n) AS happy_rate_hi
  FROM counted
""",
)
