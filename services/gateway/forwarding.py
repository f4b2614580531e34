"""The RPCs of the services behind the gateway: admitted, put in the caller's name, passed on as they are.

A method of these services that has its scope in access.METHODS is served; nothing else is to be done for it.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.chassis.errors import Malformed
from services.gateway.access import METHODS, Access, Caller
from services.gateway.checks import CONTROL
from services.gateway.keyring import Keyring
from services.gateway.limits import Limits
from touchledger.v1 import cases_pb2, catalog_pb2, scoring_pb2

TOUCHPOINT_SERVICES = (
    catalog_pb2.DESCRIPTOR.services_by_name["TouchpointCatalogService"],
    cases_pb2.DESCRIPTOR.services_by_name["RecoveryCaseService"],
)
SCORING_SERVICES = (scoring_pb2.DESCRIPTOR.services_by_name["ScoringService"],)
# Where the services behind find whose call it is.
TENANT_METADATA = "touchledger-tenant"
# The slowest question scans all facts of a tenant; a caller who waits for less says so itself.
DEADLINE_SECONDS = 30.0
# The length that the services behind take.
DECIDED_BY_CHARACTERS_MAX = 128
CUSTOMER_CHARACTERS_MAX = 256

Answer = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]


class Forwarding:
    def __init__(self, access: Access, limits: Limits, keyring: Keyring) -> None:
        self._access = access
        self._limits = limits
        self._keyring = keyring

    def add(self, service: ServiceDescriptor, channel: grpc.aio.Channel, server: Any) -> None:
        """Serves the methods of the service by asking it over the channel."""
        handlers = {
            method.name: self._handler(method, f"/{service.full_name}/{method.name}", channel)
            for method in service.methods
        }
        server.add_registered_method_handlers(service.full_name, handlers)

    def _handler(
        self, method: MethodDescriptor, path: str, channel: grpc.aio.Channel
    ) -> grpc.RpcMethodHandler:
        assert not method.client_streaming, "none is passed on yet"
        assert not method.server_streaming, "none is passed on yet"
        scope = METHODS[path]
        request_class = GetMessageClass(method.input_type)
        answer_class = GetMessageClass(method.output_type)
        behind = channel.unary_unary(
            path,
            request_serializer=request_class.SerializeToString,
            response_deserializer=answer_class.FromString,
        )

        async def forward(request: Any, context: grpc.aio.ServicerContext) -> Message:
            caller = await self._access.admit(context.invocation_metadata(), scope)
            self._speak_for(caller, request)
            left = context.time_remaining()
            with self._limits.question(caller):
                answer: Message = await behind(
                    request,
                    metadata=((TENANT_METADATA, caller.tenant),),
                    timeout=DEADLINE_SECONDS if left is None else min(left, DEADLINE_SECONDS),
                )
            return answer

        return grpc.unary_unary_rpc_method_handler(
            forward,
            request_deserializer=request_class.FromString,
            response_serializer=answer_class.SerializeToString,
        )

    def _speak_for(self, caller: Caller, request: Any) -> None:
        """Puts the credential's source before who decides, and the pseudonym in the place of the customer."""
        fields = request.DESCRIPTOR.fields_by_name
        if "decided_by" in fields:
            request.decided_by = _actor(caller, request.decided_by)
        if "customer" in fields and request.customer:
            given = request.customer
            if len(given) > CUSTOMER_CHARACTERS_MAX or CONTROL.search(given):
                raise Malformed(
                    f"at most {CUSTOMER_CHARACTERS_MAX} characters, none of them a control character",
                    field="customer",
                    got=f"{len(given)} characters",
                )
            request.customer = self._keyring.pseudonym(caller.tenant, given)


def _actor(caller: Caller, decided_by: str) -> str:
    """Who decides: what the key is of, and then whom the caller names. One source can't speak as another."""
    actor = f"{caller.source}/{decided_by}" if decided_by else caller.source
    if len(actor) > DECIDED_BY_CHARACTERS_MAX:
        most = max(0, DECIDED_BY_CHARACTERS_MAX - len(caller.source) - 1)
        raise Malformed(
            f"at most {most} characters", field="decided_by", got=f"{len(decided_by)} characters"
        )
    return actor
