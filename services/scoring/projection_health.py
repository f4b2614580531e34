"""Two checks of the live projection, by the names that the health service answers to.

"projection.lag": what was published a while ago is in the scores. "projection.head": the projection hears
where the journal ends; lag alone can be fooled, as against a mark that nobody moves there is none. Neither is
readiness: a projection that lags still answers, and says how old the answer is.
"""

import asyncio

import structlog
from grpc_health.v1 import health
from opentelemetry import metrics

from services.chassis import telemetry
from services.chassis.server import NOT_SERVING, SERVING
from services.scoring import lease
from services.scoring.projections import MEASURE_EVERY_SECONDS, Measured, Projections

log = structlog.get_logger()

LAG, HEAD = "projection.lag", "projection.head"
# The journal says where it ends each 5 seconds at least, and whoever projects notes it within one more; a
# takeover takes 5.
UNHEARD_SECONDS_MAX = 30.0


def failures(measured: Measured | None, *, lag_seconds_max: float) -> dict[str, str]:
    """Why each check fails, or "" where it does not. None: nothing is known."""
    if measured is None:
        return dict.fromkeys((LAG, HEAD), "nothing is known of the journal or of the projection")
    if not measured.same_journal:
        return dict.fromkeys((LAG, HEAD), "the projection is of another journal")
    lag, unheard = measured.lag_seconds, measured.unheard_seconds
    behind = f"{measured.lag} events behind"
    return {
        LAG: f"{behind}, want at most {lag_seconds_max:g} s"
        if lag is None or lag > lag_seconds_max
        else "",
        HEAD: f"the journal ends at {measured.head}, heard of {measured.standing.heard}"
        if unheard is None or unheard > UNHEARD_SECONDS_MAX
        else "",
    }


class ProjectionHealth:
    def __init__(
        self,
        projections: Projections,
        answers: health.aio.HealthServicer,
        *,
        lag_seconds_max: float,
    ) -> None:
        self._projections = projections
        self._answers = answers
        self._lag_seconds_max = lag_seconds_max
        self._told: dict[str, str] = {}
        telemetry.meter.create_observable_gauge(
            "touchledger.projection.healthy",
            [self._observe],
            description="1 where the check of the live projection holds, else 0.",
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            measured = self._projections.measured
            live = next((each for each in measured if each.standing.name == lease.LIVE), None)
            if live and live.is_old:
                live = None
            found = failures(live, lag_seconds_max=self._lag_seconds_max)
            for name, reason in found.items():
                await self._answers.set(name, NOT_SERVING if reason else SERVING)
                if bool(reason) != bool(self._told.get(name)):
                    say = log.warning if reason else log.info
                    say("projection check", check=name, reason=reason)
            self._told = found
            await asyncio.sleep(MEASURE_EVERY_SECONDS)

    def _observe(self, _: metrics.CallbackOptions) -> list[metrics.Observation]:
        return [
            metrics.Observation(0 if reason else 1, {"check": name})
            for name, reason in self._told.items()
        ]
