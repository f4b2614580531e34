"""The ways in which processes are killed, each at a moment that it is about."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import asyncpg
import psutil

from services.chassis.errors import DATABASE_AWAY
from services.chassis.postgres import Connection
from services.cli.embedded_postgres import EmbeddedPostgres
from tests.support.stack import Service
from tests.torture.load import TENANT, Load
from tests.torture.reply_dropper import ReplyDropper

STEP_SECONDS_MAX = 60.0
# What is answered between two kills, so that each hits a system at work.
ACKS_BETWEEN = 20
# A commit takes milliseconds.
COMMIT_SECONDS = 1.0
HELD_AT = 4711
# An append that holds the append lock stands here while we hold HELD_AT.
HOLD = f"""
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared({HELD_AT}); RETURN NULL; END $$;
CREATE TRIGGER hold BEFORE INSERT ON journal.stored_events
    FOR EACH STATEMENT EXECUTE FUNCTION hold()
"""
# Who stands there, and that it is the one with the append lock.
HELD = f"""
SELECT session.pid, session.client_port, session.query LIKE '%journal.append(%' AS by_call
  FROM pg_locks AS waiting
  JOIN pg_locks AS turn USING (pid)
  JOIN pg_stat_activity AS session USING (pid)
 WHERE waiting.locktype = 'advisory' AND waiting.objid = {HELD_AT} AND NOT waiting.granted
   AND turn.locktype = 'advisory' AND turn.classid = 1 AND turn.objid = 3015146706 AND turn.granted
"""
SESSIONS = """
SELECT pid FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'touchledger-touchpoint'
"""
IS_IDLE = "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $1"
HEAD = "SELECT position FROM journal.head"
LAST_OF_NEXT_COMMIT = "SELECT last_position FROM journal.seals WHERE first_position = $1 + 1"
BETWEEN = """
SELECT source, convert_from(state, 'UTF8') FROM journal.stored_events
 WHERE notification_id > $1 AND notification_id <= $2
"""
COMMITTED = """
SELECT count(*) FROM journal.stored_events
 WHERE notification_id > $1 AND tenant = $2 AND source = $3
"""


async def until_more_acks(loads: Sequence[Load], count: int) -> None:
    enough = sum(load.acks for load in loads) + count
    async with asyncio.timeout(STEP_SECONDS_MAX):
        while sum(load.acks for load in loads) < enough:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.01)


@dataclass
class Torture:
    """What there is to kill, and what must not have been answered."""

    server: EmbeddedPostgres
    postmaster: Callable[[], psutil.Process]
    url: str
    services: list[Service]
    loads: list[Load]
    droppers: list[ReplyDropper]
    choice: random.Random
    # Committed, and nobody was told: (source, event id).
    unanswered: set[tuple[str, str]] = field(default_factory=set)

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """A session of our own, once PostgreSQL is there again."""
        async with asyncio.timeout(STEP_SECONDS_MAX):
            while True:
                try:
                    connection = await asyncpg.connect(self.url)
                    break
                except DATABASE_AWAY:
                    await asyncio.sleep(0.05)
        try:
            yield connection
        finally:
            connection.terminate()

    async def note_unanswered(self, session: Connection, after: int, to: int) -> None:
        rows = await session.fetch(BETWEEN, after, to)
        self.unanswered |= {(source, event_id) for source, event_id in rows}

    def service_of(self, client_port: int) -> Service:
        for service in self.services:
            assert service.process is not None
            for connection in psutil.Process(service.process.pid).net_connections("tcp"):
                if connection.laddr.port == client_port:
                    return service
        raise AssertionError(f"no service has port {client_port}")

    async def start_postgres(self) -> None:
        await asyncio.to_thread(self.server.start)


@dataclass
class Held:
    """A session of a service that holds the append lock and can't go on."""

    session: Connection
    pid: int
    service: Service
    head: int

    async def release(self) -> None:
        await self.session.execute(f"SELECT pg_advisory_unlock({HELD_AT})")


