"""Events of which the envelope and the body's own fields are read, and what lies deeper stays bytes.

On the wire a message and bytes are the same. So a batch is read, changed and written in a third of the time
that whole events take, and what nobody looks into keeps its bytes. Made from the descriptors: what has got a
new field needs nothing here.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.wire import with_length
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.ingest_pb2 import PublishBatchRequest, PublishStreamRequest

PACKAGE = "touchledger.shallow"
AMENDMENTS = {"correction", "retraction"}
BODIES = [
    field
    for field in pb.Event.DESCRIPTOR.oneofs_by_name["body"].fields
    if field.name not in AMENDMENTS
]
# What the quick way of checks.py takes no event with, as one oneof: a single look tells that neither is
# there. Nobody sets them here, which would clear the other.
REFUSED = ("amends", "intake")


def _shallow(kind: type[Message], *, deep: Sequence[str] = ()) -> DescriptorProto:
    """The type without what is inside of its messages, but for fields that are named."""
    shallow = DescriptorProto()
    kind.DESCRIPTOR.CopyToProto(shallow)
    del shallow.nested_type[:]
    for field in shallow.field:
        if field.type == FieldDescriptorProto.TYPE_ENUM:
            field.type = FieldDescriptorProto.TYPE_INT32
            field.ClearField("type_name")
        elif field.type == FieldDescriptorProto.TYPE_MESSAGE and field.name in deep:
            field.type_name = f".{PACKAGE}.{field.type_name.rpartition('.')[2]}"
        elif field.type == FieldDescriptorProto.TYPE_MESSAGE:
            field.type = FieldDescriptorProto.TYPE_BYTES
            field.ClearField("type_name")
    return shallow


def _keep_empty(shallow: DescriptorProto) -> DescriptorProto:
    """Has bytes that are there but empty written again, as those of an empty message are.

    But for Event.personal: an empty one says nothing.
    """
    for field in shallow.field:
        if (
            field.name != "personal"
            and field.type == FieldDescriptorProto.TYPE_BYTES
            and field.label != FieldDescriptorProto.LABEL_REPEATED
            and not field.HasField("oneof_index")
        ):
            field.proto3_optional = True
            field.oneof_index = len(shallow.oneof_decl)
            shallow.oneof_decl.add(name=f"_{field.name}")
    return shallow


def _event() -> DescriptorProto:
    event = _shallow(pb.Event, deep=["occurred_at", *(field.name for field in BODIES)])
    for field in event.field:
        if field.name in REFUSED:
            field.oneof_index = len(event.oneof_decl)
    event.oneof_decl.add(name="refused")
    return _keep_empty(event)


def _requests(request: type[Message]) -> list[DescriptorProto]:
    """The type with nothing known but its events, as shallow ones and as bytes."""
    number = request.DESCRIPTOR.fields_by_name["events"].number
    kinds = [DescriptorProto(name=f"{request.DESCRIPTOR.name}{each}") for each in ("", "Events")]
    for kind in kinds:
        kind.field.add(
            name="events",
            number=number,
            label=FieldDescriptorProto.LABEL_REPEATED,
            type=FieldDescriptorProto.TYPE_BYTES,
        )
    kinds[0].field[0].type = FieldDescriptorProto.TYPE_MESSAGE
    kinds[0].field[0].type_name = f".{PACKAGE}.Event"
    return kinds


def _classes() -> dict[str, Any]:
    bodies: list[Any] = [GetMessageClass(field.message_type) for field in BODIES]  # type: ignore[arg-type]  # of a message it is one
    messages = [_event(), _shallow(Timestamp), *(_keep_empty(_shallow(body)) for body in bodies)]
    for request in (PublishBatchRequest, PublishStreamRequest):
        messages += _requests(request)
    file = FileDescriptorProto(name="shallow.proto", package=PACKAGE, syntax="proto3")
    file.message_type.extend(messages)
    pool = DescriptorPool()
    pool.Add(file)
    names = [message.name for message in messages]
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in names
    }


CLASSES = _classes()
# PublishBatchRequest.events, as on the wire.
EVENTS = b"\x0a"


class Batch:
    """The events of a request, and the encoding of each. What else the request holds is kept as it is."""

    def __init__(self, encoded: bytes, request: type[Message] = PublishBatchRequest) -> None:
        name = request.DESCRIPTOR.name
        self._batch = CLASSES[name].FromString(encoded)
        self._alone = CLASSES[f"{name}Events"]
        self.events: Sequence[Any] = self._batch.events[:]
        self.encodings = self._parted(encoded)

    def encodings_now(self) -> Sequence[bytes]:
        """Of the events as they have been changed."""
        return self._parted(self._batch.SerializeToString(deterministic=True))

    def _parted(self, encoded: bytes) -> Sequence[bytes]:
        encodings: Sequence[bytes] = self._alone.FromString(encoded).events[:]
        return encodings


def batch_of(encodings: Iterable[bytes]) -> Batch:
    return Batch(b"".join([with_length(EVENTS, each) for each in encodings]))
