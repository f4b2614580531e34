"""What a contender is: one file in bench/stores/, one line in bench/journal.py."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bench.events import Event
    from bench.place import Place
    from bench.timing import Timing


class NotRun(Exception):
    """Why a contender, or one of its runs, has no figures. The table says so."""


@dataclass(frozen=True, slots=True)
class Run:
    """How long it took, and how many events more the store holds since, counted by asking it."""

    timing: "Timing"
    stored: int


class Store(Protocol):
    """An empty store, opened for one round."""

    async def run(self, batches: "Sequence[Sequence[Event]]", callers: int) -> Run:
        """Appends these batches, each by one durable call, with so many calls under way at once.

        Outside of the time: connecting, and making the events in the store's own type.
        """


@dataclass(frozen=True, slots=True)
class Contender:
    # As --only and the opened stores know it.
    name: str
    # As the tables show it.
    title: str
    # Raises NotRun where it can't be had.
    open: "Callable[[Place], AbstractAsyncContextManager[Store]]"
