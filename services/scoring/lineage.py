"""GetLineage: the events behind a cell. Projected alone, they give the same cell."""

import asyncpg

from services.scoring import formulas, question
from services.scoring.answers import Answers, Snapshot
from services.scoring.attributes import known_at
from services.scoring.question import SUMS_OF, Cell
from services.scoring.score_query import Arguments, At, Facts, Way
from touchledger.v1 import scoring_pb2 as pb

# A correction that came after its event is where the fact begins. One that came before it is known only by
# what it amends; all of these are told, as the last of them counts.
AMENDING = """
SELECT from_position AS position, {amendment} AS role FROM {facts} WHERE from_position > event_position
UNION
SELECT a.position, {amendment}
  FROM {facts} AS c
  JOIN event e ON e.tenant = {tenant} AND e.position = c.event_position
  JOIN amendment a ON a.tenant = e.tenant AND a.target_source = e.source AND a.target_event_id = e.event_id
                  AND a.position < e.position
 WHERE c.from_position = c.event_position
"""
# What decides where a fact belongs: see attributes.CUSTOMERS and attributes.STAFF.
PROFILES = {
    "generation": """
SELECT f.event_position, f.from_position FROM fact_customer_profile AS f
 WHERE f.tenant = {tenant} AND {known} AND f.birth_year_from IS NOT NULL AND f.segment_index = 0
   AND f.customer IN (SELECT customer FROM counted)
""",
    "staff_group": """
SELECT f.event_position, f.from_position FROM fact_staff_profile AS f
 WHERE f.tenant = {tenant} AND {known} AND (f.source, f.staff) IN (SELECT source, staff FROM counted)
""",
}
COUNTED = "SELECT count(DISTINCT event_position) FROM counted"
EVENTS = """
SELECT e.position, e.source, e.event_id, e.topic, e.occurred_at, e.recorded_at, l.role
  FROM (SELECT position, min(role) AS role FROM listed GROUP BY position) AS l
  JOIN event e ON e.tenant = {tenant} AND e.position = l.position
 WHERE l.position > {after}
 ORDER BY l.position
 LIMIT {limit}
"""


async def get_lineage(
    answers: Answers, tenant: str, request: pb.GetLineageRequest
) -> pb.GetLineageResponse:
    cell, sums = question.cell(request), _sums(request)
    # The position of the last event of the page before.
    page = question.page(request, size_max=question.PAGE_SIZE_MAX, keys=1)
    after = question.count(page.after)
    async with answers.snapshot(tenant, request, position=page.position) as snapshot:
        here = cell.in_zone(snapshot.zone)
        [[counted]] = await snapshot.fetch(*_counted(snapshot, here, sums))
        rows = await snapshot.fetch(
            *_events(snapshot, here, sums, after=after, limit=page.size + 1)
        )
    more = len(rows) > page.size
    last = [rows[page.size - 1]["position"]] if more else []
    return pb.GetLineageResponse(
        events=map(event_of, rows[: page.size]),
        counted=counted,
        as_of_position=snapshot.as_of,
        reporting_zone=snapshot.zone,
        freshness=snapshot.freshness(),
        next_page_token=question.next_page(request, snapshot.position, last) if more else "",
    )


def _sums(request: pb.GetLineageRequest) -> set[str]:
    """Those that an event must add to; nothing named is all that there is."""
    question.check_single(request.names, "names")
    question.names(request.names)
    named = set(request.names)
    return {
        name
        for name in formulas.SUMS
        if name in named or any(name in SUMS_OF.get(each, ()) for each in named)
    }


def _with(snapshot: Snapshot, cell: Cell, sums: set[str], arguments: Arguments) -> str:
    at = At(snapshot.tenant, snapshot.position, Way.SCAN)
    facts = Facts(at, (), cell, (), arguments)
    known = known_at(arguments(snapshot.position, "bigint"))
    parts = []
    for table in formulas.SUMMED:
        own = [sql for name, sql in formulas.sums_of(table).items() if name in sums]
        if sums and not own:
            continue
        adds = f" HAVING {' OR '.join(f'({sql}) <> 0' for sql in own)}" if sums else ""
        parts.append(
            "SELECT event_position, from_position, customer, source, staff"  # noqa: S608  # literals alone
            f" FROM {facts.of(table, known)}"
            f" GROUP BY event_position, from_position, customer, source, staff{adds}"
        )
    tenant = arguments(snapshot.tenant, "text")
    texts = [f"counted AS ({' UNION ALL '.join(parts)})"]
    role = pb.LINEAGE_ROLE_COUNTED
    listed = [f"SELECT event_position AS position, {role} AS role FROM counted"]  # noqa: S608  # as above
    named = ["counted"]
    for name, text in PROFILES.items():
        if name in cell.only:
            texts.append(f"of_{name} AS ({text.format(tenant=tenant, known=known)})")
            listed.append(
                f"SELECT event_position, {pb.LINEAGE_ROLE_PROFILE} FROM of_{name}"  # noqa: S608  # as above
            )
            named.append(f"of_{name}")
    listed += [
        AMENDING.format(facts=each, tenant=tenant, amendment=pb.LINEAGE_ROLE_AMENDMENT)
        for each in named
    ]
    return f"WITH {', '.join(texts)}, listed AS ({' UNION ALL '.join(listed)})"


def _counted(snapshot: Snapshot, cell: Cell, sums: set[str]) -> tuple[str, Arguments]:
    arguments = Arguments()
    return _with(snapshot, cell, sums, arguments) + COUNTED, arguments


def _events(
    snapshot: Snapshot, cell: Cell, sums: set[str], *, after: int, limit: int
) -> tuple[str, Arguments]:
    arguments = Arguments()
    text = _with(snapshot, cell, sums, arguments) + EVENTS.format(
        tenant=arguments(snapshot.tenant, "text"),
        after=arguments(after, "bigint"),
        limit=arguments(limit, "bigint"),
    )
    return text, arguments


def event_of(row: asyncpg.Record) -> pb.LineageEvent:
    return pb.LineageEvent(
        source=row["source"],
        event_id=row["event_id"],
        position=row["position"],
        topic=row["topic"],
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
        role=row["role"],
    )
