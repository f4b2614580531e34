"""A real Prometheus scrapes three processes; its rules fire on faults that are planted, and on nothing else.

`make test/operations` alone runs it: it needs Debian's package, which that target unpacks into a folder.
"""

import asyncio
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import yaml

from tests.acceptance.test_torture import eventually
from tests.acceptance.test_traces import new_traceparent, publish
from tests.support.stack import Stack, free_port, running_stack

OBSERVABILITY = Path(__file__).parents[2] / "deploy" / "observability"
PROMETHEUS = os.environ.get("PROMETHEUS", "")
SERVICES = ("touchpoint", "scoring", "gateway")
# A service looks each 10 seconds, and a fault that is not waited for fires at the next evaluation.
DEADLINE_SECONDS = 60
# One a second, for longer than WAITED_OUT.
LOOKS, WAITED_OUT = 20, "for: 15s"

pytestmark = pytest.mark.skipif(not PROMETHEUS, reason="no Prometheus: `make test/operations`")


@dataclass(frozen=True)
class Watched:
    """A system, and the Prometheus that scrapes it."""

    stack: Stack
    prometheus: str

    def ask(self, path: str) -> list[dict[str, object]]:
        with urllib.request.urlopen(f"{self.prometheus}/api/v1/{path}", timeout=5) as answer:
            data = json.load(answer)["data"]
        found: list[dict[str, object]] = data["activeTargets" if path == "targets" else "alerts"]
        return found

    def all_scraped(self) -> bool:
        try:
            targets = self.ask("targets")
        except urllib.error.URLError:
            return False
        return len(targets) == 3 and {each["health"] for each in targets} == {"up"}

    def firing(self) -> set[str]:
        return {
            str(each["labels"]["alertname"])  # type: ignore[index]  # as the API has it
            for each in self.ask("alerts")
            if each["state"] == "firing"
        }


@pytest.fixture
def watched(tmp_path: Path, new_database: Callable[[str], str]) -> Iterator[Watched]:
    urls = {name: new_database(name) for name in SERVICES}
    ports = {name: free_port() for name in SERVICES}
    environment = {
        f"TOUCHLEDGER_{name.upper()}_METRICS_LISTEN": f"{port}" for name, port in ports.items()
    }
    listen = f"127.0.0.1:{free_port()}"
    _configure(tmp_path, [f"127.0.0.1:{port}" for port in ports.values()])
    with (
        running_stack(tmp_path, urls, environment=environment) as stack,
        (tmp_path / "prometheus.log").open("wb") as log,
    ):
        prometheus = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'samples'}",
                f"--web.listen-address={listen}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            found = Watched(stack, f"http://{listen}")
            eventually("all are scraped", found.all_scraped, DEADLINE_SECONDS)
            yield found
        finally:
            prometheus.terminate()
            prometheus.wait(30)


def _configure(folder: Path, targets: list[str]) -> None:
    """The files of deploy/observability, less their addresses, and the time that faults are waited out."""
    document = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())
    document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    document["scrape_configs"][0]["static_configs"][0]["targets"] = targets
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
    rules = (OBSERVABILITY / "alerts.yml").read_text()
    (folder / "alerts.yml").write_text(re.sub(r"for: \d+m", WAITED_OUT, rules))


def execute(url: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def test_rules_fire_on_planted_faults_alone_and_end_with_them(watched: Watched) -> None:
    for number in range(20):
        publish(watched.stack, f"visit {number}", new_traceparent()[2])
    # Longer than anything is waited out: a fault of the rules themselves would have shown.
    for _ in range(LOOKS):
        assert watched.firing() == set()
        time.sleep(1.0)

    scores = watched.stack.urls["scoring"]
    execute(scores, "UPDATE bi.freshness SET events = events - 1")
    missing = "TouchledgerPositionsMissing"
    eventually("it fires", lambda: watched.firing() == {missing}, DEADLINE_SECONDS)
    execute(scores, "UPDATE bi.freshness SET events = events + 1")
    eventually("it ends", lambda: watched.firing() == set(), DEADLINE_SECONDS)

    watched.stack.touchpoints[0].kill()
    eventually(
        "who is away is told, and that the projection hears nothing",
        lambda: watched.firing() >= {"TouchledgerServiceAway", "TouchledgerProjectionDeaf"},
        2 * DEADLINE_SECONDS,
    )
    watched.stack.touchpoints[0].start()
    eventually("both end", lambda: watched.firing() == set(), DEADLINE_SECONDS)