@contextlib.asynccontextmanager
async def held_append(torture: Torture, *, by_call: bool = False) -> AsyncIterator[Held]:
    """by_call: one that commits without another word from its service."""
    async with torture.session() as session, asyncio.timeout(STEP_SECONDS_MAX):
        while True:
            await session.execute(f"SELECT pg_advisory_lock({HELD_AT})")
            while (found := await session.fetchrow(HELD)) is None:
                pass
            if found["by_call"] or not by_call:
                break
            await session.execute(f"SELECT pg_advisory_unlock({HELD_AT})")
            await until_more_acks(torture.loads, 1)
        service = torture.service_of(found["client_port"])
        yield Held(session, found["pid"], service, await session.fetchval(HEAD))


async def service_at_random(torture: Torture) -> None:
    service = torture.choice.choice(torture.services)
    await until_more_acks(torture.loads, torture.choice.randint(1, 50))
    service.kill()
    service.start()


async def service_with_the_append_lock(torture: Torture) -> None:
    """What it was about to commit is stored by nobody or once; the other one goes on at once."""
    async with held_append(torture) as held:
        held.service.kill()
        await held.release()
    held.service.start()


async def service_between_commit_and_reply(torture: Torture) -> None:
    """It is stopped before the commit and killed after it: nobody can have been answered."""
    async with held_append(torture, by_call=True) as held:
        assert held.service.process is not None
        held.service.process.send_signal(signal.SIGSTOP)
        await held.release()
        while not await held.session.fetchval(IS_IDLE, held.pid):
            pass
        to = await held.session.fetchval(LAST_OF_NEXT_COMMIT, held.head)
        # It may have found a duplicate instead, and stored nothing yet.
        if to is not None:
            await torture.note_unanswered(held.session, held.head, to)
        held.service.kill()
    held.service.start()


async def session_at_random(torture: Torture) -> None:
    """PostgreSQL ends all others, too, and recovers."""
    await until_more_acks(torture.loads, torture.choice.randint(1, 50))
    async with torture.session() as session:
        pids = [row["pid"] for row in await session.fetch(SESSIONS)]
    # None, where a service has just been killed: then the one that looks after the log.
    pids = pids or [each.pid for each in torture.postmaster().children()]
    with contextlib.suppress(ProcessLookupError):
        os.kill(torture.choice.choice(pids), signal.SIGKILL)


async def session_with_the_append_lock(torture: Torture) -> None:
    async with held_append(torture) as held:
        os.kill(held.pid, signal.SIGKILL)


async def postmaster(torture: Torture) -> None:
    """Its children end by themselves."""
    await until_more_acks(torture.loads, torture.choice.randint(1, 50))
    torture.postmaster().kill()
    await torture.start_postgres()


async def all_of_postgres(torture: Torture) -> None:
    """Without a last word, as when the machine goes; its cache of the disk stays, though."""
    await until_more_acks(torture.loads, torture.choice.randint(1, 50))
    head = torture.postmaster()
    for process in (head, *head.children()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    await torture.start_postgres()


async def lost_replies(torture: Torture) -> None:
    """Not a kill: the network takes the answers of what is committed."""
    proxied = torture.loads[1]
    lost = list[tuple[str, str]]()
    # Again, where all that these clients had under way were duplicates: nothing is committed for those.
    while not lost:
        await until_more_acks([proxied], 1)
        async with held_append(torture) as held:
            for dropper in torture.droppers:
                dropper.drop_replies()
            await held.release()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COMMIT_SECONDS):
                    while not await held.session.fetchval(
                        COMMITTED, held.head, TENANT, proxied.source
                    ):
                        pass
        async with torture.session() as session:
            rows = await session.fetch(BETWEEN, held.head, await session.fetchval(HEAD))
        lost = [(of, event_id) for of, event_id in rows if of == proxied.source]
        for dropper in torture.droppers:
            dropper.cut()
    torture.unanswered |= set(lost)


Fault = Callable[[Torture], Awaitable[None]]
KILLS: dict[str, Fault] = {
    "service, at random": service_at_random,
    "service that holds the append lock": service_with_the_append_lock,
    "service between commit and reply": service_between_commit_and_reply,
    "PostgreSQL session, at random": session_at_random,
    "PostgreSQL session that holds the append lock": session_with_the_append_lock,
    "postmaster": postmaster,
    "all of PostgreSQL at once": all_of_postgres,
}
OTHERS: dict[str, Fault] = {"(no kill) replies lost on the way": lost_replies}
