"""One system for the tests of this folder that do not harm it; who publishes has a tenant of his own."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.up import Up, running_up, touchledger

ROOT = Path(__file__).parent.parent.parent
ZONE = "America/Sao_Paulo"


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The real `touchledger up`, which reports in the zone of the real orders."""
    with running_up(tmp_path_factory.mktemp("up"), "--reporting-zone", ZONE) as up:
        yield up


@pytest.fixture(scope="session")
def orders() -> Path:
    """The real orders' tables, which are no part of the repository."""
    named = os.environ.get("TOUCHLEDGER_SHARED_DATA")
    # Under a variable that names it, the shared data may be the folder itself or what holds it.
    places = [Path(named), Path(named, "olist")] if named else []
    places.append(ROOT.parent / "shared" / "data" / "olist")
    for place in places:
        if (place / "expected.json").is_file():
            return place
    pytest.skip(
        "NO REAL ORDERS: the figures of the Olist sample are NOT checked; want orders.csv, expected.json "
        f"and the others in {places[-1]}, or in a folder that TOUCHLEDGER_SHARED_DATA names"
    )


@pytest.fixture(scope="session")
def expected(orders: Path) -> dict[str, Any]:
    """Figures worked out from the tables by a script that shares nothing with us."""
    figures: dict[str, Any] = json.loads((orders / "expected.json").read_text())
    return figures


@pytest.fixture(scope="package")
def replayed(system: Up, orders: Path) -> dict[str, Any]:
    """What `replay` of the real orders into the system's own tenant said."""
    run = touchledger("replay", "--format", "olist", orders, "--data", system.data, "--json")
    assert run.returncode == 0, run.stderr
    told: dict[str, Any] = json.loads(run.stdout)
    return told
