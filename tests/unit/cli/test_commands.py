"""`touchledger COMMAND`: what each command is, before it runs."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import COMMANDS, app


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_listed_with_its_purpose_and_explains_itself(command: str) -> None:
    listed = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    [line] = [each for each in listed.stdout.splitlines() if f" {command} " in each[:14]]
    purpose = line.split(command, 1)[1].strip(" │")

    explained = CliRunner().invoke(
        app, [command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}
    )

    assert (0, True) == (explained.exit_code, len(purpose) > len("Shows."))
    assert purpose.split(".")[0] in explained.stdout


def test_a_mistyped_command_is_told_what_it_is_like() -> None:
    done = CliRunner().invoke(app, ["scors"], env={"COLUMNS": "200"})

    assert 2 == done.exit_code
    assert "No such command 'scors'. Did you mean 'scores'?" in done.stderr


def test_a_command_imports_no_other() -> None:
    """It would take longer than most commands run."""
    imported = "import sys; from services.cli.__main__ import main\ntry: main()\nfinally: print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", imported, "scores", "--help"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    modules = set(run.stdout.splitlines()[-1].split())
    assert {"services.cli.scores"} == {f"services.cli.{each}" for each in COMMANDS} & modules
