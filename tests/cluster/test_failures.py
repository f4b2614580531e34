"""What happens when one of them dies, under load through both gateways: docs/failures.md says it in words."""

import asyncio

import pytest

from tests.cluster.system import Cluster, eventually
from tests.support.up import touchledger


async def test_a_gateway_that_is_killed_costs_its_callers_a_repeat(cluster: Cluster) -> None:
    async with cluster.load("a gateway"):
        cluster.kill("gateway-1")


async def test_a_touchpoint_service_that_is_killed_costs_a_repeat_inside(cluster: Cluster) -> None:
    async with cluster.load("a touchpoint service"):
        cluster.kill("touchpoint-1")


async def test_the_scoring_worker_that_projects_is_killed_and_the_other_takes_over(
    cluster: Cluster,
) -> None:
    def projects() -> int:
        return int((cluster.status()["projected_by"] or ":0").rpartition(":")[2])

    owner = await asyncio.to_thread(projects)
    [name] = [each["name"] for each in cluster.of_kind("scoring") if each["pid"] == owner]
    [other] = {each["name"]: each["pid"] for each in cluster.of_kind("scoring")}.keys() - {name}
    pid = cluster.parts()[other]["pid"]
    async with cluster.load("the scoring worker that projects") as load:
        cluster.kill(name)
        await eventually("the other one projects", lambda: projects() == pid)
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
        await eventually("its death is known", lambda: cluster.parts()[old]["pid"] is None)
        run = await asyncio.to_thread(touchledger, "cluster", "promote", "--data", cluster.data)
        assert run.returncode == 0, run.stderr
    assert (cluster.primary(), cluster.standby()) == (new, old)


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
