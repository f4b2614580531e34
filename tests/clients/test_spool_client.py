"""A till that was offline, with a wrong clock, killed again and again, loses and doubles nothing."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from tests.clients import till
from tests.clients.conftest import CLIENT
from tests.support.stack import Stack
from tests.torture.reply_dropper import ReplyDropper
from touchledger.v1 import events_pb2

EVENTS = 20_000
DEADLINE_SECONDS = 60.0
# A commit takes milliseconds.
COMMIT_SECONDS = 2.0
YEAR = 365 * 86_400
JOURNAL = """
SELECT notification_id, received_at, sent_at, state FROM journal.stored_events
 WHERE tenant = 'default' AND source = 'local' ORDER BY notification_id
"""
HEAD = "SELECT position FROM journal.head"


@dataclass
class Till:
    """The process, which can be killed and started again on the same spool."""

    folder: Path
    target: str
    key: str
    process: asyncio.subprocess.Process | None = None

    async def start(self, clock_offset_seconds: int) -> None:
        arguments = (self.target, self.folder / "till.spool", self.folder / "till.book")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            till.__file__,
            *map(str, (*arguments, EVENTS, clock_offset_seconds)),
            env={**os.environ, "PYTHONPATH": str(CLIENT), "TOUCHLEDGER_KEY": self.key},
            stdout=asyncio.subprocess.PIPE,
        )

    @property
    def noted(self) -> list[tuple[int, str]]:
        """What it was told is kept."""
        return till.noted(self.folder / "till.book")

    async def kill(self) -> None:
        assert self.process is not None
        assert self.process.returncode is None, "it has ended before its kill"
        self.process.kill()
        await self.process.wait()

    async def told(self) -> dict[str, Any]:
        """What it says at its end."""
        assert self.process is not None
        out, _ = await asyncio.wait_for(self.process.communicate(), 2 * till.FLUSH_SECONDS)
        assert self.process.returncode == 0
        told: dict[str, Any] = json.loads(out)
        return told


async def eventually(what: str, holds: Callable[[], Awaitable[bool]]) -> None:
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await holds():  # noqa: ASYNC110  # another process is only known by looking
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_SECONDS} s: {what}") from None


async def test_each_event_is_recorded_once_in_device_order_whatever_is_killed(
    stack: Stack, tmp_path: Path
) -> None:
    dropper = ReplyDropper(stack.gateway.address)
    shop = Till(tmp_path, dropper.address, stack.key)
    journal = await asyncpg.connect(stack.urls["touchpoint"])
    try:
        await through_all_faults(stack, shop, dropper, journal)
        told = await shop.told()
        stored = await journal.fetch(JOURNAL)
    finally:
        dropper.stop()
        await journal.close()
    assert told["flushed"]
    assert told["strangers"] == [], "it needs none of the services"
    assert (told["waiting"], told["evicted"], told["rejected"], told["quarantined"]) == (0,) * 4
    assert told["duplicate"] > 0, "answers were lost after their commits"
    assert_stored(stored, shop.noted)


async def through_all_faults(
    stack: Stack, shop: Till, dropper: ReplyDropper, journal: asyncpg.Connection
) -> None:
    async def recorded(share: float) -> None:
        async def holds() -> bool:
            return len(shop.noted) >= share * EVENTS

        await eventually(f"{share} of the events recorded", holds)

    async def committed(more: int) -> None:
        before = await journal.fetchval(HEAD)

        async def holds() -> bool:
            return bool(await journal.fetchval(HEAD) >= before + more)

        await eventually(f"{more} more events committed", holds)

    async def answers_lost() -> None:
        before = await journal.fetchval(HEAD)
        dropper.drop_replies()
        # What is under way may have been committed before this look, and then nothing more comes.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COMMIT_SECONDS):
                while await journal.fetchval(HEAD) == before:
                    pass

    # Offline: nobody listens there.
    await shop.start(-7 * YEAR)
    await recorded(0.3)
    await shop.kill()
    await shop.start(-7 * YEAR + 7200)
    await recorded(0.5)
    # Online, and then what is committed is not heard of.
    await dropper.start()
    await committed(1)
    await answers_lost()
    await shop.kill()
    dropper.cut()
    await shop.start(-8 * YEAR)
    await committed(500)
    stack.gateway.kill()
    await recorded(0.6)
    stack.gateway.start()
    await asyncio.to_thread(stack.gateway.wait_until_ready)
    await committed(500)
    # Once more lost, and this time the till lives to send it again.
    await answers_lost()
    dropper.cut()
    await committed(500)
    await shop.kill()
    await shop.start(-7 * YEAR)


def assert_stored(stored: list[asyncpg.Record], noted: list[tuple[int, str]]) -> None:
    events = [events_pb2.Event.FromString(row["state"]) for row in stored]
    event_ids = [each.event_id for each in events]
    assert [row["notification_id"] for row in stored] == list(range(1, len(stored) + 1))
    assert len(set(event_ids)) == len(event_ids)
    for device in range(till.DEVICES - 1):
        in_order = [
            int(each.attributes["number"])
            for each in events
            if each.place.device == f"till-{device}"
        ]
        assert in_order == list(range(device, EVENTS, till.DEVICES))
    # A till that does not name its events can't know at its start whether the last ones were kept before
    # its kill, and records them again as new ones; all that it was told of are there once, in order.
    last = till.DEVICES - 1
    named_by_client = [each.event_id for each in events if each.place.device == f"till-{last}"]
    told = [event_id for number, event_id in noted if number % till.DEVICES == last]
    assert [each for each in named_by_client if each in set(told)] == told
    assert told == sorted(told), "they ascend, whatever the clock did"
    assert 0 <= len(named_by_client) - len(told) <= 3 * till.CHUNK_MAX
    assert [number for number, _ in noted] == list(range(EVENTS))
    off = {row["received_at"] - row["sent_at"] > timedelta(days=6 * 365) for row in stored}
    assert off == {True}, "sent with a wrong clock"
