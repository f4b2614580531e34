"""GetJourney: everything about one person, under whatever reference, in the order in which it occurred.

Phases are by the rule of figure phase, over what this person did: what others did on the same correlation id
is not told here, so a purchase of theirs makes no phase either. There it does, since a journey is everybody's
who took part. Nor has an answer the phase of what it is about here, but that of its own moment, in the order
in which things occurred.
"""

import json

import asyncpg

from services.chassis.errors import Malformed
from services.scoring import question
from services.scoring.answers import Answers, Snapshot
from services.scoring.attributes import known_at
from services.scoring.facts import FACT_COLUMNS, TABLES
from services.scoring.identity import REFERENCES
from services.scoring.question import Cell
from services.scoring.score_query import Arguments, in_time
from touchledger.v1 import scoring_pb2 as pb

CORRELATION_CHARACTERS_MAX = 128
# What tells the rows of one event apart.
INDEXES = {
    "fact_feedback": "signal_index",
    "fact_customer_profile": "segment_index",
    "fact_assessment": "signal_index",
    "fact_advice": "option_index",
}
# An interaction at the stage of purchase that came to something.
PURCHASED = "f.stage = 'purchase' AND f.outcome NOT IN ('abandoned', 'failed')"
FACTS = """
SELECT '{table}' AS fact_table, f.event_position, f.from_position, f.occurred_at, f.reporting_date,
       f.touchpoint, f.stage, f.channel, f.service_mode, f.store, f.source, f.correlation_id,
       {index} AS row_index, {purchase} AS purchase,
       (SELECT jsonb_object_agg(key, value)::text
          FROM jsonb_each_text(to_jsonb(f) - {shared}) WHERE value IS NOT NULL) AS details
  FROM {table} AS f
 WHERE {where}
"""
# As an array, so that each table is searched by its index.
OF_PERSON = "f.customer = ANY (ARRAY(SELECT customer FROM reference))"
# A purchase is judged over all that the person did, whatever the question leaves out.
JOURNEY = """
WITH RECURSIVE {reference}, purchase AS (
  SELECT f.correlation_id, f.occurred_at, f.event_position
    FROM fact_interaction AS f WHERE {of_customer} AND {purchased}
), first_of AS (
  SELECT DISTINCT ON (correlation_id) correlation_id, occurred_at, event_position
    FROM purchase ORDER BY correlation_id, occurred_at, event_position
), last_of AS (
  SELECT DISTINCT ON (correlation_id) correlation_id, occurred_at, event_position
    FROM purchase ORDER BY correlation_id, occurred_at DESC, event_position DESC
), told AS ({facts})
SELECT told.*, e.event_id,
       CASE WHEN first_of.correlation_id IS NOT NULL THEN
                 CASE WHEN (told.occurred_at, told.event_position)
                           < (first_of.occurred_at, first_of.event_position) THEN 'before'
                      WHEN (told.occurred_at, told.event_position)
                           > (last_of.occurred_at, last_of.event_position) THEN 'after'
                      ELSE 'during' END
            WHEN told.purchase THEN 'during'
            WHEN EXISTS (SELECT FROM purchase p WHERE (p.occurred_at, p.event_position)
                                                      < (told.occurred_at, told.event_position)) THEN 'after'
            ELSE 'before' END AS phase
  FROM told
  JOIN event e ON e.tenant = {tenant} AND e.position = told.event_position
  LEFT JOIN first_of ON first_of.correlation_id = told.correlation_id
  LEFT JOIN last_of ON last_of.correlation_id = told.correlation_id
 ORDER BY told.occurred_at, told.event_position, told.fact_table, told.row_index
 LIMIT {limit} OFFSET {skip}
"""
STAGES = """
WITH RECURSIVE {reference}
SELECT s.stage, count(told.stage) AS facts, min(told.occurred_at) AS first, max(told.occurred_at) AS last
  FROM dim_stage s
  LEFT JOIN ({facts}) AS told ON told.stage = s.stage
 GROUP BY s.stage, s.place
HAVING s.place > 0 OR count(told.stage) > 0
 ORDER BY s.place = 0, s.place
"""


