"""Each public post: how much its anger weighed when it was made and weighs now, and what became of it.

Anger of a post is max(0, -s), s its sentiment rescaled to -1 (bad) .. 1 (good). Its weight is

    anger x log10(1 + reach) x 2^(-age / 168 h)

with the age at the horizon, never below 0. It halves in a week: a post is talked about for some days, and
what lies months back should not outweigh this week. The half-life is a choice of this version, nothing
measured. On this scale reach counts by its magnitude: with s = -1, one post of reach 1,000,000 weighs 6.00
and ten posts of reach 10 weigh 1.04 each, 10.41 together. So of posts the far-reaching one comes first, but
sums of weights count voices rather than listeners. What ranks, here and in amplified_anger, is therefore
angry reach:

    anger x reach x 2^(-age / 168 h)

by which the one is 1,000,000 and the ten are 100 together.

A post is known by its platform and id there; of several events about one, the last that was recorded counts.
A post that was removed stays, and goes on to count: it has been read. The first reply is that of the company,
on the same platform, to that id, from the post on. What is said in public is told of each post: K does not
apply.
"""

from services.scoring.experience.figure import Figure
from services.scoring.metric import Column

# Rows are posts by others than the company; without a sentiment there is no anger to be seen.
POSTS = """
WITH post AS (
  SELECT DISTINCT ON (f.platform, coalesce(f.post_id, 'event ' || f.event_position)) f.*,
         coalesce(f.post_id, 'event ' || f.event_position) AS post,
         2 * CASE WHEN f.higher_is_better THEN f.sentiment - f.scale_min ELSE f.scale_max - f.sentiment END
           / (f.scale_max - f.scale_min) - 1 AS mood
    FROM known_public_post f
   WHERE NOT f.by_company
   ORDER BY f.platform, coalesce(f.post_id, 'event ' || f.event_position), f.event_position DESC
), removed AS (
  SELECT DISTINCT ON (platform, post_id) platform, post_id, occurred_at, event_position
    FROM known_post_removal
   ORDER BY platform, post_id, occurred_at, event_position
), reply AS (
  SELECT DISTINCT ON (p.event_position) p.event_position AS post_position, r.occurred_at, r.event_position
    FROM post p
    JOIN known_public_post r ON r.platform = p.platform AND r.reply_to_post_id = p.post_id
                            AND r.occurred_at >= p.occurred_at
   WHERE r.by_company
   ORDER BY p.event_position, r.occurred_at, r.event_position
), aged AS (
  SELECT p.*, CASE WHEN p.mood IS NOT NULL THEN greatest(0, -p.mood)::double precision END AS anger,
         -- After 900 half-lives nothing is left; much beyond, a double has no number for it.
         power(2::double precision, -least(900, extract(epoch FROM greatest(m.horizon, p.occurred_at)
                                                          - p.occurred_at) / (168 * 3600))) AS decay,
         p.occurred_at + interval '60 minutes' > m.horizon AS pending
    FROM post p CROSS JOIN moments m
)
SELECT p.platform, p.post AS post_id, p.event_position, p.touchpoint, p.occurred_at, p.reach, p.mood,
       p.pending,
       p.anger * log10(1 + p.reach::double precision) AS weight_then,
       p.anger * log10(1 + p.reach::double precision) * p.decay AS weight_now,
       p.anger * p.reach::double precision * p.decay AS angry_reach,
       x.occurred_at AS removed_at, r.occurred_at AS first_reply_at,
       (extract(epoch FROM r.occurred_at - p.occurred_at) / 60)::double precision AS first_reply_minutes,
       array_remove(ARRAY[p.event_position, x.event_position, r.event_position], NULL) AS events
  FROM aged p
  LEFT JOIN removed x ON x.platform = p.platform AND x.post_id = p.post_id
  LEFT JOIN reply r ON r.post_position = p.event_position
"""

public_post_trace = Figure(
    name="public_post_trace",
    version=1,
    question="Which public posts weigh how much, and what became of each?",
    keys={
        "platform": Column("text", "The network."),
        "post_id": Column(
            "text",
            "The post's own id there; where the source says none, event and the position of its event.",
        ),
    },
    columns={
        "event_position": Column("bigint", "Position of the post's event in the journal."),
        "touchpoint": Column("text", "Where it belongs; unspecified where the event names none."),
        "posted_at": Column("timestamptz", "When it was posted."),
        "reach": Column("numeric(20,0)", "People that it can reach, as the source counts them."),
        "sentiment": Column("double precision", "-1 is bad, 1 is good; NULL where nobody read it."),
        "weight_then": Column(
            "double precision",
            "When it was posted: anger x log10(1 + reach), anger being how far sentiment is below 0.",
        ),
        "weight_now": Column(
            "double precision",
            "Of weight_then, what is left at the horizon: half after each 168 hours.",
        ),
        "angry_reach": Column(
            "double precision",
            "People that it can reach, times anger, half after each 168 hours up to the horizon.",
        ),
        "rank": Column("bigint", "1 is the largest angry_reach; equal ones share a rank."),
        "removed_at": Column(
            "timestamptz", "When it was first known to be gone; NULL while it is not."
        ),
        "first_reply_at": Column(
            "timestamptz", "When the company first replied there; NULL while it has not."
        ),
        "first_reply_minutes": Column("double precision", "From the post to the first reply."),
    },
    evidence=POSTS,
    sql="""
SELECT platform, post_id, event_position, touchpoint, occurred_at AS posted_at, reach, mood AS sentiment,
       weight_then, weight_now, angry_reach, removed_at, first_reply_at, first_reply_minutes,
       CASE WHEN angry_reach > 0 THEN rank() OVER (ORDER BY angry_reach DESC NULLS LAST) END AS rank
  FROM evidence
""",
    order=("rank",),
)
