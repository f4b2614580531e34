"""A great brand and great care: are they with the same customers?

One row for each of the four quadrants, among customers who rated both. A customer's rating of either is the
last one, on any scale; 75 or more of 100 points is high, as in csat/2.
"""

from services.scoring.experience.figure import Figure
from services.scoring.metric import Column

brand_and_care = Figure(
    name="brand_and_care",
    version=1,
    question="How many customers think highly of the brand, of the care, of both, of neither?",
    keys={
        "brand": Column("text", "high or low: what customers think of the brand."),
        "care": Column("text", "high or low: what they think of the care."),
    },
    columns={
        "customers": Column(
            "bigint", "Customers in this quadrant; the four add up to all who rated both."
        ),
        "share": Column(
            "double precision", "Of all who rated both, 0 to 1; NULL where nobody did."
        ),
        "share_lo": Column(
            "double precision", "Lower bound of share: score interval, 95 % (Wilson 1927)."
        ),
        "share_hi": Column(
            "double precision", "Upper bound of share: score interval, 95 % (Wilson 1927)."
        ),
    },
    evidence="""
WITH last_rating AS (
  SELECT DISTINCT ON (person, dimension) person, dimension, event_position,
         CASE WHEN CASE WHEN higher_is_better THEN value - scale_min ELSE scale_max - value END
                   >= 0.75 * (scale_max - scale_min) THEN 'high' ELSE 'low' END AS level
    FROM known_feedback
   WHERE dimension IN ('brand', 'care') AND metric IN ('csat', 'rating') AND person IS NOT NULL
   ORDER BY person, dimension, occurred_at DESC, event_position DESC, signal_index DESC
)
SELECT b.level AS brand, c.level AS care, ARRAY[b.event_position, c.event_position] AS events
  FROM last_rating b
  JOIN last_rating c USING (person)
 WHERE b.dimension = 'brand' AND c.dimension = 'care'
""",
    sql="""
SELECT brand, care, count(events) AS customers,
       count(events)::double precision / NULLIF(sum(count(events)) OVER (), 0) AS share,
       wilson_lower(count(events), (sum(count(events)) OVER ())::bigint) AS share_lo,
       wilson_upper(count(events), (sum(count(events)) OVER ())::bigint) AS share_hi
  FROM (VALUES ('high'), ('low')) AS b (brand)
 CROSS JOIN (VALUES ('high'), ('low')) AS c (care)
  LEFT JOIN evidence USING (brand, care)
 GROUP BY brand, care
""",
)
