"""Judges a rule over the moments of a span of the journal: what is done live, and what a back-test does."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from services.scoring.alerts.figures import GROUPS_MAX
from services.scoring.alerts.judgement import Change, Delta, Judgement, Key, Moment
from services.scoring.alerts.points import Known, Points
from services.scoring.alerts.rule import Rule

# Eleven years of days; a longer history is judged in several spans.
MOMENTS_MAX = 4_000


class TooManyGroups(Exception):
    """The rule would have more charts than are kept."""


@dataclass(frozen=True, slots=True)
class Replayed:
    changes: list[Change]
    judgement: Judgement
    # The last moment that was judged; None when there was none.
    last: Moment | None


async def due(
    points: Points,
    rule: Rule,
    zone: ZoneInfo,
    known: Known,
    *,
    put: Moment | None,
    judged_at: datetime | None,
) -> list[Moment]:
    """The moments that the projection has passed and that are not judged yet, at most MOMENTS_MAX.

    put: when the rule was put, which is the first of them; None when nothing was recorded then, or in a
    back-test of a rule that need not be there. Then they begin with the first event of the journal.
    """
    if known.recorded_at is None:
        return []
    first = [put] if put and judged_at is None else []
    after = judged_at or (put.at if put else await points.first_recorded())
    if after is None:
        return []
    # Another event may have been recorded in the same microsecond as the last one that is known.
    moments = rule.moments(after, known.recorded_at, zone)[:MOMENTS_MAX]
    return first + (await points.moments(moments) if moments else [])


async def replay(
    points: Points,
    tenant: str,
    rule: Rule,
    zone: ZoneInfo,
    moments: list[Moment],
    *,
    told: Mapping[Key, int],
    seconds: float,
) -> Replayed:
    """What has to be told at these moments, when this was told before. Raises TooManyGroups."""
    judgement = Judgement(rule, zone, told)
    deltas = await points.deltas(tenant, rule, moments, seconds=seconds)
    # Apart, since it may take seconds, and other calls go on meanwhile.
    changes = await asyncio.to_thread(_judged, judgement, moments, deltas)
    return Replayed(changes, judgement, moments[-1])


def _judged(judgement: Judgement, moments: list[Moment], deltas: list[list[Delta]]) -> list[Change]:
    changes = []
    for moment, found in zip(moments, deltas, strict=True):
        judgement.add(found)
        if len(judgement.charts) > GROUPS_MAX:
            raise TooManyGroups
        changes += judgement.at(moment)
    return changes
