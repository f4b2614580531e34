"""What was decided about recovery cases: case_decision, a row for each decision.

The decisions are the touchpoint service's: JSON as the eventsourcing library writes it, whose keys are
promised by the topics (tests/contract/golden/decisions.json).
"""

import json
from collections.abc import Sequence
from datetime import datetime

import structlog

from services.chassis.postgres import Connection
from services.scoring.facts import CASES, Decision

log = structlog.get_logger()

# Who decides what events ask for. No source of a key is called touchledger, so nobody else is.
BY_EVENTS = "touchledger/recovery"
OPENED = f"{CASES}opened.v1"
# How it is called in the table.
DECISIONS = {
    OPENED: "opened",
    f"{CASES}acknowledged.v1": "acknowledged",
    f"{CASES}remedied.v1": "remedied",
    f"{CASES}remedy_retracted.v1": "remedy_retracted",
    f"{CASES}goodwill_given.v1": "goodwill_given",
    f"{CASES}closed.v1": "closed",
    f"{CASES}reopened.v1": "reopened",
}
NAME_STREAMS = """
INSERT INTO case_stream (stream_id, case_id)
SELECT * FROM unnest($1::bytea[], $2::text[]) ON CONFLICT DO NOTHING
"""
NOTE = """
INSERT INTO case_decision
    (tenant, position, case_id, decision, decided_at, touchpoint, customer, correlation_id, severity,
     failure_source, failure_event_id, result, reason, of_event)
SELECT d.tenant, d.position, s.case_id, d.decision, d.decided_at, d.touchpoint, d.customer, d.correlation_id,
       d.severity, d.failure_source, d.failure_event_id, d.result, d.reason, d.of_event
  FROM unnest($1::bytea[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[], $6::text[], $7::text[],
              $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::boolean[])
       AS d (stream_id, tenant, position, decision, decided_at, touchpoint, customer, correlation_id,
             severity, failure_source, failure_event_id, result, reason, of_event)
  JOIN case_stream s USING (stream_id)
"""


async def note(tx: Connection, decisions: Sequence[Decision]) -> None:
    """One that can't be read changes nothing."""
    named, rows = list[tuple[bytes, str]](), list[tuple[object, ...]]()
    for decision in decisions:
        try:
            name, row = _read(decision)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.error("no case decision", position=decision.position, error=type(error).__name__)
            continue
        rows.append(row)
        if name is not None:
            named.append((decision.stream_id, name))
    if named:
        await tx.execute(NAME_STREAMS, *zip(*named, strict=True))
    if rows:
        await tx.execute(NOTE, *zip(*rows, strict=True))


def _read(decision: Decision) -> tuple[str | None, tuple[object, ...]]:
    """The case's name, where it is told, and a row."""
    said = json.loads(decision.state)
    failure = said.get("failure") or {}
    row = (
        decision.stream_id,
        decision.tenant,
        decision.position,
        DECISIONS[decision.topic],
        datetime.fromisoformat(said["timestamp"]["_data_"]),
        _text(said.get("touchpoint")),
        _text(said.get("customer")),
        _text(said.get("correlation_id")),
        _word(said.get("severity"), "SEVERITY_"),
        _text(failure.get("source")),
        _text(failure.get("event_id")),
        _word(said.get("result"), "RECOVERY_RESULT_"),
        _text(said.get("reason")),
        said.get("decided_by") == BY_EVENTS,
    )
    return str(said["case_id"]) if decision.topic == OPENED else None, row


def _text(given: str | None) -> str | None:
    if given is not None and not isinstance(given, str):
        raise TypeError
    return given or None


def _word(name: str | None, prefix: str) -> str | None:
    text = _text(name)
    return text.removeprefix(prefix).lower() if text else None
