"""Which words make a difference: how often service is remarked on, script by script, against a baseline.

The baseline is the script OK where it is used, else the most used one (of equals the first by name). Remarks
are those of figure remarkable, without pending interactions and those of no script; here an interaction
counts once however much is said of it, so that there is a share of each. The difference of two shares has the
hybrid score interval of Newcombe 1998 (Stat. Med. 17:873-890, method 10), made of the two Wilson intervals:

    d - sqrt((p1 - lo1)^2 + (hi2 - p2)^2) .. d + sqrt((hi1 - p1)^2 + (p2 - lo2)^2)

While it contains 0, the script is wallpaper: nobody can tell it from the baseline. Whoever tries many scripts
will find one in twenty that differs by chance.
"""

from services.scoring.experience.figure import Figure, K, kept_back
from services.scoring.experience.remarkable import REMARKED
from services.scoring.metric import Column


def _per_1000(name: str) -> dict[str, Column]:
    said = f"bound of {name}: score interval, 95 % (Wilson 1927)."
    return {
        name: Column("double precision", "The same for each 1000 interactions."),
        f"{name}_lo": Column("double precision", f"Lower {said}"),
        f"{name}_hi": Column("double precision", f"Upper {said}"),
    }


script_difference = Figure(
    name="script_difference",
    version=1,
    question="After which script is service remarked on more often than after the usual one?",
    keys={
        "script": Column("text", "The variant of words or procedure that staff followed."),
        "baseline": Column("text", "The script that it is compared with."),
    },
    columns={
        "interactions": Column("bigint", "Interactions by the script."),
        "remarked": Column("bigint", "Those of them with a remark."),
        **_per_1000("remarked_per_1000"),
        "baseline_interactions": Column("bigint", "Interactions by the baseline."),
        "baseline_remarked": Column("bigint", "Those of them with a remark."),
        **_per_1000("baseline_remarked_per_1000"),
        "difference_per_1000": Column(
            "double precision", "remarked_per_1000 less baseline_remarked_per_1000."
        ),
        "difference_per_1000_lo": Column(
            "double precision",
            "Lower bound of difference_per_1000: hybrid score interval, 95 % (Newcombe 1998).",
        ),
        "difference_per_1000_hi": Column(
            "double precision",
            "Upper bound of difference_per_1000: hybrid score interval, 95 % (Newcombe 1998).",
        ),
        "wallpaper": Column("boolean", "The interval contains 0: no difference is certain."),
        "too_few": Column(
            "boolean",
            "Of one of the two, fewer than 5 known customers, or 1 to 4 members of staff: all about remarks"
            " is NULL.",
        ),
    },
    evidence=f"""
WITH met AS ({REMARKED}), used AS (
  SELECT script, count(*) AS interactions
    FROM met
   WHERE script <> 'none' AND NOT pending
   GROUP BY script
), compared AS (
  SELECT u.script, b.script AS baseline
    FROM used u
   CROSS JOIN (SELECT script FROM used ORDER BY script = 'OK' DESC, interactions DESC, script LIMIT 1) AS b
   WHERE u.script <> b.script
)
SELECT c.script, c.baseline, true AS own, m.person, m.source, m.staff, m.remarks, m.events
  FROM compared c JOIN met m ON m.script = c.script
 WHERE NOT m.pending
UNION ALL
SELECT c.script, c.baseline, false, m.person, m.source, m.staff, m.remarks, m.events
  FROM compared c JOIN met m ON m.script = c.baseline
 WHERE NOT m.pending
""",  # noqa: S608  # literals, here and below
    sql=f"""
WITH told AS (
  SELECT script, baseline, own, count(*) AS n, count(*) FILTER (WHERE remarks > 0) AS k,
         count(DISTINCT person) < {K}
           OR count(DISTINCT (source, staff)) FILTER (WHERE staff IS NOT NULL) BETWEEN 1 AND {K - 1}
           AS too_few
    FROM evidence
   GROUP BY script, baseline, own
), shares AS (
  SELECT o.script, o.baseline, o.n, o.k, b.n AS n2, b.k AS k2, o.too_few OR b.too_few AS too_few,
         o.k::double precision / o.n AS p, wilson_lower(o.k, o.n) AS lo, wilson_upper(o.k, o.n) AS hi,
         b.k::double precision / b.n AS p2, wilson_lower(b.k, b.n) AS lo2, wilson_upper(b.k, b.n) AS hi2
    FROM told o JOIN told b USING (script, baseline)
   WHERE o.own AND NOT b.own
), differences AS (
  SELECT s.*, p - p2 - sqrt((p - lo) * (p - lo) + (hi2 - p2) * (hi2 - p2)) AS d_lo,
         p - p2 + sqrt((hi - p) * (hi - p) + (p2 - lo2) * (p2 - lo2)) AS d_hi
    FROM shares s
)
SELECT script, baseline, n AS interactions, n2 AS baseline_interactions, too_few,
       {kept_back("remarked", "k")},
       {kept_back("baseline_remarked", "k2")},
       {kept_back("remarked_per_1000", "1000 * p")},
       {kept_back("remarked_per_1000_lo", "1000 * lo")}, {kept_back("remarked_per_1000_hi", "1000 * hi")},
       {kept_back("baseline_remarked_per_1000", "1000 * p2")},
       {kept_back("baseline_remarked_per_1000_lo", "1000 * lo2")},
       {kept_back("baseline_remarked_per_1000_hi", "1000 * hi2")},
       {kept_back("difference_per_1000", "1000 * (p - p2)")},
       {kept_back("difference_per_1000_lo", "1000 * d_lo")},
       {kept_back("difference_per_1000_hi", "1000 * d_hi")},
       {kept_back("wallpaper", "d_lo <= 0 AND d_hi >= 0")}
  FROM differences
""",  # noqa: S608
)