async def get_journey(
    answers: Answers, tenant: str, request: pb.GetJourneyRequest
) -> pb.GetJourneyResponse:
    _check(request)
    # How many facts there were on the pages before: all pages are of one state.
    page = question.page(request, size_max=question.PAGE_SIZE_MAX, keys=1)
    skip = question.count(page.after)
    cell = question.cell(request)
    async with answers.snapshot(tenant, request, position=page.position) as snapshot:
        asked = (request.customer, request.correlation_id, cell.in_zone(snapshot.zone))
        rows = await snapshot.fetch(*_journey(snapshot, *asked, limit=page.size + 1, skip=skip))
        stages = await snapshot.fetch(*_stages(snapshot, *asked))
    more = len(rows) > page.size
    return pb.GetJourneyResponse(
        facts=map(_fact, rows[: page.size]),
        stages=map(_stage, stages),
        as_of_position=snapshot.as_of,
        reporting_zone=snapshot.zone,
        freshness=snapshot.freshness(),
        next_page_token=question.next_page(request, snapshot.position, [skip + page.size])
        if more
        else "",
    )


def _check(request: pb.GetJourneyRequest) -> None:
    if not request.customer:
        raise Malformed("the source's reference of a customer", field="customer", got="nothing")
    question.check_text(request.customer, "customer")
    question.check_text(request.correlation_id, "correlation_id")
    if len(request.correlation_id) > CORRELATION_CHARACTERS_MAX:
        raise Malformed(
            f"at most {CORRELATION_CHARACTERS_MAX} characters",
            field="correlation_id",
            got=f"{len(request.correlation_id)}",
        )


def _journey(
    snapshot: Snapshot, customer: str, correlation_id: str, cell: Cell, *, limit: int, skip: int
) -> tuple[str, Arguments]:
    arguments = Arguments()
    reference = _reference(snapshot, customer, cell, arguments)
    of_customer, facts = _facts(snapshot, correlation_id, cell, arguments)
    text = JOURNEY.format(
        reference=reference,
        of_customer=of_customer,
        purchased=PURCHASED,
        facts=facts,
        tenant=arguments(snapshot.tenant, "text"),
        limit=arguments(limit, "bigint"),
        skip=arguments(skip, "bigint"),
    )
    return text, arguments


def _stages(
    snapshot: Snapshot, customer: str, correlation_id: str, cell: Cell
) -> tuple[str, Arguments]:
    arguments = Arguments()
    reference = _reference(snapshot, customer, cell, arguments)
    _, facts = _facts(snapshot, correlation_id, cell, arguments)
    return STAGES.format(reference=reference, facts=facts), arguments


def _reference(snapshot: Snapshot, customer: str, cell: Cell, arguments: Arguments) -> str:
    """Every reference of the person, as known then, by what was said before the moment that is asked for."""
    where = [
        f"f.tenant = {arguments(snapshot.tenant, 'text')}",
        known_at(arguments(snapshot.position, "bigint")),
        *in_time(Cell(occurred_before=cell.occurred_before), arguments),
    ]
    text = REFERENCES.format(customer=arguments(customer, "text"), where=" AND ".join(where))
    return f"reference AS ({text})"


def _facts(
    snapshot: Snapshot, correlation_id: str, cell: Cell, arguments: Arguments
) -> tuple[str, str]:
    """The condition for being of the person, and the facts that are asked for."""
    of_customer = (
        f"f.tenant = {arguments(snapshot.tenant, 'text')} AND {OF_PERSON}"
        f" AND {known_at(arguments(snapshot.position, 'bigint'))}"
    )
    where = [of_customer, *in_time(cell, arguments)]
    if correlation_id:
        where.append(f"f.correlation_id = {arguments(correlation_id, 'text')}")
    shared = arguments(list(FACT_COLUMNS), "text[]")
    facts = "\nUNION ALL".join(
        FACTS.format(
            table=table,
            index=f"f.{INDEXES[table]}" if table in INDEXES else "0",
            purchase=f"({PURCHASED})" if table == "fact_interaction" else "false",
            shared=shared,
            where=" AND ".join(where),
        )
        for table in TABLES
    )
    return of_customer, facts


def _fact(row: asyncpg.Record) -> pb.JourneyFact:
    return pb.JourneyFact(
        table=row["fact_table"],
        source=row["source"],
        event_id=row["event_id"],
        position=row["event_position"],
        from_position=row["from_position"],
        occurred_at=row["occurred_at"],
        reporting_date=row["reporting_date"].isoformat(),
        touchpoint=row["touchpoint"],
        stage=row["stage"],
        channel=row["channel"],
        service_mode=row["service_mode"],
        store=row["store"],
        correlation_id=row["correlation_id"] or "",
        phase=row["phase"],
        details=json.loads(row["details"] or "{}"),
    )


def _stage(row: asyncpg.Record) -> pb.JourneyStage:
    return pb.JourneyStage(
        stage=row["stage"],
        facts=row["facts"],
        first_occurred_at=row["first"],
        last_occurred_at=row["last"],
    )
