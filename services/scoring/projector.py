"""Keeps the read models up to date with the journal: page by page, each with its checkpoint."""

import asyncio
from datetime import UTC

import grpc
import structlog

from services.chassis import telemetry
from services.chassis.errors import DATABASE_AWAY, Conflict, Corrupt, ServiceError, translate
from services.scoring.facts import columns
from services.scoring.scoreboard import Overtaken, Progress, Scoreboard
from services.scoring.source import Source
from touchledger.v1.journal_pb2 import SubscribeResponse

log = structlog.get_logger()

# How long to leave a journal or a database alone that is away.
PAUSE_SECONDS = 0.5
# Another process projects: stand by and take over, should it be gone.
PAUSE_AS_STANDBY_SECONDS = 5.0
# A hole in the journal, or a checkpoint of another journal, mends itself never: the alarm is repeated, not
# the load.
PAUSE_IN_TROUBLE_SECONDS = 10.0
# A span of the SDK keeps at most this many links.
LINKS_MAX = 128


class Projector:
    def __init__(self, source: Source, scoreboard: Scoreboard) -> None:
        self._source = source
        self._scoreboard = scoreboard
        # Why the read models can't follow the journal until somebody does something; empty while they can.
        self.trouble = ""

    async def run(self) -> None:
        """Without end. Whatever is away is waited for; anything unexpected ends the process, visibly."""
        while True:
            pause = PAUSE_SECONDS
            try:
                await self._project()
            except Overtaken:
                log.info("another projector is at work")
                pause = PAUSE_AS_STANDBY_SECONDS
            except (ServiceError, grpc.aio.AioRpcError, *DATABASE_AWAY) as error:
                told = translate(error, method="projection")
                if told is None:
                    raise  # asyncpg's word for a value that does not fit its column: a bug
                if isinstance(told, (Corrupt, Conflict)):
                    self.trouble = str(told)
                    log.error("projection stands still", reason=self.trouble)
                    pause = PAUSE_IN_TROUBLE_SECONDS
                else:
                    log.warning("projection waits", reason=str(told))
            await asyncio.sleep(pause)

    async def _project(self) -> None:
        after = await self._scoreboard.checkpoint()
        async for page in self._source.pages(after):
            self.trouble = ""
            if not page.events:
                await self._scoreboard.heard(head=page.head)
                continue
            with self._span(page):
                facts = columns(page.events)
                progress = Progress(
                    journal_id=page.journal_id,
                    after=page.events[0].position - 1,
                    to=page.events[-1].position,
                    events=len(page.events),
                    recorded_at=page.events[-1].recorded_at.ToDatetime(tzinfo=UTC),
                    head=page.head,
                )
                await self._scoreboard.project(facts, progress)

    def _span(self, page: SubscribeResponse):  # type: ignore[no-untyped-def]  # a span's own type is private
        traceparents = list(dict.fromkeys(event.traceparent for event in page.events))
        return telemetry.tracer.start_as_current_span(
            "project page",
            links=telemetry.links(set(traceparents[:LINKS_MAX]) - {""}),
            attributes={
                "touchledger.position.first": page.events[0].position,
                "touchledger.position.last": page.events[-1].position,
            },
        )
