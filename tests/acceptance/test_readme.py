"""Every command of the README does what the README says, run in a folder of its own as a newcomer would."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from services.cli.simulator import quarter
from tests.support.olist import write_tables
from touchledger import event_json

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
# The parts of a checkout that its commands need.
CHECKOUT = ("Makefile", "pyproject.toml", "requirements", "protos", "services", "clients", "tests")
FREE_PORTS = {
    f"TOUCHLEDGER_{name}_PORT": "0" for name in ("GRPC", "HTTP", "SQL", "TOUCHPOINT", "SCORING")
}
SECONDS_MAX = 120


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The command lines of the README, continuation lines joined, comments off."""
    lines = re.sub(r"\\\n\s*", " ", "".join(blocks("sh"))).splitlines()
    joined: list[str] = []
    for line in lines:
        if joined and joined[-1].count("'") % 2:
            joined[-1] += " " + line.strip()
        else:
            joined.append(line.partition("    #")[0].strip())
    return joined


@dataclass(frozen=True)
class Newcomer:
    """Somebody in a fresh checkout with a fresh home."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        # What a developer has set for the system, and what the make that runs the tests was told.
        ours = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("TOUCHLEDGER_", "MAKE", "MFLAGS")) and name != "ARGS"
        }
        return ours | FREE_PORTS | {"HOME": str(self.folder), "COLUMNS": "80"}

    def runs(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def address(self, name: str) -> str:
        running = json.loads((self.folder / ".touchledger" / "system.json").read_text())
        return str(running[name])

    def with_ports(self, text: str) -> str:
        """The README names the default ports; here they are free ones."""
        return text.replace("127.0.0.1:50051", self.address("grpc")).replace(
            "http://127.0.0.1:8080", self.address("http")
        )


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    folder = tmp_path_factory.mktemp("checkout")
    for name in CHECKOUT:
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").mkdir()
    for part in (ROOT / ".venv").iterdir():
        if part.name in (
            "run",
            "dev",
            "node",
        ):  # stamps of make: fresh, so that it installs nothing from here
            (folder / ".venv" / part.name).touch()
        else:
            (folder / ".venv" / part.name).symlink_to(part)
    lines = [event_json.to_json(each) for each in quarter(seed=7, customers=20)]
    (folder / "events.ndjson").write_text("\n".join(lines) + "\n")
    write_tables(folder / "olist")
    return Newcomer(folder)


@pytest.fixture(scope="module")
def demo_output(newcomer: Newcomer) -> str:
    return newcomer.runs("make demo ARGS=--exit")


@pytest.fixture(scope="module")
def serving(newcomer: Newcomer, demo_output: str) -> Iterator[Newcomer]:
    """`make run`, on the data of the demo."""
    with (newcomer.folder / "run.log").open("wb") as log:
        process = subprocess.Popen(
            ["make", "run"], cwd=newcomer.folder, env=newcomer.environment, stdout=log, stderr=log
        )
    deadline = time.monotonic() + SECONDS_MAX
    while not (newcomer.folder / ".touchledger" / "system.json").exists():
        assert process.poll() is None, (newcomer.folder / "run.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield newcomer
    launcher = json.loads((newcomer.folder / ".touchledger" / "system.json").read_text())["pid"]
    os.kill(launcher, signal.SIGTERM)
    assert process.wait(SECONDS_MAX) == 0


def test_the_demo_shows_the_table_that_the_readme_shows(demo_output: str) -> None:
    shown = {line.strip() for line in demo_output.splitlines()}
    rows = [line.strip() for line in blocks("text")[0].splitlines() if "/" in line]
    assert len(rows) > 5
    assert [] == [row for row in rows if row not in shown]
    assert "30,379 RECORDED" in demo_output


def test_a_second_demo_adds_no_duplicate(newcomer: Newcomer, demo_output: str) -> None:
    again = newcomer.runs("make demo ARGS=--exit")
    assert "30,379 DUPLICATE" in again
    table = re.compile(r"^ \w+\.\w+ .*$", re.MULTILINE)
    assert table.findall(demo_output) == table.findall(again)


def test_make_test_runs_the_suite(newcomer: Newcomer) -> None:
    assert "make test" in commands()
    assert "-m pytest" in newcomer.runs("make --dry-run test")


@pytest.mark.parametrize("command", [each for each in commands() if not each.startswith("make")])
def test_a_command_of_the_readme_runs(serving: Newcomer, command: str) -> None:
    assert serving.runs(serving.with_ports(command)).strip()


def test_the_python_example_publishes_once(serving: Newcomer) -> None:
    [example] = blocks("python")
    script = serving.folder / "example.py"
    script.write_text(serving.with_ports(example))
    assert "DISPOSITION_RECORDED" in serving.runs(f"{sys.executable} {script}")


async def test_the_sql_example_gives_scores(serving: Newcomer) -> None:
    [query] = blocks("sql")
    connection = await asyncpg.connect(serving.address("sql"))
    try:
        rows = await connection.fetch(query)
    finally:
        await connection.close()
    assert "call.billing" in {row["touchpoint"] for row in rows}


def test_the_keys_of_the_json_are_those_that_the_readme_lists(serving: Newcomer) -> None:
    rows = json.loads(serving.runs(".venv/bin/touchledger scores --json"))
    status = json.loads(serving.runs(".venv/bin/touchledger status --json"))
    listed = re.search(r"The JSON of `scores --json`.*?\n\n", README, re.DOTALL)
    assert listed is not None
    named = re.findall(r"`(\w+)`", listed[0])
    assert [*rows[0], *status] == [each for each in named if each not in ("null",)]


def test_the_files_that_the_readme_names_exist() -> None:
    missing = [
        target
        for target in re.findall(r"\]\(([^)#]+)\)", README)
        if "://" not in target and not (ROOT / target).exists()
    ]
    assert [] == missing
