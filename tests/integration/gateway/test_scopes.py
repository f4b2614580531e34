"""Each RPC of the contract is for the keys that access.METHODS says, or is not served at all."""

import asyncio
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

import touchledger.v1
from services.gateway.access import LOCAL_SCOPES, METHODS, OPERATE, SCOPES
from tests.conftest import SERVICES
from tests.support.gateway_keys import bearer, key_of
from tests.support.stack import Stack, running_stack

LET_IN = "let in"
ALL_SCOPES = (*SCOPES, OPERATE)


def all_methods() -> dict[str, MethodDescriptor]:
    """Every RPC of the package, by its path on the wire."""
    found = {}
    for module in pkgutil.iter_modules(touchledger.v1.__path__):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(f"touchledger.v1.{module.name}").DESCRIPTOR
            for service in file.services_by_name.values():
                for method in service.methods:
                    found[f"/{service.full_name}/{method.name}"] = method
    return found


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str]
) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("scopes")
    with running_stack(folder, {name: new_database(name) for name in SERVICES}) as stack:
        yield stack


async def outcome(channel: grpc.aio.Channel, path: str, key: str | None) -> str:
    """What comes of an empty request: a code, or that it got beyond the door."""
    method = all_methods()[path]
    kinds: dict[str, Any] = {
        "request_serializer": lambda request: request.SerializeToString(),
        "response_deserializer": GetMessageClass(method.output_type).FromString,
    }
    call = {"metadata": bearer(key) if key else (), "timeout": 20}
    request = GetMessageClass(method.input_type)()
    try:
        if method.client_streaming:
            await channel.stream_stream(path, **kinds)(iter(()), **call).read()
        elif method.server_streaming:
            answers = channel.unary_stream(path, **kinds)(request, **call)
            await answers.read()
            answers.cancel()
        else:
            await channel.unary_unary(path, **kinds)(request, **call)
    except grpc.aio.AioRpcError as error:
        refused = {"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "UNKNOWN", "INTERNAL"}
        return error.code().name if error.code().name in refused else LET_IN
    return LET_IN


async def test_each_rpc_lets_in_exactly_the_keys_with_its_scope(gateway: Stack) -> None:
    """A new RPC without an entry in METHODS is UNIMPLEMENTED at the gateway, or fails here."""
    keys: dict[str, str | None] = {
        scope: await key_of(gateway, "acme", scope, source=scope) for scope in ALL_SCOPES
    }
    keys |= {"none": None, "unknown": f"tl_{'0' * 12}_{'x' * 43}", "nonsense": "x"}
    seen, want = {}, {}
    async with grpc.aio.insecure_channel(gateway.gateway.address) as channel:
        for path in sorted(all_methods()):
            for holder, key in keys.items():
                seen[path, holder] = await outcome(channel, path, key)
                if path not in METHODS:
                    want[path, holder] = "UNIMPLEMENTED"
                elif holder not in ALL_SCOPES:
                    want[path, holder] = "UNAUTHENTICATED"
                else:
                    want[path, holder] = LET_IN if METHODS[path] == holder else "PERMISSION_DENIED"
    assert want == seen


def test_what_concerns_all_tenants_is_for_no_key_that_a_tenant_can_have() -> None:
    assert OPERATE not in SCOPES
    assert OPERATE not in LOCAL_SCOPES
    of_all = {path.split("/")[1] for path, scope in METHODS.items() if scope == OPERATE}
    assert {"touchledger.v1.ProjectionService", "touchledger.v1.BufferService"} == of_all


def test_each_entry_is_of_an_rpc_that_there_is() -> None:
    assert set(METHODS) <= set(all_methods())
    assert set(METHODS.values()) <= set(ALL_SCOPES)


def test_what_the_gateway_does_not_serve_is_the_journal_alone() -> None:
    """A service that is new in the contract must be thought of."""
    left_out = {path.split("/")[1] for path in set(all_methods()) - set(METHODS)}
    assert {"touchledger.v1.JournalService"} == left_out


async def test_the_local_key_opens_all_but_what_is_for_web_pages(gateway: Stack) -> None:
    async with grpc.aio.insecure_channel(gateway.gateway.address) as channel:
        for path, scope in METHODS.items():
            assert scope in (*LOCAL_SCOPES, OPERATE)
            assert LET_IN == await outcome(channel, path, gateway.key)


async def test_reflection_tells_a_client_on_this_machine_what_is_served(gateway: Stack) -> None:
    async with grpc.aio.insecure_channel(gateway.gateway.address) as channel:
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        async with asyncio.timeout(20):
            answer = await stub.ServerReflectionInfo(iter([asked])).read()
    told = {service.name for service in answer.list_services_response.service}
    health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
    assert {path.split("/")[1] for path in METHODS} | {health, reflection.SERVICE_NAME} == told
