"""Figures of experience for tests: what is told of events, asked for in every way that there is."""

from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format

from services.chassis.postgres import Pool
from services.scoring.experience.told import get_figure, get_figure_events
from services.scoring.scoreboard import Scoreboard
from services.touchpoint.decisions.recovery_case import RecoveryCase
from services.touchpoint.decisions.stored import entries
from tests.support.asking import asking
from tests.support.journals import project, recorded, recorded_at_position
from touchledger.v1 import events_pb2 as events
from touchledger.v1 import experience_pb2 as pb
from touchledger.v1 import scoring_pb2
from touchledger.v1.journal_pb2 import RecordedEvent

Row = dict[str, str]


class Figures:
    """Of read models that a test has projected by hand."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def know(self, *told: events.Event | RecoveryCase) -> None:
        """The read models hold exactly these events and decisions, at positions 1, 2, 3 …"""
        journal = list[RecordedEvent]()
        for each in told:
            if isinstance(each, events.Event):
                journal.append(recorded(each, len(journal) + 1))
            else:
                journal += _decisions(each, after=len(journal))
        scoreboard = Scoreboard(self._pool)
        await scoreboard.install()
        await project(scoreboard, journal)

    async def answer(self, figure: str, **asked: Any) -> pb.GetFigureResponse:
        request = json_format.ParseDict({"figure": figure, **asked}, pb.GetFigureRequest())
        async with asking(self._pool) as made:
            return await get_figure(made.answers, "default", request)

    async def rows(self, figure: str, **asked: Any) -> list[Row]:
        """What GetFigure tells; where it is asked of now, and of all, the view tells the same."""
        told = await self.answer(figure, **asked)
        found = [{**row.keys, **row.values} for row in told.rows]
        if not asked:
            async with self._pool.acquire() as connection, connection.transaction():
                # As docs/bi.md advises.
                await connection.execute("SET LOCAL enable_nestloop = off")
                of_view = await connection.fetch(
                    f"SELECT * FROM {figure} WHERE tenant = 'default'"
                )  # a test's
            assert len(found) == len(of_view)
        return found

    async def events(self, figure: str, *keys: str, **asked: Any) -> list[str]:
        """The ids of the events behind rows."""
        return [each.event_id for each in await self.evidence(figure, *keys, **asked)]

    async def evidence(
        self, figure: str, *keys: str, **asked: Any
    ) -> list[scoring_pb2.LineageEvent]:
        request = json_format.ParseDict(
            {"figure": figure, "keys": keys, **asked}, pb.GetFigureEventsRequest()
        )
        async with asking(self._pool) as made:
            told = await get_figure_events(made.answers, "default", request)
        return list(told.events)


def _decisions(case: RecoveryCase, *, after: int) -> Iterator[RecordedEvent]:
    """As the touchpoint service stores them."""
    for position, entry in enumerate(entries(case.collect_events()), start=after + 1):
        made = RecordedEvent(
            position=position,
            tenant="default",
            source="touchledger",
            topic=entry.topic,
            event=entry.state,
            stream_id=entry.originator_id,
        )
        made.recorded_at.FromDatetime(recorded_at_position(position))
        yield made
