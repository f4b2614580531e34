"""A tenant that floods is refused with a hint, and takes nothing from anybody else."""

import asyncio
import time
from collections import Counter

import grpc

from services.chassis.errors import from_rpc
from tests.support.events import event
from tests.support.gateway_keys import bearer, key_of
from tests.support.stack import Stack
from touchledger.v1 import ingest_pb2, ingest_pb2_grpc

FLOOD_SECONDS = 2.0
# 16,000 events at once, some sixteen times a tenant's share while two are there.
SENDERS = 32
BATCH_EVENTS = 500
# Between two posts of the tenant that keeps to its measure.
PAUSE_SECONDS = 0.02
# What a flooding client waits, whatever it is told: enough for this process to get on with the other tenant.
HEEDLESS_SECONDS = 0.05


async def flood(
    address: str, key: str, sender: int, seen: Counter[str], hints: list[float]
) -> None:
    request = ingest_pb2.PublishBatchRequest(events=[event()] * BATCH_EVENTS)
    ends_at = time.monotonic() + FLOOD_SECONDS
    number = 0
    async with grpc.aio.insecure_channel(address) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        while time.monotonic() < ends_at:
            number += 1
            for index, each in enumerate(request.events):
                each.event_id = f"{sender}-{number}-{index}"
            try:
                await stub.PublishBatch(request, metadata=bearer(key), timeout=20)
                seen["taken"] += 1
            except grpc.aio.AioRpcError as error:
                problem = from_rpc(error).problem
                seen[problem.code] += 1
                hints.append(problem.retry_after.ToNanoseconds() / 1e9)
                await asyncio.sleep(HEEDLESS_SECONDS)


async def posts(address: str, key: str) -> int:
    """Publishes one event after the other; how many. None may be refused."""
    count = 0
    ends_at = time.monotonic() + FLOOD_SECONDS
    async with grpc.aio.insecure_channel(address) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        while time.monotonic() < ends_at:
            count += 1
            request = ingest_pb2.PublishRequest(event=event(event_id=f"quiet-{count}"))
            answer = await stub.Publish(request, metadata=bearer(key), timeout=20)
            assert ingest_pb2.DISPOSITION_RECORDED == answer.result.disposition
            await asyncio.sleep(PAUSE_SECONDS)
    return count


async def test_a_flood_of_one_tenant_gets_on_is_refused_with_hints_and_refuses_nobody_else(
    stack: Stack,
) -> None:
    """How long the others wait is measured by `make overload`."""
    address = stack.gateway.address
    loud, quiet = await key_of(stack, "loud", "publish"), await key_of(stack, "quiet", "publish")
    seen, hints = Counter[str](), list[float]()
    async with asyncio.TaskGroup() as tasks:
        # First, so that the gateway knows that there are two.
        beside = tasks.create_task(posts(address, quiet))
        for sender in range(SENDERS):
            tasks.create_task(flood(address, loud, sender, seen, hints))
    assert beside.result() > 1
    assert seen["taken"] > 1
    assert {"taken", "BUSY"} == set(seen)
    assert all(hint > 0 for hint in hints)
