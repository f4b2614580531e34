"""Runs prepared appends by some callers at once and takes their times: by tasks, or by threads where a
contender blocks.
"""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

from bench.contender import NotRun

Work = TypeVar("Work")

# Slow contenders end here with fewer events: a rate needs no more, and the rounds stay short.
RUN_SECONDS_MAX = 0.8
# An append takes some 100 ms at worst; what takes this long hangs (psycopg's pipeline has been seen to).
HANG_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Timing:
    """The appends that were done: the first ones of those prepared."""

    seconds: float
    latencies: list[float]

    @property
    def appends(self) -> int:
        return len(self.latencies)


async def by_tasks(
    work: Sequence[Work],
    callers: Sequence[Callable[[Work], Awaitable[object]]],
    *,
    hang_seconds: float = HANG_SECONDS,
) -> Timing:
    """Each caller takes the next piece of work when it is done with one."""
    latencies, waiting = list[float](), iter(work)

    async def call(append: Callable[[Work], Awaitable[object]]) -> None:
        for piece in waiting:
            began = perf_counter()
            await append(piece)
            ended = perf_counter()
            latencies.append(ended - began)
            if ended > deadline:
                return

    with _collecting():
        began = perf_counter()
        deadline = began + RUN_SECONDS_MAX
        try:
            async with asyncio.timeout(hang_seconds), asyncio.TaskGroup() as group:
                for append in callers:
                    group.create_task(call(append))
        except TimeoutError:
            raise NotRun(f"no answer within {hang_seconds:.0f} s") from None
        return Timing(perf_counter() - began, latencies)


async def by_threads(work: Sequence[Work], callers: Sequence[Callable[[Work], object]]) -> Timing:
    """The same with a thread for each caller."""
    latencies, waiting = list[float](), iter(work)
    failures, ends = list[Exception](), list[float]()
    loop, ended, stop = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def call(append: Callable[[Work], object]) -> None:
        try:
            for piece in waiting:
                began = perf_counter()
                append(piece)
                latencies.append(perf_counter() - began)
                if perf_counter() > deadline or stop.is_set():
                    break
        except Exception as error:
            failures.append(error)
            stop.set()
        ends.append(perf_counter())
        if len(ends) == len(callers):
            loop.call_soon_threadsafe(ended.set)

    # Daemons: one that hangs must not hold up the end of the process.
    threads = [
        threading.Thread(target=call, args=(append,), name=f"caller {number}", daemon=True)
        for number, append in enumerate(callers)
    ]
    with _collecting():
        began = perf_counter()
        deadline = began + RUN_SECONDS_MAX
        for thread in threads:
            thread.start()
        try:
            async with asyncio.timeout(HANG_SECONDS):
                await ended.wait()
        except TimeoutError:
            raise NotRun(f"no answer within {HANG_SECONDS:.0f} s") from None
        finally:
            stop.set()
    if failures:
        raise failures[0]
    return Timing(max(ends) - began, latencies)


@contextmanager
def _collecting() -> Iterator[None]:
    """Garbage is collected as in a service, which does not walk what was prepared here for the run."""
    gc.freeze()
    gc.enable()
    try:
        yield
    finally:
        gc.disable()
        gc.unfreeze()
