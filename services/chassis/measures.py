"""What a statement finds at a moment, told as measures: looked at again and again while anybody is told."""

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple

import asyncpg
import structlog
from opentelemetry import metrics

from services.chassis import telemetry
from services.chassis.errors import DATABASE_AWAY
from services.chassis.postgres import Pool

log = structlog.get_logger()

# Oftener than Prometheus scrapes by default.
LOOK_EVERY_SECONDS = 10.0
LOOK_SECONDS_MAX = 5.0


class Gauge(NamedTuple):
    name: str
    unit: str
    description: str


class Measures:
    """Each gauge is a column of the statement's one row; NULL is told as nothing."""

    def __init__(
        self, pool: Pool, statement: str, gauges: Mapping[str, Gauge], *arguments: object
    ) -> None:
        self._pool = pool
        self._statement = statement
        self._arguments = arguments
        self._row: asyncpg.Record | None = None
        for column, (name, unit, description) in gauges.items():
            telemetry.meter.create_observable_gauge(
                name, [partial(self._observe, column)], unit=unit, description=description
            )

    async def run(self) -> None:
        """Until cancelled; at once over where nobody is told."""
        while telemetry.measured():
            try:
                async with asyncio.timeout(LOOK_SECONDS_MAX):
                    self._row = await self._pool.fetchrow(self._statement, *self._arguments)
            except DATABASE_AWAY as error:
                # A value that was kept would look like the present.
                self._row = None
                log.warning("not measured", error=type(error).__name__)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    def _observe(self, column: str, _: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        # Read once: it may be another one at the next look.
        row = self._row
        if row is not None and row[column] is not None:
            yield metrics.Observation(row[column])
