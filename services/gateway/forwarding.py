"""The RPCs of the services behind the gateway: admitted, put in the caller's name, passed on as they are.

A method of these services that has its scope in access.METHODS is served; nothing else is to be done for it.
What is answered by a stream holds a place as long as it lasts, and ends when calls are refused.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.chassis.errors import Malformed, Unavailable
from services.gateway.access import METHODS, Access, Caller
from services.gateway.checks import CONTROL
from services.gateway.keyring import Keyring
from services.gateway.limits import Limits
from services.gateway.streams import SLOW_READER_SECONDS, Places, send
from touchledger.v1 import (
    alerts_pb2,
    buffer_pb2,
    cases_pb2,
    catalog_pb2,
    experience_pb2,
    projections_pb2,
    scoring_pb2,
)

TOUCHPOINT_SERVICES = (
    catalog_pb2.DESCRIPTOR.services_by_name["TouchpointCatalogService"],
    cases_pb2.DESCRIPTOR.services_by_name["RecoveryCaseService"],
    buffer_pb2.DESCRIPTOR.services_by_name["BufferService"],
)
SCORING_SERVICES = (
    scoring_pb2.DESCRIPTOR.services_by_name["ScoringService"],
    projections_pb2.DESCRIPTOR.services_by_name["ProjectionService"],
    alerts_pb2.DESCRIPTOR.services_by_name["AlertService"],
    experience_pb2.DESCRIPTOR.services_by_name["ExperienceService"],
)
# Where the services behind find whose call it is.
TENANT_METADATA = "touchledger-tenant"
# The slowest question scans all facts of a tenant; a caller who waits for less says so itself.
DEADLINE_SECONDS = 30.0
# The length that the services behind take.
DECIDED_BY_CHARACTERS_MAX = 128
CUSTOMER_CHARACTERS_MAX = 256
# Streams of answers at once. Each holds what gRPC lets wait of both connections, and has its question asked
# anew behind this process whenever there is something new.
WATCHES_MAX = 128
# So that nobody holds all of them, however many keys a tenant has.
WATCHES_OF_TENANT_MAX = WATCHES_MAX // 2
WATCHES_OF_KEY_MAX = 16

Ask = Callable[[Caller, Any, float | None], Awaitable[Any]]


class Forwarding:
    def __init__(
        self, access: Access, limits: Limits, keyring: Keyring, *, refusing: asyncio.Event
    ) -> None:
        """refusing: set when calls are refused, since streams would go on for ever."""
        self._access = access
        self._limits = limits
        self._keyring = keyring
        self._refusing = refusing
        self._watches = Places()

    def add(self, service: ServiceDescriptor, channel: grpc.aio.Channel, server: Any) -> None:
        """Serves the methods of the service by asking it over the channel."""
        handlers = {
            method.name: self._handler(method, channel)
            for method in service.methods
            if path_of(method) in METHODS
        }
        server.add_registered_method_handlers(service.full_name, handlers)

    def asking(self, method: MethodDescriptor, channel: grpc.aio.Channel) -> Ask:
        """Asks for a caller who was admitted, within so many seconds if not None.

        To be called within limits.question, which the caller holds until its answer is written.
        """
        request_class, answer_class = classes_of(method)
        behind = channel.unary_unary(
            path_of(method),
            request_serializer=request_class.SerializeToString,
            response_deserializer=answer_class.FromString,
        )

        async def ask(caller: Caller, request: Any, left_seconds: float | None) -> Any:
            self._speak_for(caller, request)
            seconds = DEADLINE_SECONDS if left_seconds is None else left_seconds
            return await behind(
                request,
                metadata=((TENANT_METADATA, caller.tenant),),
                timeout=min(seconds, DEADLINE_SECONDS),
            )

        return ask

    def _handler(
        self, method: MethodDescriptor, channel: grpc.aio.Channel
    ) -> grpc.RpcMethodHandler:
        assert not method.client_streaming, "none is passed on yet"
        if method.server_streaming:
            return self._stream_handler(method, channel)
        scope = METHODS[path_of(method)]
        request_class, answer_class = classes_of(method)
        ask = self.asking(method, channel)

        async def forward(request: Any, context: grpc.aio.ServicerContext) -> Message:
            caller = await self._access.admit(context.invocation_metadata(), scope)
            with self._limits.question(caller):
                answer: Message = await ask(caller, request, context.time_remaining())
            return answer

        return grpc.unary_unary_rpc_method_handler(
            forward,
            request_deserializer=request_class.FromString,
            response_serializer=answer_class.SerializeToString,
        )

    def _stream_handler(
        self, method: MethodDescriptor, channel: grpc.aio.Channel
    ) -> grpc.RpcMethodHandler:
        scope = METHODS[path_of(method)]
        request_class, answer_class = classes_of(method)
        behind = channel.unary_stream(
            path_of(method),
            request_serializer=request_class.SerializeToString,
            response_deserializer=answer_class.FromString,
        )

        async def forward(request: Any, context: grpc.aio.ServicerContext) -> None:
            metadata = tuple(context.invocation_metadata() or ())
            caller = await self._access.admit(metadata, scope)
            self._speak_for(caller, request)
            with self._watches.held(
                caller,
                gateway_max=WATCHES_MAX,
                tenant_max=WATCHES_OF_TENANT_MAX,
                key_max=WATCHES_OF_KEY_MAX,
            ):
                answers = behind(
                    request,
                    metadata=((TENANT_METADATA, caller.tenant),),
                    timeout=context.time_remaining(),
                )

                async def pass_on() -> None:
                    async for answer in answers:
                        # Again for each: a key is revoked within seconds, and a stream lives longer.
                        await self._access.admit(metadata, scope)
                        await send(context, answer, seconds_max=SLOW_READER_SECONDS)

                try:
                    await self._until_refusing(pass_on())
                except grpc.aio.InternalError:
                    # The transport's word for a connection that has ended under a write.
                    return
                finally:
                    answers.cancel()

        return grpc.unary_stream_rpc_method_handler(
            forward,
            request_deserializer=request_class.FromString,
            response_serializer=answer_class.SerializeToString,
        )

    async def _until_refusing(self, passing: Awaitable[None]) -> None:
        going_on = asyncio.ensure_future(passing)
        refused = asyncio.create_task(self._refusing.wait(), name="until calls are refused")
        try:
            await asyncio.wait({going_on, refused}, return_when=asyncio.FIRST_COMPLETED)
            if not going_on.done():
                raise Unavailable("another replica; this one is stopping")
            going_on.result()
        finally:
            going_on.cancel()
            refused.cancel()
            await asyncio.gather(going_on, refused, return_exceptions=True)

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


def path_of(method: MethodDescriptor) -> str:
    """On the wire."""
    return f"/{method.containing_service.full_name}/{method.name}"


def classes_of(method: MethodDescriptor) -> tuple[Any, Any]:
    """Of the request and the answer."""
    return GetMessageClass(method.input_type), GetMessageClass(method.output_type)


def _actor(caller: Caller, decided_by: str) -> str:
    """Who decides: what the key is of, and then whom the caller names. One source can't speak as another."""
    actor = f"{caller.source}/{decided_by}" if decided_by else caller.source
    if len(actor) > DECIDED_BY_CHARACTERS_MAX:
        most = max(0, DECIDED_BY_CHARACTERS_MAX - len(caller.source) - 1)
        raise Malformed(
            f"at most {most} characters", field="decided_by", got=f"{len(decided_by)} characters"
        )
    return actor
