"""What is measured of the journal as it is stored."""

from services.chassis.measures import Gauge, Measures
from services.chassis.postgres import Pool

# In one statement, so of one moment. The last position comes from its index.
STATEMENT = """
SELECT head.position,
       head.position - coalesce((SELECT max(notification_id) FROM journal.stored_events), 0) AS missing,
       CASE WHEN $1 THEN greatest(0, head.position - recovery.position) END AS recovery_lag
  FROM journal.head, journal.recovery_progress AS recovery
"""
GAUGES = {
    "position": Gauge("touchledger.journal.position", "{position}", "The journal's last position."),
    "missing": Gauge(
        "touchledger.journal.missing",
        "{position}",
        "Positions between the head and the last stored event. Any other number than 0 is an alarm.",
    ),
    "recovery_lag": Gauge(
        "touchledger.recovery.lag", "{event}", "Events that no recovery step was looked for in yet."
    ),
}


def measures(pool: Pool, *, recovery: bool) -> Measures:
    """recovery: whether this process moves recovery cases."""
    return Measures(pool, STATEMENT, GAUGES, recovery)
