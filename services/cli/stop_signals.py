"""SIGINT, SIGTERM and SIGHUP as requests to stop, that never cut the launcher's own work in two.

Noted while it works, which looks at every pause; raised at once where there is nothing to break.
"""

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

Result = TypeVar("Result")


class StopRequested(KeyboardInterrupt):
    """The user, or the system, asks for the end."""


class StopSignals:
    """A context in the main thread, where Python runs the handlers."""

    def __init__(self) -> None:
        self._asked = False
        self.raise_at_once = False

    def __enter__(self) -> None:
        self._wakeup, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._process = os.getpid()
        kinds = [signal.SIGINT, signal.SIGTERM]
        # Under nohup a closed terminal is no reason to stop.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            kinds.append(signal.SIGHUP)
        self._previous = {kind: signal.signal(kind, self._note) for kind in kinds}

    def __exit__(self, *_: object) -> None:
        for kind, handler in self._previous.items():
            signal.signal(kind, handler)
        os.close(self._wakeup)
        os.close(self._waker)

    def pause(self, seconds: float) -> None:
        """Raises StopRequested as soon as one is there."""
        select.select([self._wakeup], [], [], seconds)
        if self._asked:
            raise StopRequested

    async def watch(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Its result; a request cancels it: a server that does not answer must not hold one up."""
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()

        def cancel() -> None:
            loop.remove_reader(self._wakeup)
            task.cancel()

        loop.add_reader(self._wakeup, cancel)
        try:
            return await task
        except asyncio.CancelledError:
            # Anyone else's cancellation is a mistake, not a clean end.
            if not self._asked:
                raise
            # What a driver tells late of the work that was cut off is nobody's concern.
            loop.set_exception_handler(lambda loop, context: None)
            raise StopRequested from None

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Between fork and exec a child has this handler and this pipe: its signal is not ours.
        if os.getpid() != self._process:
            return
        self._asked = True
        # A full pipe has been noticed or will be.
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker, b"!")
        if self.raise_at_once:
            raise StopRequested


@contextlib.contextmanager
def raised_at_once() -> Iterator[None]:
    """StopRequested wherever the block is: for work that removes what it has begun."""
    signals = StopSignals()
    signals.raise_at_once = True
    with signals:
        yield
