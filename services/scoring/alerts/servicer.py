"""touchledger.v1.AlertService: rules, alerts, back-tests and the stream of what comes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection

import grpc

from services.chassis.errors import Exhausted, Malformed, Unavailable
from services.scoring.alerts.back_test import BackTests
from services.scoring.alerts.board import Board
from services.scoring.alerts.rules import Kept, Rules
from services.scoring.servicer import TENANT_METADATA
from touchledger.v1 import alerts_pb2 as pb
from touchledger.v1 import alerts_pb2_grpc

# Each asks the database once a second.
WATCHERS_MAX = 200
WATCHERS_OF_TENANT_MAX = 20
LOOK_EVERY_SECONDS = 1.0
# Proxies end streams that are silent for a minute.
SIGN_OF_LIFE_SECONDS = 15.0


class AlertServicer(alerts_pb2_grpc.AlertServiceServicer):
    def __init__(
        self,
        rules: Rules,
        board: Board,
        back_tests: BackTests,
        *,
        stopping: asyncio.Event,
        delivered: Collection[str],
    ) -> None:
        """delivered: tenants that have a webhook."""
        self._rules = rules
        self._board = board
        self._back_tests = back_tests
        self._stopping = stopping
        self._delivered = delivered
        self._watchers: Counter[str] = Counter()

    async def PutAlertRule(
        self, request: pb.PutAlertRuleRequest, context: grpc.aio.ServicerContext
    ) -> pb.PutAlertRuleResponse:
        rule, figures = await self._rules.put(_tenant(context), request.rule)
        return pb.PutAlertRuleResponse(rule=rule, figures=figures)

    async def ListAlertRules(
        self, request: pb.ListAlertRulesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListAlertRulesResponse:
        kept = await self._rules.of_tenant(_tenant(context))
        return pb.ListAlertRulesResponse(rules=map(_listed, kept))

    async def RemoveAlertRule(
        self, request: pb.RemoveAlertRuleRequest, context: grpc.aio.ServicerContext
    ) -> pb.RemoveAlertRuleResponse:
        rule = await self._rules.remove(_tenant(context), _name(request.name))
        return pb.RemoveAlertRuleResponse(rule=rule)

    async def ListAlerts(
        self, request: pb.ListAlertsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListAlertsResponse:
        alerts = await self._board.alerts(
            _tenant(context),
            after_number=request.after_number,
            rule=request.rule,
            page_size=request.page_size,
        )
        return pb.ListAlertsResponse(alerts=alerts)

    async def BackTest(
        self, request: pb.BackTestRequest, context: grpc.aio.ServicerContext
    ) -> pb.BackTestResponse:
        if request.WhichOneof("tested") != "rule":
            _name(request.name)
        return await self._back_tests.run(_tenant(context), request)

    async def ListAlertDeliveries(
        self, request: pb.ListAlertDeliveriesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListAlertDeliveriesResponse:
        tenant = _tenant(context)
        deliveries = await self._board.deliveries(
            tenant, before_number=request.before_number, page_size=request.page_size
        )
        return pb.ListAlertDeliveriesResponse(
            deliveries=deliveries, has_webhook=tenant in self._delivered
        )

    async def WatchAlerts(
        self, request: pb.WatchAlertsRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchAlertsResponse]:
        tenant = _tenant(context)
        if (
            self._watchers[tenant] >= WATCHERS_OF_TENANT_MAX
            or self._watchers.total() >= WATCHERS_MAX
        ):
            raise Exhausted("fewer watchers at once", got=f"{self._watchers[tenant]}")
        self._watchers[tenant] += 1
        try:
            async for message in self._watched(tenant, request):
                yield message
        finally:
            self._watchers[tenant] -= 1

    async def _watched(
        self, tenant: str, request: pb.WatchAlertsRequest
    ) -> AsyncIterator[pb.WatchAlertsResponse]:
        """Who does not read holds a place and nothing else: the next page is read when this one is sent."""
        number = request.after_number
        if request.only_new:
            number = await self._board.last_number(tenant)
        yield pb.WatchAlertsResponse(number=number)
        loop = asyncio.get_running_loop()
        said_at = loop.time()
        while not self._stopping.is_set():
            alerts = await self._board.alerts(tenant, after_number=number)
            for alert in alerts:
                number = alert.number
                yield pb.WatchAlertsResponse(alert=alert, number=number)
            if not alerts and loop.time() - said_at >= SIGN_OF_LIFE_SECONDS:
                yield pb.WatchAlertsResponse(number=number)
                said_at = loop.time()
            elif alerts:
                said_at = loop.time()
                continue
            try:
                async with asyncio.timeout(LOOK_EVERY_SECONDS):
                    await self._stopping.wait()
            except TimeoutError:
                pass
        raise Unavailable("another replica; this one is stopping")


def _tenant(context: grpc.aio.ServicerContext) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == TENANT_METADATA and value:
            return str(value)
    raise Malformed("the tenant that the gateway sets", field=TENANT_METADATA, got="nothing")


def _name(name: str) -> str:
    if not name or "\0" in name:
        raise Malformed("the name of a rule", field="name", got="another" if name else "nothing")
    return name


def _listed(kept: Kept) -> pb.ListedAlertRule:
    listed = pb.ListedAlertRule(rule=kept.rule.message, figures=kept.figures)
    if kept.put_at is not None:
        listed.put_at.FromDatetime(kept.put_at)
    if kept.judged_at is not None:
        listed.judged_at.FromDatetime(kept.judged_at)
    return listed
