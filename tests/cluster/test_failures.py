"""What happens when one of them dies, under load through both gateways: docs/failures.md says it in words."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_torture import read_models, rows
from tests.cluster.network import Network, is_ours
from tests.cluster.system import ACKS_AROUND, RECOVERY_SECONDS_MAX, Cluster, eventually
from tests.support.stack import Service
from tests.support.up import touchledger

OWNER = "SELECT owner FROM scoring.lease WHERE projection = 'live'"
# Longer than any election or lease takes.
CUT_OFF_SECONDS = 5.0


async def test_a_gateway_that_is_killed_costs_its_callers_a_repeat(cluster: Cluster) -> None:
    async with cluster.load("a gateway"):
        cluster.kill("gateway-1")


async def test_a_touchpoint_service_that_is_killed_costs_a_repeat_inside(cluster: Cluster) -> None:
    async with cluster.load("a touchpoint service"):
        cluster.kill("touchpoint-1")


async def test_the_scoring_worker_that_projects_is_killed_and_the_other_takes_over(
    cluster: Cluster,
) -> None:
    name, other = await asyncio.to_thread(projecting, cluster)
    async with cluster.load("the scoring worker that projects") as load:
        cluster.kill(name)
        await eventually("the other one projects", lambda: projecting(cluster)[0] == other)
    assert load.failures == 0, "publishing needs no scoring"


async def test_a_scoring_worker_that_stands_still_writes_nothing_once_another_one_has_taken_over(
    cluster: Cluster,
) -> None:
    name, other = await asyncio.to_thread(projecting, cluster)
    async with cluster.load("(stopped, and woken) the worker that projects") as load:
        cluster.signal(name, signal.SIGSTOP)
        try:
            await eventually("the other one projects", lambda: projecting(cluster)[0] == other)
        finally:
            cluster.signal(name, signal.SIGCONT)
    assert load.failures == 0, "publishing needs no scoring"


async def test_without_its_standby_postgresql_acknowledges_nothing_until_it_is_back(
    cluster: Cluster,
) -> None:
    async with cluster.load("PostgreSQL's standby"):
        cluster.kill(cluster.standby())


async def test_the_standby_has_all_that_was_acked_when_the_primary_is_killed(
    cluster: Cluster,
) -> None:
    old, new = cluster.primary(), cluster.standby()
    async with cluster.load("PostgreSQL's primary, its standby promoted"):
        cluster.kill(old)
        await promoted(cluster, old)
    assert (cluster.primary(), cluster.standby()) == (new, old)


def projecting(cluster: Cluster) -> tuple[str, str]:
    """The scoring worker that projects, and the one that stands by."""
    [[owner]] = cluster.up.rows("scoring", OWNER)
    pid = int(owner.rpartition(":")[2] or 0)
    workers = {each["pid"]: each["name"] for each in cluster.of_kind("scoring")}
    owner = workers.pop(pid, "")
    return owner, next(iter(workers.values()))


async def promoted(cluster: Cluster, old: str) -> None:
    """The only step that a person takes."""
    await eventually("its death is known", lambda: cluster.parts()[old]["pid"] is None)
    run = await asyncio.to_thread(touchledger, "cluster", "promote", "--data", cluster.data)
    assert run.returncode == 0, run.stderr


@pytest.fixture
def buffered(cluster: Cluster) -> Cluster:
    if cluster.mode != "buffered":
        pytest.skip("gateways that append have no NATS")
    return cluster


def leader(cluster: Cluster) -> str:
    [name] = [name for name, state in cluster.states().items() if "leads" in state]
    return name


async def test_the_nats_server_that_leads_is_killed_and_another_one_leads(
    buffered: Cluster,
) -> None:
    name = await asyncio.to_thread(leader, buffered)
    async with buffered.load("the NATS server that leads"):
        buffered.kill(name)


async def test_with_two_nats_servers_killed_nothing_is_queued_until_one_is_back(
    buffered: Cluster,
) -> None:
    first = await asyncio.to_thread(leader, buffered)
    second = next(each["name"] for each in buffered.of_kind("nats") if each["name"] != first)
    async with buffered.load("two NATS servers, one of them the leader"):
        buffered.kill(first)
        buffered.kill(second)


# Cut off


@pytest.fixture
def network() -> Iterator[Network]:
    if not is_ours():
        pytest.skip("NO NETWORK NAMESPACE HERE: nothing is cut off, want root and iptables")
    network = Network()
    yield network
    network.heal()


async def test_the_machine_of_the_primary_is_lost_without_a_word_and_the_standby_goes_on(
    cluster: Cluster, network: Network
) -> None:
    old, new = cluster.primary(), cluster.standby()
    async with cluster.load("PostgreSQL's primary, in silence") as load:
        # Its end reaches nobody: connections to it stay open.
        network.cut_off(cluster.ports(old))
        cluster.kill(old)
        await promoted(cluster, old)
        await load.more_acks(ACKS_AROUND, seconds_max=RECOVERY_SECONDS_MAX)
        # Only now can it be reached again, as what it is by then: the standby.
        network.heal()
    assert (cluster.primary(), cluster.standby()) == (new, old)


async def test_a_primary_that_is_cut_off_acknowledges_nothing_until_it_is_back(
    cluster: Cluster, network: Network
) -> None:
    async with cluster.load("PostgreSQL's primary, cut off for 5 s"):
        network.cut_off(cluster.ports(cluster.primary()))
        await asyncio.sleep(CUT_OFF_SECONDS)
        network.heal()


async def test_a_nats_server_that_leads_and_is_cut_off_queues_nothing_alone(
    buffered: Cluster, network: Network
) -> None:
    name = await asyncio.to_thread(leader, buffered)
    async with buffered.load("the NATS server that leads, cut off for 5 s"):
        network.cut_off(buffered.ports(name))
        await asyncio.sleep(CUT_OFF_SECONDS)
        network.heal()


# At the end


async def test_after_all_of_it_the_read_models_are_those_of_a_rebuild(
    cluster: Cluster, tmp_path: Path
) -> None:
    head = await asyncio.to_thread(cluster.up.caught_up)
    async with cluster.session("postgres") as session:
        await session.execute("CREATE DATABASE rebuilt")
    live, again = (cluster.up.database_url(each) for each in ("scoring", "rebuilt"))
    environment = {
        "TOUCHLEDGER_SCORING_DATABASE_URL": again,
        "TOUCHLEDGER_SCORING_JOURNAL_TARGET": cluster.target("touchpoint"),
        "TOUCHLEDGER_SCORING_PEERS_SECRET_FILE": str(cluster.data / "secrets" / "peers.secret"),
    }
    service = Service("scoring", environment, tmp_path / "rebuilt.log")
    service.start()
    try:
        await asyncio.to_thread(service.wait_until_ready)
        await eventually(
            "the rebuild ends",
            lambda: rows(again, "SELECT position FROM bi.freshness")[0][0] == head,
        )
    finally:
        service.kill()
    wanted = await asyncio.to_thread(read_models, live)
    found = await asyncio.to_thread(read_models, again)
    assert wanted.keys() == found.keys()
    for table in wanted:
        assert wanted[table] == found[table], table
    assert head > 0
