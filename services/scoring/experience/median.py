"""A median and its interval, which order statistics give without regard to the distribution.

The median lies between the j-th value from below and the j-th from above with the probability
1 - 2 P(B < j), B binomial of n and one half (Thompson 1936, Ann. Math. Stat. 7(3)). j is the largest that
leaves 97.5 % on either side; of fewer than six values there is none.
"""

from services.scoring.metric import Column

SAID = "order statistics, 95 % (Thompson 1936); NULL for fewer than 6"


def median_columns(name: str, meaning: str) -> dict[str, Column]:
    return {
        name: Column("double precision", f"{meaning}."),
        f"{name}_lo": Column("double precision", f"Lower bound of {name}: {SAID}."),
        f"{name}_hi": Column("double precision", f"Upper bound of {name}: {SAID}."),
    }


def median_bounds(values: str) -> tuple[str, str]:
    """Of an array in order, as SQL expressions. Beyond its ends an array is NULL."""
    n = f"cardinality({values})"
    # exp refuses what is smaller than a number can be, as below -745: the first of 1,076 values.
    j = f"""(SELECT count(*)::integer
          FROM (SELECT sum(exp(greatest(-700, lgamma({n} + 1.0) - lgamma(i + 1.0) - lgamma({n} - i + 1.0)
                                              - {n} * ln(2::double precision)))) OVER (ORDER BY i) AS below
                  FROM generate_series(0, {n} / 2) AS i) AS tail
         WHERE below <= 0.025)"""  # noqa: S608  # literals
    return f"({values})[{j}]", f"({values})[{n} + 1 - {j}]"
