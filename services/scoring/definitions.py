"""What the catalogue decided about touchpoints: dim_touchpoint and dim_service_standard, as it stands now,
and each declaration that ever stood, for questions of earlier positions.

The decisions are the touchpoint service's: JSON as the eventsourcing library writes it, whose keys are
promised by the topics (tests/contract/golden/decisions.json).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import structlog

from services.chassis.postgres import Connection
from services.scoring.facts import Decision

log = structlog.get_logger()

REGISTERED = "touchledger.touchpoint_definition.registered.v1"
RETIRED = "touchledger.touchpoint_definition.retired.v1"

NAME_STREAM = """
INSERT INTO definition_stream (stream_id, tenant, touchpoint) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""
NAMED = "SELECT tenant, touchpoint FROM definition_stream WHERE stream_id = $1"
NEW = """
INSERT INTO dim_touchpoint AS t (tenant, touchpoint, first_position) VALUES ($1, $2, $3)
ON CONFLICT (tenant, touchpoint) DO UPDATE SET first_position = EXCLUDED.first_position
 WHERE EXCLUDED.first_position < t.first_position
"""
STANDS = (
    "SELECT owner, stage, channel, weight FROM dim_touchpoint WHERE tenant = $1 AND touchpoint = $2"
)
CHANGE = """
UPDATE dim_touchpoint
   SET owner = $3, stage = $4, channel = $5, weight = $6, retired = $7, definition_position = $8
 WHERE tenant = $1 AND touchpoint = $2
"""
STANDARD_TIMES = """
UPDATE dim_touchpoint SET wait_seconds_max = $3, answer_seconds_max = $4, resolve_seconds_max = $5
 WHERE tenant = $1 AND touchpoint = $2
"""
FORGET_ANSWERS = "DELETE FROM dim_service_standard WHERE tenant = $1 AND touchpoint = $2"
STANDARD_ANSWER = """
INSERT INTO dim_service_standard
    (tenant, touchpoint, metric, dimension, value, scale_min, scale_max, higher_is_better)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant, touchpoint, metric, dimension) DO UPDATE
   SET value = EXCLUDED.value, scale_min = EXCLUDED.scale_min, scale_max = EXCLUDED.scale_max,
       higher_is_better = EXCLUDED.higher_is_better
"""
END_DECLARATION = """
UPDATE touchpoint_declaration SET to_position = $3
 WHERE tenant = $1 AND touchpoint = $2 AND to_position IS NULL
"""
# All that stands now. A standard stays that of the decision that said it.
DECLARE = """
INSERT INTO touchpoint_declaration
    (tenant, touchpoint, from_position, declared_at, owner, stage, channel, weight, wait_seconds_max,
     answer_seconds_max, resolve_seconds_max, standard_position, retired)
SELECT t.tenant, t.touchpoint, $3::bigint, $4, t.owner, t.stage, t.channel, t.weight, t.wait_seconds_max,
       t.answer_seconds_max, t.resolve_seconds_max,
       CASE WHEN $5 THEN $3::bigint ELSE before.standard_position END, t.retired
  FROM dim_touchpoint t
  LEFT JOIN touchpoint_declaration before ON before.tenant = t.tenant AND before.touchpoint = t.touchpoint
                                         AND before.to_position = $3::bigint
 WHERE t.tenant = $1 AND t.touchpoint = $2
"""
DECLARE_ANSWERS = """
INSERT INTO standard_declaration
    (tenant, touchpoint, position, metric, dimension, value, scale_min, scale_max, higher_is_better)
SELECT tenant, touchpoint, $3::bigint, metric, dimension, value, scale_min, scale_max, higher_is_better
  FROM dim_service_standard
 WHERE tenant = $1 AND touchpoint = $2
"""
OVERALL = "overall"


async def define(tx: Connection, decisions: Sequence[Decision]) -> None:
    """In their order; there are a few a day. One that can't be read changes nothing."""
    for decision in decisions:
        try:
            said = json.loads(decision.state)
            await _apply(tx, decision, said)
        except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation) as error:
            log.error("no definition", position=decision.position, error=type(error).__name__)


async def _apply(tx: Connection, decision: Decision, said: Mapping[str, Any]) -> None:
    answers, times = _standard(said.get("expectation") or {})
    changes = _changes(said)
    declared_at = datetime.fromisoformat(said["timestamp"]["_data_"])
    standard_said = "expectation" in said
    if decision.topic == REGISTERED:
        await tx.execute(NAME_STREAM, decision.stream_id, decision.tenant, said["touchpoint"])
    named = await tx.fetchrow(NAMED, decision.stream_id)
    if named is None:
        log.error("decision about an unknown definition", position=decision.position)
        return
    key = (named["tenant"], named["touchpoint"])
    await tx.execute(NEW, *key, decision.position)
    stands = await tx.fetchrow(STANDS, *key)
    assert stands is not None, "NEW has made it"
    # What a decision does not say stays.
    now = {**stands, **changes}
    await tx.execute(CHANGE, *key, *now.values(), decision.topic == RETIRED, decision.position)
    if standard_said:
        await tx.execute(STANDARD_TIMES, *key, *times)
        await tx.execute(FORGET_ANSWERS, *key)
        for answer in answers:
            await tx.execute(STANDARD_ANSWER, *key, *answer)
    await tx.execute(END_DECLARATION, *key, decision.position)
    await tx.execute(DECLARE, *key, decision.position, declared_at, standard_said)
    if standard_said:
        await tx.execute(DECLARE_ANSWERS, *key, decision.position)


def _changes(said: Mapping[str, Any]) -> dict[str, Any]:
    """Of the columns that STANDS reads."""
    changes: dict[str, Any] = {}
    if "owner" in said:
        changes["owner"] = said["owner"] or None
    for name, prefix in (("stage", "STAGE_"), ("channel", "CHANNEL_")):
        if name in said:
            changes[name] = _word(said[name], prefix)
    if "weight" in said:
        changes["weight"] = Decimal(said["weight"]) if said["weight"] else None
    return changes


def _standard(expectation: Mapping[str, Any]) -> tuple[list[list[Any]], list[Decimal | None]]:
    """The rows of answers, and the times: wait, answer, resolve."""
    answers = [
        [
            _word(each["metric"], "METRIC_"),
            each.get("dimension") or OVERALL,
            Decimal(each["value"]),
            Decimal(each["scale_min"]),
            Decimal(each["scale_max"]),
            each["direction"] == "DIRECTION_HIGHER_IS_BETTER",
        ]
        for each in expectation.get("answers", ())
    ]
    times = [
        Decimal(expectation[name].removesuffix("s")) if name in expectation else None
        for name in ("wait_within", "answer_within", "resolve_within")
    ]
    return answers, times


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()
