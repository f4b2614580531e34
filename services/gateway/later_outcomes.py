"""What a PublishStream call was answered QUEUED for, and what becomes of it: asked for until it is known."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

import structlog

from services.chassis.errors import ServiceError
from services.gateway.access import Caller
from services.gateway.outcomes import IDS_MAX, Outcomes
from touchledger.v1 import ingest_pb2
from touchledger.v1.ingest_pb2 import PublishStreamRequest, PublishStreamResponse

log = structlog.get_logger()

# As the proto says. Of one call, some 2 MB; what comes beyond is not waited for.
EVENTS_MAX = 10_000
WAIT_SECONDS_MAX = 60.0
# A queued event is recorded within some 10 ms where nothing is behind.
LOOK_EVERY_SECONDS = 0.2
QUEUED = ingest_pb2.DISPOSITION_QUEUED

Send = Callable[[PublishStreamResponse], Awaitable[None]]


class LaterOutcomes:
    def __init__(self, outcomes: Outcomes, caller: Caller) -> None:
        self._outcomes = outcomes
        self._caller = caller
        # As the first request says.
        self.wanted = False
        # By the sequence of their batch: they are told after it.
        self._unanswered = dict[int, list[tuple[str, bytes]]]()
        # Event ids and digests, with the moment up to which they are waited for; the oldest first.
        self._waiting = OrderedDict[tuple[str, bytes], float]()
        self._pending = 0
        self._added = asyncio.Event()
        self._ended = False

    def batch(
        self,
        request: PublishStreamRequest,
        encodings: Sequence[bytes],
        results: Sequence[ingest_pb2.PublishResult],
    ) -> None:
        """One whose answer is about to be sent."""
        if not self.wanted:
            return
        chosen = [at for at, each in enumerate(results) if each.disposition == QUEUED]
        chosen = chosen[: max(0, EVENTS_MAX - self._pending)]
        digests = self._outcomes.digests(self._caller, [encodings[at] for at in chosen])
        self._pending += len(chosen)
        self._unanswered[request.sequence] = [
            (request.events[at].event_id, digest)
            for at, digest in zip(chosen, digests, strict=True)
        ]

    def answered(self, sequence: int) -> None:
        until = asyncio.get_running_loop().time() + WAIT_SECONDS_MAX
        for each in self._unanswered.pop(sequence, ()):
            # One that came twice is told once.
            self._pending -= each in self._waiting
            self._waiting[each] = until
        self._added.set()

    def end(self) -> None:
        """No batch comes any more: `run` ends when all is told."""
        self._ended = True
        self._added.set()

    async def run(self, send: Send) -> None:
        while self._waiting or not self._ended:
            if not self._waiting:
                self._added.clear()
                await self._added.wait()
                continue
            told = await self._told()
            if told:
                await send(PublishStreamResponse(outcomes=told))
            self._forget_the_late()
            if self._waiting:
                await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _told(self) -> list[ingest_pb2.EventOutcome]:
        """The first ones that are waited for; those that are not known yet go to the end."""
        asked = [each for each, _ in zip(self._waiting, range(IDS_MAX), strict=False)]
        try:
            found = await self._outcomes.settled(self._caller, asked)
        except ServiceError as error:
            log.info("outcomes wait", error=type(error).__name__)
            return []
        told = list[ingest_pb2.EventOutcome]()
        for each, outcome in zip(asked, found, strict=True):
            if outcome is None:
                self._waiting.move_to_end(each)
            else:
                told.append(outcome)
                del self._waiting[each]
        self._pending -= len(told)
        return told

    def _forget_the_late(self) -> None:
        now = asyncio.get_running_loop().time()
        late = [each for each, until in self._waiting.items() if until < now]
        for each in late:
            del self._waiting[each]
        self._pending -= len(late)
