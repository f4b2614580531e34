"""touchledger.v1.RecoveryCaseService: checks a request, takes one decision or reads, replies."""

from functools import partial
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict

from services.touchpoint.decisions import checks
from services.touchpoint.decisions.decisions import Answer, Decisions
from services.touchpoint.decisions.recovery_case import (
    ACKNOWLEDGED,
    CLOSED,
    OPEN,
    REMEDIED,
    RecoveryCase,
)
from touchledger.v1 import cases_pb2 as pb
from touchledger.v1 import cases_pb2_grpc, events_pb2
from touchledger.v1.journal_pb2 import Position

STATUS = {
    OPEN: pb.CASE_STATUS_OPEN,
    ACKNOWLEDGED: pb.CASE_STATUS_ACKNOWLEDGED,
    REMEDIED: pb.CASE_STATUS_REMEDIED,
    CLOSED: pb.CASE_STATUS_CLOSED,
}
STATUS_WORD = {number: word for word, number in STATUS.items()}


class RecoveryCaseServicer(cases_pb2_grpc.RecoveryCaseServiceServicer):
    def __init__(self, decisions: Decisions, *, journal_id: str) -> None:
        self._decisions = decisions
        self._journal_id = journal_id

    async def OpenCase(
        self, request: pb.OpenCaseRequest, context: grpc.aio.ServicerContext
    ) -> pb.OpenCaseResponse:
        tenant, command = checks.tenant_of(context), checks.command_of(request)
        content = _opening(request)
        answer = await self._decisions.take(
            RecoveryCase,
            tenant,
            request.case_id,
            lambda case: case.open_again(command, **content),
            first=partial(RecoveryCase.open, command=command, **content),
        )
        return pb.OpenCaseResponse(**self._answer(answer))

    async def AcknowledgeCase(
        self, request: pb.AcknowledgeCaseRequest, context: grpc.aio.ServicerContext
    ) -> pb.AcknowledgeCaseResponse:
        tenant, command = checks.tenant_of(context), checks.command_of(request)
        assignee = checks.line(request.assignee, "assignee", least=0)
        answer = await self._decisions.take(
            RecoveryCase,
            tenant,
            checks.line(request.case_id, "case_id"),
            lambda case: case.acknowledge(command, assignee=assignee),
        )
        return pb.AcknowledgeCaseResponse(**self._answer(answer))

    async def RemedyCase(
        self, request: pb.RemedyCaseRequest, context: grpc.aio.ServicerContext
    ) -> pb.RemedyCaseResponse:
        tenant, command = checks.tenant_of(context), checks.command_of(request)
        remedy = _remedy(request.remedy)
        answer = await self._decisions.take(
            RecoveryCase,
            tenant,
            checks.line(request.case_id, "case_id"),
            lambda case: case.remedy(command, remedy=remedy),
        )
        return pb.RemedyCaseResponse(**self._answer(answer))

    async def GiveGoodwill(
        self, request: pb.GiveGoodwillRequest, context: grpc.aio.ServicerContext
    ) -> pb.GiveGoodwillResponse:
        tenant, command = checks.tenant_of(context), checks.command_of(request)
        goodwill = _goodwill(request.goodwill)
        answer = await self._decisions.take(
            RecoveryCase,
            tenant,
            checks.line(request.case_id, "case_id"),
            lambda case: case.give_goodwill(command, goodwill=goodwill),
        )
        return pb.GiveGoodwillResponse(**self._answer(answer))

    async def CloseCase(
        self, request: pb.CloseCaseRequest, context: grpc.aio.ServicerContext
    ) -> pb.CloseCaseResponse:
        tenant, command = checks.tenant_of(context), checks.command_of(request)
        result = checks.enum(events_pb2.RecoveryResult, request.result, "result", required=False)
        reason = checks.word(request.reason, "reason") if request.reason else ""
        answer = await self._decisions.take(
            RecoveryCase,
            tenant,
            checks.line(request.case_id, "case_id"),
            lambda case: case.close(command, result=result, reason=reason),
        )
        return pb.CloseCaseResponse(**self._answer(answer))

    async def ReopenCase(
        self, request: pb.ReopenCaseRequest, context: grpc.aio.ServicerContext
    ) -> pb.ReopenCaseResponse:
        tenant, command = checks.tenant_of(context), checks.command_of(request)
        reason = checks.word(request.reason, "reason")
        answer = await self._decisions.take(
            RecoveryCase,
            tenant,
            checks.line(request.case_id, "case_id"),
            lambda case: case.reopen(command, reason=reason),
        )
        return pb.ReopenCaseResponse(**self._answer(answer))

    async def GetCase(
        self, request: pb.GetCaseRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetCaseResponse:
        tenant, name = checks.tenant_of(context), checks.line(request.case_id, "case_id")
        answer = await self._decisions.get(RecoveryCase, tenant, name)
        return pb.GetCaseResponse(**self._answer(answer))

    async def ListCases(
        self, request: pb.ListCasesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListCasesResponse:
        tenant, (after, limit) = checks.tenant_of(context), checks.page_of(request)
        checks.enum(pb.CaseStatus, request.status, "status", required=False)
        found, more = await self._decisions.list(
            RecoveryCase,
            tenant,
            after=after,
            limit=limit,
            status=STATUS_WORD.get(request.status, ""),
            touchpoint=checks.line(request.touchpoint, "touchpoint", least=0),
            owner=checks.line(request.assignee, "assignee", least=0),
        )
        return pb.ListCasesResponse(
            recovery_cases=map(shown, found), next_page_token=found[-1].name if more else ""
        )

    def _answer(self, answer: Answer[RecoveryCase]) -> dict[str, Any]:
        position = Position(journal_id=self._journal_id, number=answer.position)
        return {"recovery_case": shown(answer.decided), "position": position}


def _opening(request: pb.OpenCaseRequest) -> dict[str, Any]:
    failure = None
    if request.HasField("failure"):
        checks.failure(request.failure)
        failure = MessageToDict(request.failure, preserving_proto_field_name=True)
    return {
        "case_id": checks.line(request.case_id, "case_id"),
        "touchpoint": checks.touchpoint(request.touchpoint),
        "customer": checks.pseudonym(request.customer),
        "severity": checks.enum(events_pb2.Severity, request.severity, "severity"),
        "correlation_id": checks.line(request.correlation_id, "correlation_id", least=0),
        "failure": failure,
        "assignee": checks.line(request.assignee, "assignee", least=0),
    }


def _remedy(given: events_pb2.Remedy) -> dict[str, Any]:
    checks.enum(events_pb2.RemedyKind, given.kind, "remedy.kind")
    if given.HasField("cost"):
        checks.money(given.cost, "remedy.cost")
    return MessageToDict(given, preserving_proto_field_name=True)


def _goodwill(given: events_pb2.Goodwill) -> dict[str, Any]:
    checks.word(given.kind, "goodwill.kind")
    if given.HasField("value"):
        checks.money(given.value, "goodwill.value")
    return MessageToDict(given, preserving_proto_field_name=True)


def shown(case: RecoveryCase) -> pb.RecoveryCase:
    return pb.RecoveryCase(
        case_id=case.name,
        status=STATUS[case.status],
        touchpoint=case.touchpoint,
        customer=case.opened.customer,
        severity=case.opened.severity,
        correlation_id=case.opened.correlation_id,
        failure=(
            ParseDict(case.opened.failure, events_pb2.EventReference())
            if case.opened.failure is not None
            else None
        ),
        assignee=case.owner,
        version=case.version,
        opened_at=case.created_on,
        opened_by=case.opened.decided_by,
        reopened_at=case.reopenings[-1].timestamp if case.reopenings else None,
        reopened_times=len(case.reopenings),
        acknowledged_at=case.acknowledged.timestamp if case.acknowledged else None,
        remedies=(
            pb.GivenRemedy(
                remedy=ParseDict(each.remedy, events_pb2.Remedy()),
                decided_at=each.timestamp,
                decided_by=each.decided_by,
            )
            for each in case.remedies
        ),
        goodwill=(
            pb.GivenGoodwill(
                goodwill=ParseDict(each.goodwill, events_pb2.Goodwill()),
                decided_at=each.timestamp,
                decided_by=each.decided_by,
            )
            for each in case.gestures
        ),
        closed_at=case.closed.timestamp if case.closed else None,
        result=case.closed.result or None if case.closed else None,
        close_reason=case.closed.reason if case.closed else "",
        decided_at=case.modified_on,
        decided_by=case.last.decided_by,
    )
