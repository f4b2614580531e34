"""touchledger.v1.TouchpointCatalogService: checks a request, takes one decision or reads, replies."""

from functools import partial
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict

from services.chassis.errors import Malformed
from services.touchpoint.decisions import checks
from services.touchpoint.decisions.decided import Decided
from services.touchpoint.decisions.decisions import Answer, Decisions
from services.touchpoint.decisions.touchpoint_definition import (
    ACTIVE,
    RETIRED,
    TouchpointDefinition,
)
from touchledger.v1 import catalog_pb2 as pb
from touchledger.v1 import catalog_pb2_grpc
from touchledger.v1.journal_pb2 import Position

WEIGHT_DEFAULT = "1"
STATUS = {
    ACTIVE: pb.TOUCHPOINT_STATUS_ACTIVE,
    RETIRED: pb.TOUCHPOINT_STATUS_RETIRED,
}
STATUS_WORD = {number: word for word, number in STATUS.items()}


class TouchpointCatalogServicer(catalog_pb2_grpc.TouchpointCatalogServiceServicer):
    def __init__(self, decisions: Decisions, *, journal_id: str) -> None:
        self._decisions = decisions
        self._journal_id = journal_id

    async def DefineTouchpoint(
        self, request: pb.DefineTouchpointRequest, context: grpc.aio.ServicerContext
    ) -> pb.DefineTouchpointResponse:
        tenant, command = checks.tenant_of(context), checks.command_of(request)
        content = _definition(request)
        answer = await self._decisions.take(
            TouchpointDefinition,
            tenant,
            request.touchpoint,
            lambda definition: definition.define_again(command, **content),
            first=partial(TouchpointDefinition.define, command=command, **content),
        )
        return pb.DefineTouchpointResponse(**self._answer(answer))

    async def ChangeTouchpoint(
        self, request: pb.ChangeTouchpointRequest, context: grpc.aio.ServicerContext
    ) -> pb.ChangeTouchpointResponse:
        tenant, command = checks.tenant_of(context), checks.command_of(request)
        event, content = _change(request)
        answer = await self._decisions.take(
            TouchpointDefinition,
            tenant,
            checks.touchpoint(request.touchpoint),
            lambda definition: definition.change(command, event, **content),
        )
        return pb.ChangeTouchpointResponse(**self._answer(answer))

    async def RetireTouchpoint(
        self, request: pb.RetireTouchpointRequest, context: grpc.aio.ServicerContext
    ) -> pb.RetireTouchpointResponse:
        tenant, command = checks.tenant_of(context), checks.command_of(request)
        reason = checks.word(request.reason, "reason")
        answer = await self._decisions.take(
            TouchpointDefinition,
            tenant,
            checks.touchpoint(request.touchpoint),
            lambda definition: definition.retire(command, reason=reason),
        )
        return pb.RetireTouchpointResponse(**self._answer(answer))

    async def GetTouchpoint(
        self, request: pb.GetTouchpointRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetTouchpointResponse:
        tenant, name = checks.tenant_of(context), checks.touchpoint(request.touchpoint)
        answer = await self._decisions.get(TouchpointDefinition, tenant, name)
        return pb.GetTouchpointResponse(**self._answer(answer))

    async def ListTouchpoints(
        self, request: pb.ListTouchpointsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListTouchpointsResponse:
        tenant, (after, limit) = checks.tenant_of(context), checks.page_of(request)
        checks.enum(pb.TouchpointStatus, request.status, "status", required=False)
        found, more = await self._decisions.list(
            TouchpointDefinition,
            tenant,
            after=after,
            limit=limit,
            status=STATUS_WORD.get(request.status, ""),
            owner=checks.line(request.owner, "owner", least=0),
        )
        return pb.ListTouchpointsResponse(
            touchpoints=map(shown, found), next_page_token=found[-1].name if more else ""
        )

    def _answer(self, answer: Answer[TouchpointDefinition]) -> dict[str, Any]:
        position = Position(journal_id=self._journal_id, number=answer.position)
        return {"touchpoint": shown(answer.decided), "position": position}


def _definition(request: pb.DefineTouchpointRequest) -> dict[str, Any]:
    stage, channel = checks.placement(request.placement)
    return {
        "touchpoint": checks.touchpoint(request.touchpoint),
        "stage": stage,
        "channel": channel,
        "owner": checks.line(request.owner, "owner"),
        "weight": checks.not_negative(request.weight or WEIGHT_DEFAULT, "weight"),
        "expectation": _standard(request.expectation) if request.HasField("expectation") else None,
    }


def _change(request: pb.ChangeTouchpointRequest) -> tuple[type[Decided.Event], dict[str, Any]]:
    match request.WhichOneof("change"):
        case "placement":
            stage, channel = checks.placement(request.placement)
            return TouchpointDefinition.Moved, {"stage": stage, "channel": channel}
        case "owner":
            owner = checks.line(request.owner, "owner")
            return TouchpointDefinition.OwnerChanged, {"owner": owner}
        case "weight":
            weight = checks.not_negative(request.weight, "weight")
            return TouchpointDefinition.WeightChanged, {"weight": weight}
        case "expectation":
            expectation = _standard(request.expectation)
            return TouchpointDefinition.ExpectationChanged, {"expectation": expectation}
    raise Malformed("placement, owner, weight or expectation", field="change", got="nothing")


def _standard(given: pb.ServiceStandard) -> dict[str, Any]:
    checks.standard(given)
    return MessageToDict(given, preserving_proto_field_name=True)


def shown(definition: TouchpointDefinition) -> pb.TouchpointDefinition:
    return pb.TouchpointDefinition(
        touchpoint=definition.name,
        status=STATUS[definition.status],
        placement=pb.Placement(stage=definition.stage, channel=definition.channel),
        owner=definition.owner,
        weight=definition.weight,
        expectation=(
            ParseDict(definition.expectation, pb.ServiceStandard())
            if definition.expectation is not None
            else None
        ),
        version=definition.version,
        defined_at=definition.created_on,
        decided_at=definition.modified_on,
        decided_by=definition.last.decided_by,
    )
