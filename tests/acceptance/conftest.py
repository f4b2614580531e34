"""One system for the tests of this folder that do not harm it; who publishes has a tenant of his own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import real_orders
from tests.support.up import Up, running_up, touchledger

ZONE = "America/Sao_Paulo"


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The real `touchledger up`, which reports in the zone of the real orders."""
    with running_up(tmp_path_factory.mktemp("up"), "--reporting-zone", ZONE) as up:
        yield up


@pytest.fixture(scope="session")
def orders() -> Path:
    return real_orders.folder()


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
