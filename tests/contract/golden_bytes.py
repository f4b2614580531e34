"""The bytes that messages had when they were first written down: they must mean the same for ever.

`python -m tests.contract.golden_bytes` adds what is missing and changes nothing that is there. A message that
has got a field since is added once more, as NAME#2 and so on: who has not been updated still sends the first,
and a journal holds it for good.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from eventsourcing.domain import CanMutateAggregate
from eventsourcing.utils import get_topic
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway import encoding
from services.gateway.access import Caller
from services.gateway.checks import Good, checked
from services.gateway.encoding import Intakes, conceal
from services.gateway.keyring import Keyring
from services.touchpoint.decisions.decided import Command
from services.touchpoint.decisions.decisions import stream_id
from services.touchpoint.decisions.recovery_case import RecoveryCase
from services.touchpoint.decisions.stored import entries
from services.touchpoint.decisions.touchpoint_definition import TouchpointDefinition
from services.touchpoint.identity import originator_ids
from services.touchpoint.row import Entry
from tests.support.events import of_every_body
from touchledger.v1 import (  # noqa: F401  # importing them fills the pool
    alerts_pb2,
    cases_pb2,
    catalog_pb2,
    events_pb2,
    experience_pb2,
    ingest_pb2,
    journal_pb2,
    keys_pb2,
    problem_pb2,
    projections_pb2,
    quarantine_pb2,
    scoring_pb2,
    webhooks_pb2,
)
from touchledger.v1.journal_pb2 import AppendRequest

# Hex, or a dict of hex.
Written = TypeVar("Written")
FOLDER = Path(__file__).parent / "golden"
FILES = (
    *("alerts", "cases", "catalog", "events", "experience", "ingest", "journal", "keys", "problem"),
    *("projections", "quarantine", "scoring", "webhooks"),
)
CALLER = Caller("tenant-1", "till", frozenset(), trust=events_pb2.TRUST_UNSPECIFIED)
KEYRING = Keyring(bytes(range(32)))
DECIDED_AT = datetime(2026, 8, 3, 10, 15, 30, 250_000, tzinfo=UTC)
DEFINITION = {
    "touchpoint": "store.checkout",
    "stage": "STAGE_PURCHASE",
    "channel": "CHANNEL_STORE",
    "owner": "Store operations",
    "weight": "0.25",
    "expectation": {
        "answers": [
            {
                "metric": "METRIC_CSAT",
                "value": "4.5",
                "scale_min": "1",
                "scale_max": "5",
                "direction": "DIRECTION_HIGHER_IS_BETTER",
                "dimension": "empathy",
            }
        ],
        "wait_within": "120s",
        "answer_within": "2.500s",
        "resolve_within": "86400s",
    },
}
OPENING = {
    "case_id": "case-1",
    "touchpoint": "store.checkout",
    "customer": "0123456789abcdef0123456789abcdef",
    "severity": "SEVERITY_MAJOR",
    "correlation_id": "order-17",
    "failure": {"source": "till", "event_id": "event-17"},
    "assignee": "staff-8",
}


def messages() -> Iterator[tuple[str, Message]]:
    """Each message with every field filled, once for each choice of its oneofs, under a name of its own."""
    pool = descriptor_pool.Default()
    for name in FILES:
        file = pool.FindFileByName(f"touchledger/v1/{name}.proto")
        for descriptor in file.message_types_by_name.values():
            choices = [each.name for oneof in _oneofs(descriptor) for each in oneof.fields]
            for choice in choices or [""]:
                label = f"{descriptor.full_name}/{choice}".rstrip("/")
                yield label, filled(descriptor, choice)


def _oneofs(descriptor: Descriptor) -> list:  # type: ignore[type-arg]  # the descriptor types are private
    # An `optional` field is a oneof of its own on the wire, and no choice.
    return [each for each in descriptor.oneofs if not each.name.startswith("_")]


def filled(descriptor: Descriptor, choice: str = "", depth: int = 0) -> Message:
    """The same value for the same field, always."""
    made = message_factory.GetMessageClass(descriptor)()
    picked = {}
    for oneof in _oneofs(descriptor):
        names = [each.name for each in oneof.fields]
        picked[oneof.name] = choice if choice in names else names[0]
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if oneof is not None and oneof.name in picked and picked[oneof.name] != field.name:
            continue
        _fill(made, field, depth)
    return made


def _fill(made: Message, field: FieldDescriptor, depth: int) -> None:
    if field.message_type and field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        getattr(made, field.name)["key"] = _scalar(value)
    elif field.message_type:
        inner = filled(field.message_type, depth=depth + 1)
        if field.is_repeated:
            getattr(made, field.name).append(inner)
        else:
            getattr(made, field.name).CopyFrom(inner)
    elif field.is_repeated:
        getattr(made, field.name).append(_scalar(field))
    else:
        setattr(made, field.name, _scalar(field))


def _scalar(field: FieldDescriptor) -> object:
    if field.enum_type:
        return field.enum_type.values[-1].number
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            bytes_ = field.type == FieldDescriptor.TYPE_BYTES
            return field.name.encode() if bytes_ else f"{field.name} ü"
        case FieldDescriptor.CPPTYPE_BOOL:
            return True
        case FieldDescriptor.CPPTYPE_DOUBLE:
            return 0.1 * field.number
        case _:
            return 100 + field.number


def stored() -> Iterator[tuple[str, dict[str, str]]]:
    """What the journal holds of a full event of each body, and of one with an intake."""
    for kind, event in of_every_body().items():
        yield kind, _stored(event, CALLER, received_after_seconds=0)
    audited = replace(CALLER, trust=events_pb2.TRUST_AUDITED)
    event = of_every_body()["interaction"]
    yield (
        "interaction with intake",
        _stored(event, audited, received_after_seconds=90_000, adapter="square.v1"),
    )


def _stored(
    event: events_pb2.Event, caller: Caller, *, received_after_seconds: int, adapter: str = ""
) -> dict[str, str]:
    """The source's clock stood still in between, which is corrected."""
    received_at = Timestamp(seconds=event.occurred_at.seconds + received_after_seconds)
    good = checked(event)
    assert isinstance(good, Good), good
    conceal(good, caller.tenant, KEYRING)
    intakes = Intakes(caller.trust, adapter, received_at, event.occurred_at)
    encoded = encoding.entries(good, caller.tenant, KEYRING, intakes)
    [entry] = AppendRequest.FromString(encoded).entries
    [derived] = originator_ids(caller.tenant, caller.source, [entry.event_id])
    return {
        "originator_id": str(UUID(bytes=derived)),
        "topic": entry.topic,
        "state": entry.event.hex(),
        "content_digest": entry.content_digest.hex(),
    }


