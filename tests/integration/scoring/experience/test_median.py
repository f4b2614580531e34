"""The interval of a median, of however many values."""

from math import comb

import pytest

from services.chassis.postgres import Pool
from services.scoring.experience.median import median_bounds

LOWER, UPPER = median_bounds("series")
BOUNDS = f"""
SELECT {LOWER}, {UPPER}
  FROM (SELECT array_agg(i::double precision ORDER BY i) AS series FROM generate_series(1, $1::integer) AS i)
"""


# exp ends at 1,075 values: what is smaller than a number can be, PostgreSQL refuses.
@pytest.mark.parametrize("n", [1, 5, 6, 7, 8, 9, 25, 200, 1074, 1076, 1200, 5000])
async def test_it_leaves_two_and_a_half_percent_on_either_side(scoring_pool: Pool, n: int) -> None:
    ways, j = 1, 0
    while 40 * ways <= 2**n:
        j += 1
        ways += comb(n, j)
    expected = (float(j), float(n + 1 - j)) if j else (None, None)
    [found] = await scoring_pool.fetch(BOUNDS, n)
    assert expected == tuple(found)
