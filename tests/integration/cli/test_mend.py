"""Databases that another tool has restored are told so by one command, in the image as elsewhere."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.support.up import COMMAND_SECONDS_MAX, environment

JOB = Path(__file__).parents[3] / "deploy" / "k8s" / "mend" / "mend.yaml"


def mend(secrets: Path) -> subprocess.CompletedProcess[str]:
    """As the Job runs it, which has the URLs in files."""
    [container] = yaml.safe_load(JOB.read_text())["spec"]["template"]["spec"]["containers"]
    return subprocess.run(
        [sys.executable, *container["command"][1:]],
        env=environment(TOUCHLEDGER_SECRETS_DIR=str(secrets)),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )


def test_the_urls_may_be_files_of_a_folder(
    tmp_path: Path, new_database: Callable[[str], str]
) -> None:
    for service in ("touchpoint", "scoring"):
        file = tmp_path / f"TOUCHLEDGER_{service.upper()}_DATABASE_URL"
        file.write_text(new_database(service))
    first, again = mend(tmp_path), mend(tmp_path)
    assert (0, 0) == (first.returncode, again.returncode), first.stderr
    [before, after] = [each.stdout.split()[1::3] for each in (first, again)]
    # Journal BEFORE is now AFTER.
    assert before[1] == after[0]


def test_without_a_url_the_variable_is_named(tmp_path: Path) -> None:
    refused = mend(tmp_path)
    assert 1 == refused.returncode
    assert "touchledger: TOUCHLEDGER_TOUCHPOINT_DATABASE_URL: Field required\n" == refused.stderr