def decided_events() -> dict[str, CanMutateAggregate[UUID]]:
    """A full decision of each kind, under its topic."""
    command = [Command(f"request-{number}", "staff-7", DECIDED_AT) for number in range(8)]
    definition = TouchpointDefinition.define(
        stream_id("tenant-1", "touchpoint_definition", "store.checkout"), command[0], **DEFINITION
    )
    definition.change(command[1], definition.Moved, stage="STAGE_SERVICE", channel="CHANNEL_PHONE")
    definition.change(command[2], definition.OwnerChanged, owner="Geschäft")
    definition.change(command[3], definition.WeightChanged, weight="0.000001")
    definition.change(
        command[4], definition.ExpectationChanged, expectation={"resolve_within": "0s"}
    )
    definition.retire(command[5], reason="store_closed")
    definition.define_again(command[6], **DEFINITION)
    case = RecoveryCase.open(
        stream_id("tenant-1", "recovery_case", "case-1"), command[0], **OPENING
    )
    case.acknowledge(command[1], assignee="staff-8")
    case.remedy(
        command[2],
        remedy={"kind": "REMEDY_KIND_REFUND", "cost": {"amount": "12.90", "currency": "EUR"}},
    )
    case.give_goodwill(
        command[3],
        goodwill={"kind": "voucher", "value": {"amount": "5", "currency": "EUR"}},
    )
    case.close(command[4], result="RECOVERY_RESULT_ACCEPTED", reason="all_good")
    case.reopen(command[5], reason="failed_again")
    decided = [*case.pending_events]
    # One more, which is retracted.
    case.remedy(command[6], remedy={"kind": "REMEDY_KIND_REDO"})
    case.retract_remedy(command[7], remedied_by=command[6].request_id)
    events = [*definition.pending_events, *decided, case.pending_events[-1]]
    return {get_topic(type(event)): event for event in events}


def decided() -> dict[str, Entry]:
    """The same as they are stored."""
    return {entry.topic: entry for entry in entries(decided_events().values())}


def decisions() -> Iterator[tuple[str, dict[str, str]]]:
    """What the journal holds of each."""
    for topic, entry in decided().items():
        yield (
            topic,
            {
                "originator_id": str(UUID(bytes=entry.originator_id)),
                "originator_version": str(entry.originator_version),
                "state": entry.state.decode(),
                "content_digest": entry.content_digest.hex(),
            },
        )


def wire() -> Iterator[tuple[str, str]]:
    for name, message in messages():
        yield name, message.SerializeToString(deterministic=True).hex()


def read(name: str) -> dict:  # type: ignore[type-arg]  # of hex, or of dicts of hex
    file = FOLDER / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else {}


def versions(name: str, known: Mapping[str, object]) -> list[str]:
    """The names under which the message is written down, the oldest first."""
    return [each for each in known if each.partition("#")[0] == name]


def with_new_versions(
    known: Mapping[str, Written], now: Iterable[tuple[str, Written]]
) -> dict[str, Written]:
    together = dict[str, Written]()
    for name, written in now:
        old = versions(name, known)
        together |= {each: known[each] for each in old}
        if not old:
            together[name] = written
        elif known[old[-1]] != written:
            together[f"{name}#{len(old) + 1}"] = written
    return together


def write(name: str, content: dict) -> None:  # type: ignore[type-arg]  # as read
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    write("wire", with_new_versions(read("wire"), wire()))
    write("stored", with_new_versions(read("stored"), stored()))
    write("decisions", dict(decisions()) | read("decisions"))


if __name__ == "__main__":
    main()
