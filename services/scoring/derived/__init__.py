"""Facts that are made of several facts of one person: the registry, and the moments that they and sums use.

They are queries over fact tables. Everything about the tables that they read is in the question, so that they
are exact as of any position, like scores. No rollup has them: another fact of the person, a reference that
turns out to be the same person's, or the passing of time changes what they say. So they are worked out at the
question, and are views in schema bi.
"""

from collections.abc import Iterable

from services.scoring.derived.disconfirmation import disconfirmation
from services.scoring.derived.first_contact import first_contact
from services.scoring.derived.promise import promise
from services.scoring.metric import Derived

DERIVED: tuple[Derived, ...] = (disconfirmation, first_contact, promise)

SUMS = {name: each for derived in DERIVED for name, each in derived.sums.items()}
SCORES_SQL = {name: each for derived in DERIVED for name, each in derived.scores.items()}


def moments(occurred_before: str) -> str:
    """One row with the moments that sums use: $1 tenant, $2 position, and an SQL expression of a timestamptz.

    The horizon is the moment before which all that happened is taken to be known: not after what was asked
    for, nor after the last event was recorded, nor after the last interaction, so that histories that were
    published years later end where they end. An occurred_before of NULL is any.
    """
    return f"""
SELECT coalesce({occurred_before}, 'infinity') AS occurred_before,
       least({occurred_before},
             (SELECT max(occurred_at) + interval '1 microsecond'
                FROM fact_interaction
               WHERE tenant = $1 AND from_position <= $2 AND (to_position IS NULL OR to_position > $2)),
             (SELECT recorded_at + interval '1 microsecond'
                FROM event WHERE tenant = $1 AND position <= $2
               ORDER BY position DESC LIMIT 1)) AS horizon
"""  # noqa: S608  # a literal of this package, or the place of an argument


def of_sums(names: Iterable[str]) -> tuple[Derived, ...]:
    """Those that any of these sums is of."""
    wanted = set(names)
    return tuple(each for each in DERIVED if wanted & set(each.sums))
