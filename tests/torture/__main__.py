"""Kills processes under load, over and over, and checks what was acked: python -m tests.torture --help."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import asyncpg
import psutil

from services.cli.data_folder import LogFile
from services.cli.embedded_postgres import EmbeddedPostgres
from services.touchpoint.identity import originator_ids
from tests.support.sealed import assert_sealed
from tests.support.stack import Service, free_port
from tests.torture.faults import (
    ACKS_BETWEEN,
    HOLD,
    KILLS,
    OTHERS,
    STEP_SECONDS_MAX,
    Torture,
    until_more_acks,
)
from tests.torture.load import CONFLICT, DUPLICATE, RECORDED, TENANT, Follower, Load, Told
from tests.torture.reply_dropper import ReplyDropper

# Of each source; they send each other's events, too.
CLIENTS = 4
SERVICES = 2
KILLS_DEFAULT = 210
# Some 0.8 s for each kill on a small machine.
SECONDS_MAX = 900.0
# Same ids with other content, tried at the end.
FORGERIES = 50
STORED = """
SELECT notification_id, source, originator_id, convert_from(state, 'UTF8') AS event_id
  FROM journal.stored_events ORDER BY notification_id
"""


async def main(kills: int, seed: int) -> None:
    print(f"seed {seed}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        folder = Path(name)
        server = EmbeddedPostgres(
            folder / "data",
            log=LogFile(folder / "postgres.log"),
            password="torture",
            port=free_port(),
        )
        await asyncio.to_thread(server.start)
        services = list[Service]()
        try:
            torture = await prepared(server, folder, services, seed)
            async with asyncio.timeout(SECONDS_MAX):
                done, follower = await under_load(torture, kills)
                checked = await check(torture, follower)
        except BaseException:
            for service in services:
                print(service.log, *service.log.read_text().splitlines()[-20:], sep="\n")
            raise
        finally:
            for service in services:
                if service.process is not None and service.process.poll() is None:
                    service.kill()
            await asyncio.to_thread(server.stop)
    report(done, checked, time.monotonic() - started)


async def prepared(
    server: EmbeddedPostgres, folder: Path, services: list[Service], seed: int
) -> Torture:
    admin = await asyncpg.connect(server.admin_url)
    await admin.execute("CREATE DATABASE touchpoint")
    await admin.close()
    url = f"{server.admin_url.rpartition('/')[0]}/touchpoint?sslmode=disable"
    for number in range(SERVICES):
        environment = {"TOUCHLEDGER_TOUCHPOINT_DATABASE_URL": url}
        services.append(Service("touchpoint", environment, folder / f"touchpoint-{number}.log"))
        services[-1].start()
    for service in services:
        await asyncio.to_thread(service.wait_until_ready)
    addresses = [service.address for service in services]
    droppers = [ReplyDropper(address) for address in addresses]
    for dropper in droppers:
        await dropper.start()
    session = await asyncpg.connect(url)
    await session.execute(HOLD)
    await session.close()

    def postmaster() -> psutil.Process:
        return psutil.Process(int((folder / "data" / "postmaster.pid").read_text().split()[0]))

    def load(source: str, through: list[str]) -> Load:
        return Load(source, through, clients=CLIENTS, folder=folder, seed=seed)

    return Torture(
        server,
        postmaster,
        url,
        services,
        [load("direct", addresses), load("proxied", [each.address for each in droppers])],
        droppers,
        random.Random(seed),
    )


async def under_load(torture: Torture, kills: int) -> tuple[Counter[str], Follower]:
    follower = Follower([service.address for service in torture.services])
    done = Counter[str]()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follower.run())
        loading = [tasks.create_task(load.run()) for load in torture.loads]
        for number, name in enumerate(plan(kills, torture.choice), start=1):
            async with asyncio.timeout(STEP_SECONDS_MAX):
                await (KILLS | OTHERS)[name](torture)
                await until_more_acks(torture.loads, ACKS_BETWEEN)
            done[name] += 1
            print(f"{number:4}  {name}", file=sys.stderr, flush=True)
        for load in torture.loads:
            load.stop()
        async with asyncio.timeout(STEP_SECONDS_MAX), torture.session() as session:
            await asyncio.wait(loading)
            head = await session.fetchval("SELECT position FROM journal.head")
            while len(follower.seen) < head:  # noqa: ASYNC110  # it says nothing while it reads
                await asyncio.sleep(0.05)
        following.cancel()
    return done, follower


def plan(kills: int, choice: random.Random) -> list[str]:
    """Each kind as often as the others, in any order."""
    names = [*KILLS]
    planned = [names[number % len(names)] for number in range(kills)]
    planned += [*OTHERS] * (kills // len(names))
    choice.shuffle(planned)
    return planned


async def check(torture: Torture, follower: Follower) -> dict[str, int]:
    """What came of it, as counts; an AssertionError where a promise is broken."""
    positions = await stored(torture)
    assert follower.seen == [event_id for _, event_id in positions], (
        "the follower saw what is stored"
    )
    counts = Counter[str]()
    for load in torture.loads:
        told = load.told()
        assert_acked(told, load.source, positions)
        unknown = sorted(told.tried - told.acked.keys())
        again = await load.repeat(unknown)
        for event_id in unknown:
            answered = again.acked[event_id]
            if (load.source, event_id) in positions:
                assert answered == [(DUPLICATE, positions[load.source, event_id])]
                counts["events of unknown outcome that were stored"] += 1
            else:
                assert [RECORDED] == [status for status, _ in answered]
                counts["events of unknown outcome that were not stored"] += 1
        forged = sorted(told.acked)[:FORGERIES]
        refused = await load.repeat(forged, "other content")
        assert refused.acked == {
            each: [(CONFLICT, positions[load.source, each])] for each in forged
        }
        for source, event_id in torture.unanswered:
            if source == load.source:
                statuses = {status for status, _ in (told.acked | again.acked)[event_id]}
                assert RECORDED not in statuses, "an answer that was never sent"
                counts["events committed whose answer was lost"] += 1
        counts["events acked"] += len(told.acked)
        counts["events tried"] += len(told.tried)
        counts["calls repeated"] += load.repeats
        assert {(load.source, each) for each in told.tried} == {
            key for key in await stored(torture) if key[0] == load.source
        }
    assert counts["events committed whose answer was lost"], "no kill between commit and reply"
    async with torture.session() as session:
        counts["commits sealed, the chain intact"] = await assert_sealed(session)
    counts["reader's connections"] = follower.connections
    return dict(counts)


async def stored(torture: Torture) -> dict[tuple[str, str], int]:
    """The position of each (source, event id), in order."""
    async with torture.session() as session:
        rows = await session.fetch(STORED)
    assert [row["notification_id"] for row in rows] == list(range(1, len(rows) + 1))
    positions = dict[tuple[str, str], int]()
    for row in rows:
        key = row["source"], row["event_id"]
        assert [row["originator_id"].bytes] == originator_ids(TENANT, key[0], [key[1]])
        assert key not in positions, "stored twice"
        positions[key] = row["notification_id"]
    return positions


def assert_acked(told: Told, source: str, positions: dict[tuple[str, str], int]) -> None:
    for event_id, answers in told.acked.items():
        assert {position for _, position in answers} == {positions[source, event_id]}
        statuses = Counter(status for status, _ in answers)
        assert statuses[RECORDED] <= 1
        assert statuses.keys() <= {RECORDED, DUPLICATE}


def report(done: Counter[str], counts: dict[str, int], seconds: float) -> None:
    for name in (*KILLS, *OTHERS):
        print(f"{done[name]:8,}  {name}")
    print(f"{sum(done[name] for name in KILLS):8,}  kills in {seconds:.0f} s")
    print()
    for name, count in counts.items():
        print(f"{count:8,}  {name}")
    print()
    print(
        "Each acked event is stored once, at the position that it was acked with; unknown ones were"
    )
    print(
        "stored once or not, and once after a repeat; positions are dense; the reader saw all in order."
    )


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=KILLS_DEFAULT, help="how many in all")
    parser.add_argument("--seed", type=int, help="what the same story is told with; default: any")
    return parser.parse_args()


if __name__ == "__main__":
    given = options()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    asyncio.run(main(given.kills, seed))
