"""Asks a running system; ends the command with one line where there is no answer."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc

from services.chassis.errors import from_rpc
from services.cli.system import (
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    NoSystem,
    System,
    find,
    open_channel,
    stop,
)

DEADLINE_SECONDS = 60.0

Stub = TypeVar("Stub")
Answer = TypeVar("Answer")
# A call of the stub, given the metadata and the deadline that belong to it.
Question = Callable[[Stub, dict[str, Any]], Awaitable[Answer]]

AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


def ask(
    stub: Callable[[grpc.aio.Channel], Stub],
    question: Question[Stub, Answer],
    *,
    data: Path | None,
    target: str | None,
    key: str | None,
    ca: Path | None,
) -> Answer:
    """What one call gives."""

    async def call(channel: grpc.aio.Channel, system: System) -> Answer:
        given = {"metadata": system.metadata, "timeout": DEADLINE_SECONDS}
        return await question(stub(channel), given)

    return with_system(call, data=data, target=target, key=key, ca=ca)


def with_system(
    work: Callable[[grpc.aio.Channel, System], Awaitable[Answer]],
    *,
    data: Path | None,
    target: str | None,
    key: str | None,
    ca: Path | None,
) -> Answer:
    """What the work gives, which may be many calls, each with a deadline of its own."""

    async def connected() -> Answer:
        system = find(data=data, target=target, key=key)
        async with open_channel(system, ca=ca) as channel:
            return await work(channel, system)

    try:
        return asyncio.run(connected())
    except NoSystem as error:
        stop(str(error), EXIT_UNREACHABLE)
    except grpc.aio.AioRpcError as error:
        code = EXIT_UNREACHABLE if error.code() in AWAY else EXIT_REFUSED
        stop(str(from_rpc(error)), code)
