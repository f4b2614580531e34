"""What publishers write is shown on a terminal as it is, and never obeyed by it."""

import pytest
from rich.console import Console
from rich.table import Table

from services.cli.alert_shown import line
from services.cli.shown import cell, visible
from touchledger.v1 import alerts_pb2


def on_a_terminal(*cells: str) -> str:
    table = Table()
    for _ in cells:
        table.add_column()
    table.add_row(*cells)
    console = Console(width=100, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


@pytest.mark.parametrize(
    "obeyed",
    [
        *("\u202e", "\u202a", "\u2066", "\u2069", "\u200e", "\u200f", "\u061c"),
        *("\x1b[31m", "\x9b31m", "\x07", "\r", "\n", "\u2028"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out_in_tables_and_lines(obeyed: str) -> None:
    written = f"store\\u{ord(obeyed[0]):04x}{obeyed[1:]}checkout"
    shown = on_a_terminal(cell(f"store{obeyed}checkout"), cell("next")).split("\n")
    assert any(written in each for each in shown)
    told = line(alerts_pb2.Alert(rule="r", group=f"store{obeyed}checkout"))
    assert written in told
    assert not any(obeyed[0] in each for each in [*shown, told])


def test_other_scripts_and_signs_stay_as_they_are() -> None:
    for text in ("Zürich", "متجر", "חנות", "商店", "👩\u200d🔧", "[bold]", "a\\b"):
        assert text == visible(text)
        assert text in on_a_terminal(cell(text))
