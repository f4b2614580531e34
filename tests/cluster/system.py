"""One `touchledger up --cluster` that tests kill parts of, and what is known of it after each fault."""

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from services.touchpoint.identity import originator_ids
from tests.cluster.load import DUPLICATE, QUEUED, RECORDED, Load
from tests.support.sealed import assert_sealed
from tests.support.up import Up, touchledger

# A fault and what follows from it: seconds, where two cores are shared some more.
RECOVERY_SECONDS_MAX = 60.0
# Acked before a fault and after it, so that it hits a system at work and is over.
ACKS_AROUND = 300
POLL_SECONDS = 0.05
STORED = "SELECT notification_id, originator_id FROM journal.stored_events ORDER BY 1"


@dataclass
class Fault:
    """One line of the table."""

    name: str
    mode: str
    failed_seconds: float = 0.0
    failed_calls: int = 0
    acked: int = 0
    unknown: int = 0
    unknown_stored: int = 0
    stored: int = 0


@dataclass
class Cluster:
    up: Up
    mode: str
    seed: int
    faults: list[Fault] = field(default_factory=list)
    # By name the process that was.
    killed: dict[str, int] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.up.data

    def parts(self) -> dict[str, dict[str, Any]]:
        """By name, as `up` wrote them down last."""
        told = json.loads(self.up.system_file.read_text())
        return {each["name"]: each for each in told["parts"]}

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.parts().values() if each["kind"] == kind]

    def primary(self) -> str:
        [name] = [each["name"] for each in self.of_kind("postgres") if each["doing"] == "primary"]
        return str(name)

    def standby(self) -> str:
        [name] = {each["name"] for each in self.of_kind("postgres")} - {self.primary()}
        return str(name)

    def target(self, kind: str) -> str:
        return "ipv4:" + ",".join(each["address"] for each in self.of_kind(kind))

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(int(self.parts()[name]["pid"]), number)

    def ports(self, name: str) -> list[int]:
        """Where it listens; of a NATS server also for the other ones."""
        part = self.parts()[name]
        ports = [int(part["address"].rpartition(":")[2])]
        if part["kind"] == "nats":
            config = (self.data / name / "nats.conf").read_text()
            ports += [
                int(port) for port in re.findall(r"^  listen: .*:(\d+)$", config, re.MULTILINE)
            ]
        return ports

    def kill(self, name: str) -> None:
        pid = int(self.parts()[name]["pid"])
        os.kill(pid, signal.SIGKILL)
        self.killed[name] = pid

    def status(self) -> dict[str, Any]:
        run = touchledger("status", "--json", "--data", self.data)
        assert run.returncode == 0, run.stderr
        told: dict[str, Any] = json.loads(run.stdout)
        return told

    def states(self) -> dict[str, str]:
        return {each["name"]: each["state"] for each in self.status()["parts"]}

    async def all_ready(self) -> None:
        """Every part lives and can do its work again."""

        def ready() -> bool:
            run = touchledger("status", "--json", "--data", self.data)
            if run.returncode:
                return False
            parts = json.loads(run.stdout)["parts"]
            return all(
                each["state"].startswith("ready")
                or each["state"] in ("primary", "standby, in sync")
                for each in parts
            )

        await eventually("all parts are ready", ready)

    @contextlib.asynccontextmanager
    async def load(self, name: str) -> AsyncIterator[Load]:
        """Publishes through both gateways while the block does its fault, then checks all that was told."""
        fault = Fault(name, self.mode)
        addresses = [each["address"] for each in self.of_kind("gateway")]
        key = (self.data / "secrets" / "local.key").read_text().strip()
        prefix = f"{self.mode}-{len(self.faults)}-{self.seed}"
        load = Load(addresses, key, prefix, random.Random(f"{self.seed} {name}"))
        async with load.running():
            await load.more_acks(ACKS_AROUND, seconds_max=RECOVERY_SECONDS_MAX)
            began = time.monotonic()
            yield load
            await eventually("what was killed is back", self._is_back)
            await load.more_acks(ACKS_AROUND, seconds_max=RECOVERY_SECONDS_MAX)
            fault.failed_seconds = load.longest_silence(began)
        await self.all_ready()
        fault.failed_calls = load.failures
        await self._check(load, fault)
        self.faults.append(fault)

    def _is_back(self) -> bool:
        parts = self.parts()
        return all(parts[name]["pid"] not in (None, pid) for name, pid in self.killed.items())

    async def _check(self, load: Load, fault: Fault) -> None:
        """0 acked lost, 0 doubled, dense, projected. What was unknown is stored once after a repeat."""
        fault.acked = len(load.acked)
        unknown = sorted(load.tried - load.acked.keys())
        await self._recorded(set(load.acked))
        before = await self._stored()
        fault.unknown = len(unknown)
        fault.unknown_stored = sum(key in before for key in ids(unknown).values())
        await load.repeat(unknown)
        await self._recorded(load.tried)
        stored = await self._stored()
        fault.stored = len(stored)
        for event_id, key in ids(load.tried).items():
            dispositions = [disposition for disposition, _ in load.acked[event_id]]
            assert dispositions.count(RECORDED) <= 1
            assert set(dispositions) <= {RECORDED, QUEUED, DUPLICATE}
            told = {position for _, position in load.acked[event_id] if position}
            assert told <= {stored[key]}, f"{event_id}: acked at another position"
        async with self.session("touchpoint") as session:
            await assert_sealed(session)
        await asyncio.to_thread(self.up.caught_up)
        status = await asyncio.to_thread(self.status)
        assert (status["missing_positions"], status["head"]) == (0, len(stored))

    async def _recorded(self, event_ids: set[str]) -> None:
        """Until all are in the journal: at once, but for those that were queued."""
        wanted = set(ids(event_ids).values())
        deadline = time.monotonic() + RECOVERY_SECONDS_MAX
        while missing := wanted - (await self._stored()).keys():
            assert self.mode == "buffered", f"{len(missing)} acked events are lost"
            assert time.monotonic() < deadline, f"{len(missing)} queued events are not recorded"
            await asyncio.sleep(POLL_SECONDS)

    async def _stored(self) -> dict[bytes, int]:
        """The position of each event of the journal, which are dense and all of another one."""
        async with self.session("touchpoint") as session:
            rows = await session.fetch(STORED)
        assert [row["notification_id"] for row in rows] == list(range(1, len(rows) + 1))
        positions = {row["originator_id"].bytes: row["notification_id"] for row in rows}
        assert len(positions) == len(rows), "stored twice"
        return positions

    @contextlib.asynccontextmanager
    async def session(self, database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        connection = await asyncpg.connect(self.up.database_url(database), timeout=10)
        try:
            yield connection
        finally:
            await connection.close()


def ids(event_ids: "set[str] | list[str]") -> dict[str, bytes]:
    """The journal's key of each."""
    names = list(event_ids)
    return dict(zip(names, originator_ids("default", "local", names), strict=True))


async def eventually(what: str, holds: Any, seconds: float = RECOVERY_SECONDS_MAX) -> None:
    """Returns once it holds."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(POLL_SECONDS)
