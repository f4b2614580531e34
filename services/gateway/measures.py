"""What is measured of what the gateways keep: one database, so each of them tells the same."""

from services.chassis.measures import Gauge, Measures
from services.chassis.postgres import Pool

# Beyond it nobody needs to know how many, and counting takes longer.
DELIVERIES_COUNTED_MAX = 10_000
STATEMENT = """
SELECT coalesce(sum(entries), 0)::bigint AS entries, coalesce(sum(bytes), 0)::bigint AS bytes,
       (SELECT extract(epoch FROM now() - min(received_at))::float8
          FROM gateway.quarantine WHERE status = 'open') AS oldest,
       (SELECT count(*)
          FROM (SELECT FROM gateway.delivery WHERE due_at IS NOT NULL LIMIT $1) AS some_of_it) AS deliveries
  FROM gateway.quarantine_use
"""
GAUGES = {
    "entries": Gauge(
        "touchledger.quarantine.entries", "{event}", "Events that wait for somebody to mend them."
    ),
    "bytes": Gauge("touchledger.quarantine.size", "By", "Their bytes."),
    "oldest": Gauge("touchledger.quarantine.age", "s", "How long the first of them waits."),
    "deliveries": Gauge(
        "touchledger.deliveries.waiting",
        "{delivery}",
        f"Deliveries of webhooks that are not mapped yet, counted up to {DELIVERIES_COUNTED_MAX}.",
    ),
}


def measures(pool: Pool) -> Measures:
    return Measures(pool, STATEMENT, GAUGES, DELIVERIES_COUNTED_MAX)
