"""One tenant publishes five times what the gateway can take, another one goes on: make overload.

The services run as in `make bench/gateway`, with the limits of callers that they have by default.
"""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import psutil

from bench import command, report
from bench.command import say
from bench.place import Place
from bench.report import Goal
from bench.stores import gateway
from bench.stores.gateway import SECRET, Gateway
from services.gateway.access import PUBLISH
from services.gateway.keyring import Keyring
from services.gateway.limits import PRESENT_SECONDS
from tests.overload.calm import POSTS_PER_SECOND
from tests.overload.flood import KEY_VARIABLE

PEAK_SECONDS = 10.0
HALF_SECONDS = 30.0
OVERLOAD_SECONDS = 60.0
OVERLOAD = 5.0
# Beyond what a phase is to take, before it is given up.
EXTRA_SECONDS_MAX = 60.0
NEW_KEY = """
INSERT INTO gateway.api_key (key_id, secret_digest, tenant, source, scopes) VALUES ($1, $2, $3, 'till', $4)
"""
RECORDED = "SELECT count(*) FROM journal.stored_events WHERE tenant = ANY($1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One phase. Rates are of the flooding tenant, latencies of the calm one."""

    phase: str
    seconds: float
    offered_per_second: int
    not_offered_per_second: int
    recorded_per_second: int
    refused_calls: int
    refused_without_hint: int
    failed_calls: int
    calm_p50_ms: float | None = None
    calm_p99_ms: float | None = None
    calm_refused: int | None = None
    gateway_rss_mb: int
    # Of its CPU: what a refusal costs is in it.
    gateway_us_per_recorded: float


