"""`touchledger up --cluster` says what runs and where, and promotes nothing while the primary lives."""

import asyncio
import json
import urllib.request
from pathlib import Path

import pytest

from tests.cluster.system import Cluster
from tests.support.up import FREE_PORTS, touchledger


async def test_status_names_each_part_and_what_it_does(cluster: Cluster) -> None:
    await cluster.all_ready()
    run = await asyncio.to_thread(touchledger, "status", "--data", cluster.data)
    assert run.returncode == 0, run.stderr
    for name, part in cluster.parts().items():
        [line] = [line for line in run.stdout.splitlines() if line.split()[:1] == [name]]
        assert line.split()[1:3] == [part["address"], str(part["pid"])]


async def test_each_part_is_printed_with_its_process_when_it_is_ready(cluster: Cluster) -> None:
    printed = cluster.up.output.read_text()
    for name, part in cluster.parts().items():
        assert any(line.split()[:2] == [name, part["address"]] for line in printed.splitlines())


async def test_a_standby_is_not_promoted_while_the_primary_lives(cluster: Cluster) -> None:
    primary = cluster.primary()
    run = await asyncio.to_thread(touchledger, "cluster", "promote", "--data", cluster.data)
    assert run.returncode == 1
    assert f"{primary}: lives, want it dead first: kill -9" in run.stderr
    assert cluster.primary() == primary


def test_each_nats_server_syncs_before_it_acknowledges(cluster: Cluster) -> None:
    if cluster.mode != "buffered":
        pytest.skip("gateways that append have no NATS")
    for each in cluster.of_kind("nats"):
        with urllib.request.urlopen(f"http://{each['http']}/varz", timeout=5) as answer:
            told = json.load(answer)
        assert told["jetstream"]["config"]["sync_always"] is True


@pytest.mark.parametrize(
    ("folder", "options", "words"),
    [
        ("postgres-1", (), "one of two servers, want `up --cluster`"),
        ("postgres", ("--cluster",), "one server's, want a folder of `up --cluster`"),
        ("logs", ("--cluster", "--database-url", "postgresql://x"), "want one of them"),
        ("logs", ("--cluster", "--backup-folder", "never"), "want one of them"),
    ],
)
def test_what_one_server_was_is_not_taken_for_two(
    tmp_path: Path, folder: str, options: tuple[str, ...], words: str
) -> None:
    (tmp_path / "data" / folder).mkdir(parents=True)
    run = touchledger("up", "--data", tmp_path / "data", *FREE_PORTS, *options)
    assert run.returncode in (1, 2)
    assert words in run.stderr
