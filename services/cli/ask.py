"""Asks a running system one thing; ends the command with one line where there is no answer."""

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
    try:
        system = find(data=data, target=target, key=key)
        return asyncio.run(ask_system(system, stub, question, ca=ca))
    except NoSystem as error:
        stop(str(error), EXIT_UNREACHABLE)
    except grpc.aio.AioRpcError as error:
        code = EXIT_UNREACHABLE if error.code() in AWAY else EXIT_REFUSED
        stop(str(from_rpc(error)), code)


async def ask_system(
    system: System,
    stub: Callable[[grpc.aio.Channel], Stub],
    question: Question[Stub, Answer],
    *,
    ca: Path | None = None,
) -> Answer:
    async with open_channel(system, ca=ca) as channel:
        call = {"metadata": system.metadata, "timeout": DEADLINE_SECONDS}
        return await question(stub(channel), call)
