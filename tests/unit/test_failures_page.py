"""docs/failures.md names a test for each failure, and each test of a failure stands there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "failures.md"
LINK = re.compile(r"\[(test_\w+)\]\(([^)\s]+)\)")
TEST = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)


def test_each_link_leads_to_a_test_that_exists() -> None:
    links = LINK.findall(PAGE.read_text())
    assert len(links) > 10
    for name, target in links:
        assert name in TEST.findall((PAGE.parent / target).read_text()), name


def test_each_line_of_the_table_has_a_link() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert lines[0].endswith("| test |")
    assert all(LINK.search(line) for line in lines[1:])


def test_each_test_of_a_failure_is_told() -> None:
    tests = TEST.findall((ROOT / "tests" / "cluster" / "test_failures.py").read_text())
    assert set(tests) <= {name for name, _ in LINK.findall(PAGE.read_text())}
