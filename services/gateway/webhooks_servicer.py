"""touchledger.v1.WebhookService: makes, lists, changes and deletes webhooks, maps their deliveries again."""

import grpc
import structlog

from services.gateway.access import ADMIN, RECOVER, Access, Caller
from services.gateway.limits import Limits
from services.gateway.mapper import Mapper
from services.gateway.webhooks import Webhooks
from touchledger.v1 import webhooks_pb2 as pb
from touchledger.v1 import webhooks_pb2_grpc

log = structlog.get_logger()


class WebhookServicer(webhooks_pb2_grpc.WebhookServiceServicer):
    def __init__(self, access: Access, limits: Limits, webhooks: Webhooks, mapper: Mapper) -> None:
        self._access = access
        self._limits = limits
        self._webhooks = webhooks
        self._mapper = mapper

    async def CreateWebhook(
        self, request: pb.CreateWebhookRequest, context: grpc.aio.ServicerContext
    ) -> pb.CreateWebhookResponse:
        caller = await self._access.admit(context.invocation_metadata(), ADMIN)
        with self._limits.question(caller):
            webhook = await self._webhooks.create(caller.tenant, request)
        _log("made", webhook, caller)
        return pb.CreateWebhookResponse(webhook=webhook)

    async def ListWebhooks(
        self, request: pb.ListWebhooksRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListWebhooksResponse:
        caller = await self._access.admit(context.invocation_metadata(), ADMIN)
        with self._limits.question(caller):
            webhooks = await self._webhooks.page(caller.tenant, request.source)
        return pb.ListWebhooksResponse(webhooks=webhooks)

    async def UpdateWebhook(
        self, request: pb.UpdateWebhookRequest, context: grpc.aio.ServicerContext
    ) -> pb.UpdateWebhookResponse:
        caller = await self._access.admit(context.invocation_metadata(), ADMIN)
        with self._limits.question(caller):
            webhook = await self._webhooks.update(caller.tenant, request)
        _log("changed", webhook, caller)
        return pb.UpdateWebhookResponse(webhook=webhook)

    async def DeleteWebhook(
        self, request: pb.DeleteWebhookRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteWebhookResponse:
        caller = await self._access.admit(context.invocation_metadata(), ADMIN)
        with self._limits.question(caller):
            webhook = await self._webhooks.delete(caller.tenant, request.webhook_id)
        _log("deleted", webhook, caller)
        return pb.DeleteWebhookResponse(webhook=webhook)

    async def ReplayDeliveries(
        self, request: pb.ReplayDeliveriesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ReplayDeliveriesResponse:
        caller = await self._access.admit(context.invocation_metadata(), RECOVER)
        with self._limits.question(caller):
            return await self._mapper.replay(caller.tenant, request)


def _log(what: str, webhook: pb.Webhook, caller: Caller) -> None:
    # The whole id would open the door for whoever reads the log.
    log.info(f"webhook {what}", webhook=webhook.webhook_id[:8], by=caller.key_id)
