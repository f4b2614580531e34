"""Whatever can be made of the OpenAPI document, sent to the real system, is no fault of the server."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.support.up import Key, Up, environment

# By chance for each operation: a number and no time, so that a busy machine tests the same. `make stories`
# gives it seconds instead, for the ten thousand requests at the edges of the document, too.
STORIES = os.environ.get("TOUCHLEDGER_TEST_STORIES")
PHASES = ("examples,coverage,fuzzing", "--max-time", STORIES) if STORIES else ("examples,fuzzing",)
EXAMPLES_MAX = 5
# Of all operations: of some there are few to make.
EXAMPLES_MIN = 60
# Beside the time that it is given.
EXTRA_SECONDS_MAX = 60.0


def test_nothing_that_the_document_allows_or_forbids_is_a_server_error(
    system: Up, tmp_path: Path
) -> None:
    key: Key = system.new_key()
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            f"{system.addresses['http']}/openapi.json",
            *("--header", f"Authorization: Bearer {key.text}"),
            *("--checks", "not_a_server_error"),
            *("--max-examples", f"{EXAMPLES_MAX}"),
            *("--phases", *PHASES),
            *("--mode", "all", "--seed", "7", "--generation-database", "none"),
            # Readiness is a server's error where it is meant.
            *("--exclude-path", "/readyz", "--no-color"),
        ],
        cwd=tmp_path,
        env=environment(PYTHONWARNINGS="default"),
        capture_output=True,
        text=True,
        timeout=int(STORIES or 0) + EXTRA_SECONDS_MAX,
        check=False,
    )
    assert 0 == run.returncode, run.stdout[-5000:] + run.stderr[-2000:]
    [(generated, passed)] = re.findall(r"(\d+) generated, (\d+) passed", run.stdout)
    assert (True, generated) == (int(generated) >= EXAMPLES_MIN, passed), run.stdout[-5000:]


def test_the_document_is_told_to_anybody(system: Up) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{system.addresses['http']}/openapi.json", timeout=10) as answer:
        told = json.loads(answer.read())
    assert ("3.1.0", True) == (told["openapi"], "/v1/events" in told["paths"])