class Overload:
    def __init__(self, target: Gateway, keys: dict[str, str]) -> None:
        self._target = target
        self._keys = keys
        self._runs = 0
        self._cpu_before = 0.0
        self.acked = 0

    async def phase(self, name: str, *, rate: float, seconds: float) -> Row:
        """A rate of 0 is the peak: as fast as it is answered, and nobody beside."""
        say(f"  {name}, {seconds:.0f} s")
        self._runs += 1
        self._cpu_before = Gateway.cpu_seconds()
        flood = self._process("flood", self._target.grpc_address, seconds, "--rate", f"{rate}")
        if not rate:
            return self._row(name, await flood, {})
        calm = self._process("calm", self._target.http_address, seconds)
        return self._row(name, *await asyncio.gather(flood, calm))

    def _row(self, name: str, flood: dict[str, Any], calm: dict[str, Any]) -> Row:
        seconds = flood["seconds"]
        recorded = flood["recorded"] + calm.get("recorded", 0)
        cpu = Gateway.cpu_seconds() - self._cpu_before
        self.acked += recorded
        latencies = sorted(calm.get("latencies_ms", ()))
        return Row(
            phase=name,
            seconds=round(seconds, 1),
            offered_per_second=round(flood["offered"] / seconds),
            not_offered_per_second=round(flood["not_offered"] / seconds),
            recorded_per_second=round(flood["recorded"] / seconds),
            refused_calls=flood["refused_calls"],
            refused_without_hint=flood["refused_without_hint"]
            + calm.get("refused_without_hint", 0),
            failed_calls=sum(flood["failed_calls"].values()),
            calm_p50_ms=round(latencies[len(latencies) // 2], 1) if latencies else None,
            calm_p99_ms=round(latencies[len(latencies) * 99 // 100], 1) if latencies else None,
            calm_refused=calm.get("refused"),
            gateway_rss_mb=_gateway_rss_mb(),
            gateway_us_per_recorded=round(cpu / max(recorded, 1) * 1e6, 1),
        )

    async def _process(
        self, module: str, target: str, seconds: float, *arguments: str
    ) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"tests.overload.{module}", target),
            *("--seconds", f"{seconds}", "--source", f"{self._runs}", *arguments),
            env=os.environ | {KEY_VARIABLE: self._keys[module]},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(seconds + EXTRA_SECONDS_MAX):
                told, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode != 0:
            raise RuntimeError(f"{module} ended with {process.returncode}")
        outcome: dict[str, Any] = json.loads(told)
        return outcome


def _gateway_rss_mb() -> int:
    for child in psutil.Process().children():
        if "services.gateway" in child.cmdline():
            return round(child.memory_info().rss / 1e6)
    raise RuntimeError("the gateway has ended")


async def measured(here: Place, scale: float) -> tuple[list[Row], list[Goal]]:
    say(await here.prepare(share=min(scale, 1.0)))
    async with gateway.opened(here) as target:
        # As any caller has them.
        keys = {tenant: await _new_key(here, tenant) for tenant in ("flood", "calm")}
        overload = Overload(target, keys)
        await overload.phase("warm-up", rate=0, seconds=PEAK_SECONDS * scale / 4)
        before = await overload.phase("peak", rate=0, seconds=PEAK_SECONDS * scale / 2)
        rate = before.recorded_per_second
        half = await overload.phase("half", rate=rate / 2, seconds=HALF_SECONDS * scale / 2)
        over = await overload.phase(
            f"{OVERLOAD:g} ×", rate=rate * OVERLOAD, seconds=OVERLOAD_SECONDS * scale
        )
        # Again: a disk takes more in the first seconds than it can for a minute, and machines are shared.
        half_after = await overload.phase(
            "half, after", rate=rate / 2, seconds=HALF_SECONDS * scale / 2
        )
        # Until nobody but the flood is there.
        await asyncio.sleep(2 * PRESENT_SECONDS)
        after = await overload.phase("peak, after", rate=0, seconds=PEAK_SECONDS * scale / 2)
        async with here.connection(target.journal_url) as connection:
            stored = await connection.fetchval(RECORDED, [*keys])
    rows = [before, half, over, half_after, after]
    return rows, goals(rows, acked=overload.acked, stored=stored)


def goals(rows: Sequence[Row], *, acked: int, stored: int) -> list[Goal]:
    """Of the overload to the means of before and after."""
    before, half, over, half_after, after = rows
    peak = mean((before.recorded_per_second, after.recorded_per_second))
    half_p99_ms = mean(each.calm_p99_ms or 0.0 for each in (half, half_after))
    offered = report.quotient(over.offered_per_second, before.recorded_per_second)
    hinted = over.refused_calls - over.refused_without_hint
    return [
        Goal(f"offered / peak (aim {OVERLOAD:g})", 4.5, offered),
        Goal(
            "goodput under it / peak",
            0.8,
            report.quotient(over.recorded_per_second, peak),
        ),
        # Not rounded: one of a million that is missing is missing.
        Goal(
            "refusals with a retry hint / refusals",
            1,
            hinted / over.refused_calls if over.refused_calls else None,
        ),
        Goal(
            "p99 of another tenant at half load / under it",
            0.5,
            report.quotient(half_p99_ms, over.calm_p99_ms),
        ),
        Goal("events stored / events that were answered RECORDED", 1, stored / acked),
    ]


async def _new_key(here: Place, tenant: str) -> str:
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    digest = Keyring(bytes.fromhex(SECRET)).secret_digest(secret)
    async with here.connection(here.url("gateway")) as connection:
        await connection.execute(NEW_KEY, key_id, digest, tenant, [PUBLISH])
    return f"tl_{key_id}_{secret}"


def rows_table(rows: list[Row]) -> str:
    head = (
        *(
            "",
            "offered/s",
            "not offered/s",
            "recorded/s",
            "refused calls",
            "without hint",
            "failed",
        ),
        *(
            f"p50 ms of {POSTS_PER_SECOND} posts/s",
            "p99 ms",
            "refused",
            "gateway MB",
            "gateway us/event",
        ),
    )
    return report.table(head, [_cells(row) for row in rows])


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.phase,
        f"{row.offered_per_second:,}",
        f"{row.not_offered_per_second:,}",
        f"{row.recorded_per_second:,}",
        f"{row.refused_calls:,}",
        f"{row.refused_without_hint}",
        f"{row.failed_calls}",
        "" if row.calm_p50_ms is None else f"{row.calm_p50_ms:.1f}",
        "" if row.calm_p99_ms is None else f"{row.calm_p99_ms:.1f}",
        "" if row.calm_refused is None else f"{row.calm_refused}",
        f"{row.gateway_rss_mb}",
        f"{row.gateway_us_per_recorded:.1f}",
    )


def main() -> None:
    given = command.parser("overload", __doc__)
    given.add_argument(
        "--scale", type=float, default=1.0, help="of the seconds of all phases, some 100 together"
    )
    options = given.parse_args()
    command.run(options, lambda here: measured(here, options.scale), rows_table)


if __name__ == "__main__":
    main()
