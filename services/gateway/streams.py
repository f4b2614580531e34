"""What bounds streams in one gateway: how many there may be, and how long an answer waits for its reader."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from services.chassis.errors import Exhausted
from services.gateway.access import Caller

# A client that takes no answer for so long holds the others' memory for nothing.
SLOW_READER_SECONDS = 30.0


class Places:
    """For streams of one kind."""

    def __init__(self) -> None:
        self._of_key = Counter[str]()
        self._of_tenant = Counter[str]()

    @contextmanager
    def held(
        self, caller: Caller, *, gateway_max: int, tenant_max: int, key_max: int
    ) -> Iterator[None]:
        """Raises Exhausted where so many are held already."""
        key, tenant = caller.key_id, caller.tenant
        for name, streams, streams_max in (
            ("gateway", self._of_tenant.total(), gateway_max),
            ("tenant", self._of_tenant[tenant], tenant_max),
            ("key", self._of_key[key], key_max),
        ):
            if streams >= streams_max:
                raise Exhausted(f"at most {streams_max} streams of one {name}")
        self._of_key[key] += 1
        self._of_tenant[tenant] += 1
        try:
            yield
        finally:
            self._of_key -= Counter((key,))
            self._of_tenant -= Counter((tenant,))


async def send(context: grpc.aio.ServicerContext, answer: Any, *, seconds_max: float) -> None:
    """gRPC takes no more once its window is full."""
    try:
        async with asyncio.timeout(seconds_max):
            await context.write(answer)
    except TimeoutError:
        raise Exhausted(
            f"a reader that takes an answer within {seconds_max:g} s", code="SLOW_READER"
        ) from None
