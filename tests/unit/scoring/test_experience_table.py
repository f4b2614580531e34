"""The table of figures in services/scoring/README.md."""

import re
from pathlib import Path

from services.scoring.experience import FIGURES

README = Path(__file__).parents[3] / "services/scoring/README.md"
ROWS = re.findall(r"^\| (A\d-\d) .*\| (.*) \| (.*) \|$", README.read_text(), re.MULTILINE)


def test_each_question_has_one_row() -> None:
    numbers = {"A0": 5, "A1": 7, "A2": 6, "A3": 6, "A4": 8}
    wanted = [f"{group}-{nth}" for group, n in numbers.items() for nth in range(1, n + 1)]
    assert [number for number, _, _ in ROWS] == wanted


def test_each_figure_is_in_the_table() -> None:
    named = {name for _, figures, _ in ROWS for name in re.findall(r"`(\w+)`", figures)}
    assert named == {figure.name for figure in FIGURES}


def test_each_row_names_specs_that_are_there() -> None:
    for number, _, specs in ROWS:
        files = re.findall(r"\]\(([^)]+)\)", specs)
        assert files, number
        assert all((README.parent / file).is_file() for file in files), number


def test_the_figures_that_keep_back_what_is_of_too_few_are_those_that_say_so() -> None:
    said = (
        README.read_text()
        .partition("Of fewer than five people")[2]
        .partition("All other figures")[0]
    )
    wanted = {figure.name for figure in FIGURES if "too_few" in figure.columns}
    assert wanted == {name for name in re.findall(r"`(\w+)`", said) if name not in ("K", "too_few")}
