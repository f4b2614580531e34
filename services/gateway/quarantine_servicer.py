"""touchledger.v1.QuarantineService: lists, shows, publishes again and gives up what is in quarantine."""

import dataclasses
import re

import grpc
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import Conflict, Malformed
from services.gateway.access import RECOVER, Access, Caller
from services.gateway.limits import Limits
from services.gateway.quarantine import Kept, Quarantine
from services.gateway.refused import ENTRY
from services.gateway.upstream import Upstream
from touchledger import event_json
from touchledger.v1 import ingest_pb2, quarantine_pb2_grpc
from touchledger.v1 import quarantine_pb2 as pb
from touchledger.v1.events_pb2 import Event
from touchledger.v1.journal_pb2 import AppendRequest
from touchledger.v1.problem_pb2 import Problem

# The formats that an entry can be read from as it is; others are vendors', whose reading needs their headers.
EVENT, EVENT_JSON = "event", "event_json"
STORED = (ingest_pb2.DISPOSITION_RECORDED, ingest_pb2.DISPOSITION_DUPLICATE)
# One line: it is shown in tables and kept after the content is gone.
REASON = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,256}")


class QuarantineServicer(quarantine_pb2_grpc.QuarantineServiceServicer):
    def __init__(
        self, access: Access, limits: Limits, quarantine: Quarantine, upstream: Upstream
    ) -> None:
        self._access = access
        self._limits = limits
        self._quarantine = quarantine
        self._upstream = upstream

    async def ListQuarantined(
        self, request: pb.ListQuarantinedRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListQuarantinedResponse:
        caller = await self._access.admit(context.invocation_metadata(), RECOVER)
        with self._limits.question(caller):
            return await self._quarantine.page(caller.tenant, request)

    async def GetQuarantined(
        self, request: pb.GetQuarantinedRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetQuarantinedResponse:
        caller = await self._access.admit(context.invocation_metadata(), RECOVER)
        with self._limits.question(caller):
            kept = await self._quarantine.get(caller.tenant, request.quarantine_id)
        return pb.GetQuarantinedResponse(
            entry=kept.entry, content=kept.content, json=readable(kept.content, kept.entry.format)
        )

    async def ReplayQuarantined(
        self, request: pb.ReplayQuarantinedRequest, context: grpc.aio.ServicerContext
    ) -> pb.ReplayQuarantinedResponse:
        caller = await self._access.admit(context.invocation_metadata(), RECOVER)
        with self._limits.call(caller, events=1, size=request.ByteSize()):
            kept = await self._quarantine.get(caller.tenant, request.quarantine_id)
            result = await self._replay(caller, kept, request)
            if result.disposition in STORED and not kept.position:
                kept = await self._quarantine.release(
                    caller.tenant, request.quarantine_id, result.position
                )
        return pb.ReplayQuarantinedResponse(result=result, entry=kept.entry)

    async def DiscardQuarantined(
        self, request: pb.DiscardQuarantinedRequest, context: grpc.aio.ServicerContext
    ) -> pb.DiscardQuarantinedResponse:
        caller = await self._access.admit(context.invocation_metadata(), RECOVER)
        if not REASON.fullmatch(request.reason):
            got = f"{len(request.reason)} characters"
            raise Malformed("one line of 1 to 256 characters", field="reason", got=got)
        with self._limits.question(caller):
            kept = await self._quarantine.discard(
                caller.tenant, request.quarantine_id, request.reason
            )
        return pb.DiscardQuarantinedResponse(entry=kept.entry)

    async def _replay(
        self, caller: Caller, kept: Kept, request: pb.ReplayQuarantinedRequest
    ) -> ingest_pb2.PublishResult:
        if kept.entry.status == pb.QUARANTINE_STATUS_DISCARDED:
            raise Conflict(
                "an entry that is not discarded: its content is gone",
                code="DISCARDED",
                field="quarantine_id",
                got="a discarded one",
            )
        if kept.position:
            return ingest_pb2.PublishResult(
                disposition=ingest_pb2.DISPOSITION_DUPLICATE, position=kept.position
            )
        if kept.entry.format == ENTRY and not request.HasField("mended"):
            # It was checked and encoded when it was queued, and the journal refused it then.
            return await self._upstream.append_as_it_is(kept.content)
        event = request.mended if request.HasField("mended") else _as_it_came(kept)
        if isinstance(event, Problem):
            return _stays(kept, event)
        if kept.entry.event_id:
            _refuse_other_id(kept, event)
        source = dataclasses.replace(caller, source=kept.entry.source, trust=kept.trust)
        adapter = "" if kept.entry.format in (EVENT, EVENT_JSON) else kept.entry.format
        attempt = ingest_pb2.Attempt(sent_at=kept.sent_at)
        # Asked first, since publishing what is bad still would put it into quarantine once more.
        [result] = await self._upstream.publish(
            source, [event], attempt, validate_only=True, adapter=adapter
        )
        if result.disposition == ingest_pb2.DISPOSITION_QUARANTINED:
            return _stays(kept, result.problem)
        if result.disposition == ingest_pb2.DISPOSITION_VALID:
            if not kept.entry.event_id:
                # Before publishing, and only for what is good: a slip is mended under another id.
                kept.entry.event_id = await self._quarantine.name(
                    caller.tenant, kept.entry.quarantine_id, event.event_id
                )
                _refuse_other_id(kept, event)
            # It is no later, and its source's clock no more off, for having waited here.
            [result] = await self._upstream.publish(
                source, [event], attempt, adapter=adapter, received_at=kept.entry.received_at
            )
        return result


def _refuse_other_id(kept: Kept, event: Event) -> None:
    if event.event_id != kept.entry.event_id:
        raise Malformed(
            "the event id of the entry: another one is another event",
            field="mended.event_id",
            got="another" if event.event_id else "nothing",
        )


def _as_it_came(kept: Kept) -> Event | Problem:
    match kept.entry.format:
        case "event":
            return Event.FromString(kept.content)
        case "event_json":
            try:
                return event_json.parse(kept.content)
            except event_json.EventJsonError as error:
                return error.problem
    raise Malformed(
        "a mended event: this format is read only as it arrives",
        field="mended",
        got=f"nothing, and content of the format {kept.entry.format}",
    )


def _stays(kept: Kept, problem: Problem) -> ingest_pb2.PublishResult:
    return ingest_pb2.PublishResult(
        disposition=ingest_pb2.DISPOSITION_QUARANTINED,
        problem=problem,
        quarantine_id=kept.entry.quarantine_id,
    )


def readable(content: bytes, format: str) -> str:
    """The content as JSON, in the names that problems use, as far as it can be read; else nothing."""
    if not content:
        return ""
    if format in (EVENT, ENTRY):
        event = _event_of(content) if format == ENTRY else Event.FromString(content)
        _clear_what_has_no_json(event)
        return json_format.MessageToJson(event, indent=None, preserving_proto_field_name=True)
    try:
        event_json.decode(content)
    except event_json.EventJsonError:
        return ""
    return content.decode()


def _event_of(request: bytes) -> Event:
    """As it would have been stored; empty where it can't be read."""
    try:
        return Event.FromString(AppendRequest.FromString(request).entries[0].event)
    except (DecodeError, IndexError):
        return Event()


def _clear_what_has_no_json(message: Message) -> None:
    """A time beyond the years that JSON has is what is to be mended: the rest is shown all the same."""
    for field, value in message.ListFields():
        if not field.message_type or field.message_type.GetOptions().map_entry:
            continue
        if isinstance(value, Timestamp | Duration):
            try:
                value.ToJsonString()
            except ValueError:
                message.ClearField(field.name)
        else:
            for each in value if field.is_repeated else (value,):
                _clear_what_has_no_json(each)
