"""How loud anger in public is, touchpoint by touchpoint, and how soon the company replies.

Posts and their weights are those of figure public_post_trace, which says how they are made: anger times
log10(1 + reach), halved after each 168 hours up to the horizon. amplified_anger is their sum. By it ten posts
of reach 10 (10.41) are more than one of reach 1,000,000 (6.00), where all are as angry and of the same
moment, since each voice has a logarithm of its own. So touchpoints are ranked by angry_reach, the sum without
the logarithm: 1,000,000 against 100, and the one post outranks the ten.

Replies are judged on posts that are an hour old by the horizon; younger ones are pending.
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.median import median_bounds, median_columns
from services.scoring.experience.public_post_trace import POSTS
from services.scoring.metric import Column

REPLY_LO, REPLY_HI = median_bounds("replies")

amplified_anger = Figure(
    name="amplified_anger",
    version=1,
    question="Where are customers angry in public, how many does it reach, and is it replied to?",
    keys={
        "touchpoint": Column("text", "Where the posts belong; unspecified where they name none.")
    },
    columns={
        "posts": Column("bigint", "Public posts by others than the company."),
        "negative_posts": Column(
            "bigint", "Those whose sentiment is below the middle of its scale."
        ),
        "removed_posts": Column(
            "bigint", "Posts that are gone by now; they count like the others."
        ),
        "reach": Column("numeric(30,0)", "Sum of the people that each post can reach."),
        "amplified_anger": Column(
            "double precision",
            "Sum of anger (0 to 1) x log10(1 + reach), half after each 168 hours up to the horizon;"
            " NULL where no sentiment is known.",
        ),
        "angry_reach": Column(
            "double precision",
            "Sum of anger (0 to 1) x reach, half after each 168 hours up to the horizon: people.",
        ),
        "rank": Column("bigint", "1 is the largest angry_reach; equal ones share a rank."),
        "worst_position": Column(
            "bigint", "Position of the event of the post with the largest angry_reach."
        ),
        **median_columns(
            "first_reply_minutes",
            "Median time to the company's first reply, of posts that have one: minutes",
        ),
        "answered_60min": Column("bigint", "Posts with a reply within 60 minutes."),
        "answered_60min_share": Column(
            "double precision", "Share of answered_60min in posts without pending ones, 0 to 1."
        ),
        "answered_60min_share_lo": Column(
            "double precision", "Lower bound of this share: score interval, 95 % (Wilson 1927)."
        ),
        "answered_60min_share_hi": Column(
            "double precision", "Upper bound of this share: score interval, 95 % (Wilson 1927)."
        ),
        "unanswered": Column("bigint", "Posts without any reply, of those that are not pending."),
        "pending": Column(
            "bigint",
            "Posts less than 60 minutes before the horizon: in none of the columns of replies.",
        ),
    },
    evidence=POSTS,
    sql=f"""
SELECT t.*, {REPLY_LO} AS first_reply_minutes_lo, {REPLY_HI} AS first_reply_minutes_hi,
       rank() OVER (ORDER BY angry_reach DESC NULLS LAST) AS rank,
       answered_60min::double precision / NULLIF(posts - pending, 0) AS answered_60min_share,
       wilson_lower(answered_60min, posts - pending) AS answered_60min_share_lo,
       wilson_upper(answered_60min, posts - pending) AS answered_60min_share_hi
  FROM (SELECT touchpoint, count(*) AS posts, count(*) FILTER (WHERE mood < 0) AS negative_posts,
               count(removed_at) AS removed_posts, sum(reach) AS reach,
               -- In one order, so that the sum is the same to the last bit whenever it is asked for.
               sum(weight_now ORDER BY event_position) AS amplified_anger,
               sum(angry_reach ORDER BY event_position) AS angry_reach,
               (array_agg(event_position ORDER BY angry_reach DESC, event_position)
                  FILTER (WHERE angry_reach > 0))[1] AS worst_position,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY first_reply_minutes)
                 FILTER (WHERE NOT pending) AS first_reply_minutes,
               array_agg(first_reply_minutes ORDER BY first_reply_minutes)
                 FILTER (WHERE NOT pending AND first_reply_minutes IS NOT NULL) AS replies,
               count(*) FILTER (WHERE NOT pending AND first_reply_minutes <= 60) AS answered_60min,
               count(*) FILTER (WHERE NOT pending AND first_reply_minutes IS NULL) AS unanswered,
               count(*) FILTER (WHERE pending) AS pending
          FROM evidence GROUP BY touchpoint) AS t
""",  # noqa: S608  # literals
    order=("rank",),
)
