"""Facts that are made of several facts of one customer: the registry, and the scores of them.

They are queries over fact tables. Everything about the tables that they read is in the question, so that they
are exact as of any position, like scores.
"""

from collections.abc import Sequence

from services.scoring.derived.disconfirmation import disconfirmation
from services.scoring.derived.first_contact import first_contact
from services.scoring.derived.promise import promise
from services.scoring.metric import Derived

DERIVED: tuple[Derived, ...] = (disconfirmation, first_contact, promise)

# $1 tenant, $2 position, $4 occurred before (NULL for any). The horizon is the moment before which all that
# happened is taken to be known: not after what was asked for, nor after the last event was recorded, nor
# after the last interaction, so that histories that were published years later end where they end.
HORIZON = """
SELECT coalesce($4::timestamptz, 'infinity') AS occurred_before,
       least($4::timestamptz,
             (SELECT max(occurred_at) + interval '1 microsecond'
                FROM fact_interaction
               WHERE tenant = $1 AND from_position <= $2 AND (to_position IS NULL OR to_position > $2)),
             (SELECT recorded_at + interval '1 microsecond'
                FROM event WHERE tenant = $1 AND position <= $2
               ORDER BY position DESC LIMIT 1)) AS horizon
"""


def scores(derived: Derived, groups: Sequence[str] = ()) -> str:
    """The sums and scores, by some columns: $1 tenant, $2 position, $3 customers, $4 occurred before."""
    keys = "".join(f"{group}, " for group in groups)
    grouped = f" GROUP BY {', '.join(groups)}" if groups else ""
    summed = ", ".join(f"{each.sql} AS {name}" for name, each in derived.sums.items())
    scored = ", ".join(f"{each.sql} AS {name}" for name, each in derived.scores.items())
    return f"""
WITH facts AS ({derived.sql}), moments AS MATERIALIZED ({HORIZON}), sums AS (
  SELECT {keys}{summed} FROM facts CROSS JOIN moments WHERE occurred_at < occurred_before{grouped}
)
SELECT {keys}{", ".join(derived.sums)}, {scored} FROM sums
"""  # noqa: S608  # literals of DERIVED and names of columns
