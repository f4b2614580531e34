"""First-contact resolution in both usual definitions, which differ widely on real tickets, with censoring.

A contact is an interaction at the stage service of a customer whom the source names. Contacts of one
person, under whatever reference, about one issue (the same correlation id; where there is none, the same
touchpoint) are one episode while each comes within seven days of the one before. One row for each episode,
with what its first contact says.

* No repeat contact: episodes without a second contact, among all.
* Resolution: episodes without transfer and without a contact after the one that solved it, among those that
  were solved (outcome resolved or completed).

Whether a contact of the last days stays the only one is not known yet. So an episode counts when the seven
days after its first contact (its solution) have passed by the horizon, whatever is known before; until then
it is pending. To count those that have failed already, and leave out those that may still fail, would bias
the last week.
"""

from services.scoring.identity import WITH_PEOPLE
from services.scoring.metric import Column, Derived, Sum, share

# The usual window. In hours: days would change with the session's zone where clocks are put forward.
WINDOW = "interval '168 hours'"

SQL = f"""
{WITH_PEOPLE}, contact AS (
  SELECT f.*, coalesce(p.person, f.customer) AS person, f.outcome IN ('resolved', 'completed') AS solved,
         CASE WHEN f.correlation_id IS NULL THEN f.touchpoint END AS touchpoint_of_issue
    FROM fact_interaction f
    LEFT JOIN people p ON p.customer = f.customer
   WHERE f.tenant = $1 AND f.from_position <= $2 AND (f.to_position IS NULL OR f.to_position > $2)
     AND f.customer IS NOT NULL AND f.stage = 'service'
), ordered AS (
  SELECT *, row_number() OVER issue AS place,
         (occurred_at < lag(occurred_at) OVER issue + {WINDOW}) IS NOT TRUE AS is_first
    FROM contact
  WINDOW issue AS (PARTITION BY person, correlation_id, touchpoint_of_issue
                       ORDER BY occurred_at, event_position)
), numbered AS (
  SELECT *, count(*) FILTER (WHERE is_first) OVER (PARTITION BY person, correlation_id, touchpoint_of_issue
                                                       ORDER BY place) AS episode
    FROM ordered
), told AS (
  SELECT *, count(*) OVER whole AS contacts,
         min(occurred_at) FILTER (WHERE NOT is_first) OVER whole AS repeated_at,
         min(occurred_at) FILTER (WHERE solved) OVER whole AS solved_at,
         min(place) FILTER (WHERE solved) OVER whole < max(place) OVER whole AS reopened,
         count(*) FILTER (WHERE outcome = 'transferred') OVER whole AS transfers
    FROM numbered
  WINDOW whole AS (PARTITION BY person, correlation_id, touchpoint_of_issue, episode)
)
SELECT tenant, event_position, occurred_at, occurred_date, reporting_date, touchpoint, stage, channel,
       service_mode, store, source, staff, customer, correlation_id,
       contacts, repeated_at, solved_at, reopened, transfers
  FROM told
 WHERE is_first
"""  # noqa: S608  # a constant of this module
SETTLED = f"occurred_at + {WINDOW} <= horizon"
SETTLED_SOLUTION = f"solved_at + {WINDOW} <= horizon"

first_contact = Derived(
    name="first_contact",
    version=1,
    sql=SQL,
    columns={
        "contacts": Column("bigint", "Contacts of the episode that are known."),
        "repeated_at": Column(
            "timestamptz", "When the second contact was; NULL when there is none."
        ),
        "solved_at": Column(
            "timestamptz", "When the first contact was that ended resolved or completed."
        ),
        "reopened": Column(
            "boolean", "There is a contact after the one that solved it; NULL when none did."
        ),
        "transfers": Column("bigint", "Contacts that ended with a transfer."),
    },
    meaning="A service episode: contacts of one person about one issue, with its first contact.",
    sums={
        "episodes": Sum(
            f"count(*) FILTER (WHERE {SETTLED})",
            "Service episodes whose first contact was seven days ago or more.",
        ),
        "episodes_unrepeated": Sum(
            f"count(*) FILTER (WHERE {SETTLED} AND repeated_at IS NULL)",
            "Those without a second contact within seven days.",
        ),
        "episodes_pending": Sum(
            f"count(*) FILTER (WHERE NOT {SETTLED})",
            "Service episodes whose first contact was less than seven days ago, in no score yet.",
        ),
        "episodes_solved": Sum(
            f"count(*) FILTER (WHERE {SETTLED_SOLUTION})",
            "Service episodes that were solved seven days ago or more.",
        ),
        "episodes_solved_at_once": Sum(
            f"count(*) FILTER (WHERE {SETTLED_SOLUTION} AND transfers = 0 AND NOT reopened)",
            "Those without transfer and without a contact after the solution within seven days.",
        ),
        "episodes_solved_pending": Sum(
            f"count(*) FILTER (WHERE solved_at < occurred_before AND NOT {SETTLED_SOLUTION})",
            "Service episodes that were solved less than seven days ago, in no score yet.",
        ),
    },
    scores={
        **share(
            *("fcr_no_repeat", "episodes_unrepeated", "episodes"),
            "First-contact resolution as share of episodes without a second contact within seven days"
            " (SQM)",
        ),
        **share(
            *("fcr_resolution", "episodes_solved_at_once", "episodes_solved"),
            "First-contact resolution as share of solved episodes without transfer and reopening (ICMI)",
        ),
    },
)
