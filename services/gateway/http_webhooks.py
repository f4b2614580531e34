"""POST /v1/webhooks/{adapter}/{webhook_id}: a delivery is verified, stored, answered, and mapped later."""

from datetime import UTC

from services.chassis import clock
from services.chassis.errors import Exhausted, Forbidden, Malformed, NotFound, Unauthenticated
from services.gateway.access import PUBLISH, Access, Caller
from services.gateway.adapters.adapter import Delivery
from services.gateway.deliveries import Deliveries
from services.gateway.http import Request, Response, Route
from services.gateway.limits import Limits
from services.gateway.mapper import Mapper
from services.gateway.webhooks import PATH, WAITING_MAX, Webhook, Webhooks

# Vendors are known to send 600 KB; what they send is stored whole.
BODY_BYTES_MAX = 1024 * 1024
# A gateway maps some hundreds a second.
WAITING_RETRY_SECONDS = 60.0


class HttpWebhooks:
    def __init__(
        self,
        access: Access,
        limits: Limits,
        webhooks: Webhooks,
        deliveries: Deliveries,
        mapper: Mapper,
    ) -> None:
        self._access = access
        self._limits = limits
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._mapper = mapper

    def routes(self) -> list[Route]:
        return [
            Route(
                *("POST", f"{PATH}/{{adapter}}/{{webhook_id}}", self.receive),
                {
                    "summary": "Take a vendor's delivery; its events are published afterwards",
                    "requestBody": {"required": True, "content": {"*/*": {}}},
                    "responses": {"202": {"description": "It is verified and stored."}},
                    "security": [],
                },
            )
        ]

    async def receive(self, request: Request) -> Response:
        webhook = await self._webhooks.find(request.variables["webhook_id"])
        if webhook is None or webhook.adapter.name != request.variables["adapter"]:
            raise NotFound("the address of a webhook", field="path", got="another")
        if (request.headers.get("content-encoding") or "identity") != "identity":
            raise Malformed(
                "a body as it was signed, not compressed",
                code="UNSUPPORTED_ENCODING",
                field="content-encoding",
                got="another",
            )
        caller = await self._caller(webhook, request)
        body = await request.raw_body(bytes_max=BODY_BYTES_MAX)
        delivery = Delivery(
            url=webhook.url,
            headers=dict(request.headers.items()),
            body=body,
            received_at=clock.now().ToDatetime(UTC),
        )
        if not webhook.with_api_key:
            if not webhook.secret:
                raise Unauthenticated("a webhook with a secret", field="path", got="one without")
            webhook.adapter.verify(delivery, webhook.secret, webhook.config)
        if webhook.waiting >= WAITING_MAX:
            raise Exhausted(
                f"fewer than {WAITING_MAX} deliveries that wait",
                retry_after_seconds=WAITING_RETRY_SECONDS,
            )
        with self._limits.call(caller, events=1, size=len(body)):
            delivery_id = await self._deliveries.store(webhook, delivery)
        self._mapper.wake()
        return Response.json({"delivery_id": str(delivery_id)}, status=202)

    async def _caller(self, webhook: Webhook, request: Request) -> Caller:
        if not webhook.with_api_key:
            return webhook.caller
        authorization = request.headers.get("authorization") or ""
        caller = await self._access.admit([("authorization", authorization)], PUBLISH)
        if (caller.tenant, caller.source) != (webhook.caller.tenant, webhook.caller.source):
            raise Forbidden(
                "a key of the webhook's source", field="authorization", got="another's key"
            )
        return caller
