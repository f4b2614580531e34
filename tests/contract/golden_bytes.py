"""The bytes that messages had when they were first written down: they must mean the same for ever.

`python -m tests.contract.golden_bytes` adds what is missing and changes nothing that is there.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from services.gateway.access import Caller
from services.gateway.encoding import encode
from services.gateway.keyring import Keyring
from services.touchpoint.identity import PublishedStreams
from tests.support.events import of_every_body
from touchledger.v1 import (  # noqa: F401  # importing them fills the pool
    events_pb2,
    ingest_pb2,
    journal_pb2,
    problem_pb2,
    scoring_pb2,
)

FOLDER = Path(__file__).parent / "golden"
FILES = ("events", "ingest", "journal", "problem", "scoring")
CALLER = Caller("tenant-1", "till", frozenset())
KEYRING = Keyring(bytes(range(32)))


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
    """What the journal holds of a full event of each body."""
    streams = PublishedStreams(CALLER.tenant, CALLER.source)
    for kind, event in of_every_body().items():
        entry = encode(event, CALLER, KEYRING)
        yield (
            kind,
            {
                "originator_id": str(UUID(bytes=streams.originator_id(entry.event_id))),
                "topic": entry.topic,
                "state": entry.event.hex(),
                "content_digest": entry.content_digest.hex(),
            },
        )


def wire() -> Iterator[tuple[str, str]]:
    for name, message in messages():
        yield name, message.SerializeToString(deterministic=True).hex()


def read(name: str) -> dict:  # type: ignore[type-arg]  # of hex, or of dicts of hex
    file = FOLDER / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else {}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, made in (("wire", dict(wire())), ("stored", dict(stored()))):
        (FOLDER / f"{name}.json").write_text(json.dumps(made | read(name), indent=1) + "\n")


if __name__ == "__main__":
    main()
