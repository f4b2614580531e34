"""`touchledger report experience`, on the simulated quarter, against folds of what the journal has stored."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from services.cli.simulator import quarter
from services.scoring.experience import FIGURES
from services.scoring.experience.figure import Figure
from tests.support.told import Told, told
from tests.support.up import running_up, touchledger
from touchledger import event_json
from touchledger.v1.events_pb2 import Event, PersonalData
from touchledger.v1.journal_pb2 import RecordedEvent

END = "2026-10-01T00:00:00Z"
STORED = "SELECT notification_id, source, topic, state FROM journal.stored_events ORDER BY 1"
# Behind it are answers with words.
ISSUE = "long_wait"
READ: dict[str, Any] = {
    "bigint": int,
    "integer": int,
    "double precision": float,
    "boolean": lambda text: text == "true",
    "timestamptz": datetime.fromisoformat,
    "text": str,
}


@dataclass(frozen=True, slots=True)
class Reported:
    # What the command says of each figure.
    figures: dict[str, dict[str, Any]]
    # What the journal holds, and what it means.
    journal: list[RecordedEvent]
    events: list[Told]
    # What a person reads.
    lines: list[str]
    # Positions behind an issue.
    behind: list[int]


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    folder = tmp_path_factory.mktemp("report")
    lines = [event_json.to_json(each) for each in quarter()]
    Path(folder / "events.ndjson").write_text("\n".join(lines) + "\n")
    with running_up(folder) as system:
        run = touchledger("replay", folder / "events.ndjson", "--data", system.data)
        assert run.returncode == 0, run.stderr
        system.caught_up()
        run = touchledger(
            *("report", "experience", "--occurred-before", END, "--json", "--data", system.data)
        )
        assert run.returncode == 0, run.stderr
        shown = touchledger(
            *("report", "experience", "--occurred-before", END, "--rows", 2, "--data", system.data),
            *("--figure", "public_post_trace", "--figure", "training"),
            COLUMNS="80",
        )
        assert shown.returncode == 0, shown.stderr
        behind = touchledger(
            *("report", "events", "reason_behind_issue", f"issue_code={ISSUE}", "--limit", 10_000),
            *("--occurred-before", END, "--json", "--data", system.data),
        )
        assert behind.returncode == 0, behind.stderr
        journal = [
            RecordedEvent(position=position, source=source, topic=topic, event=bytes(state))
            for position, source, topic, state in system.rows("touchpoint", STORED)
        ]
    figures = {each["figure"]["name"]: each for each in json.loads(run.stdout)}
    return Reported(
        figures,
        journal,
        told(journal, before=datetime.fromisoformat(END)),
        shown.stdout.splitlines(),
        [int(each["position"]) for each in json.loads(behind.stdout)["events"]],
    )


def test_a_person_reads_what_comes_first_and_no_score_without_its_interval(
    reported: Reported,
) -> None:
    figures, lines = reported.figures, reported.lines
    [worst] = [
        row for row in figures["public_post_trace"]["rows"] if row["values"].get("rank") == "1"
    ]
    first = next(line for line in lines if re.search("-[0-9a-f]{12} ", line))
    assert worst["keys"]["post_id"] in first
    assert "and more rows, see --rows" in lines
    assert any(re.search(r"listening .* \S+ \[\S+…\S+\]", line) for line in lines)


def test_from_a_row_the_journal_has_the_words_of_the_customers_behind_it(
    reported: Reported,
) -> None:
    """As services/scoring/README.md says."""
    said = {each.event_id: each.personal.comment for each in quarter() if each.personal.comment}
    words = 0
    for position in reported.behind:
        event = Event.FromString(reported.journal[position - 1].event)
        assert 0 == event.sealed_personal.key_id
        comment = PersonalData.FromString(event.sealed_personal.data).comment
        assert said.get(event.event_id, "") == comment
        words += bool(comment)
    assert words > 5


def test_it_tells_of_all_figures_as_of_one_position(
    reported: Reported,
) -> None:
    figures = reported.figures
    assert {each.name for each in FIGURES} == set(figures)
    assert 1 == len({each["as_of_position"]["number"] for each in figures.values()})
    # After the last interaction nothing is known not to have happened.
    [horizon] = {each["horizon"] for each in figures.values()}
    assert "2026-09-30" == horizon[:10]


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_each_figure_has_rows_that_equal_a_fold_of_the_stored_events(
    reported: Reported, figure: Figure
) -> None:
    figures, events = reported.figures, reported.events
    fold = import_module(f"tests.integration.scoring.experience.folds.{figure.name}").fold
    answer = figures[figure.name]
    wanted = fold(events, datetime.fromisoformat(answer["horizon"]))
    rows = [row["keys"] | row["values"] for row in answer["rows"]]
    assert rows
    assert in_order(figure, [read(figure, row) for row in rows], wanted[0]) == in_order(
        figure, wanted, wanted[0]
    )


def read(figure: Figure, row: dict[str, str | None]) -> dict[str, Any]:
    """A value that is not known is not there."""
    return {
        name: None if (text := row.get(name)) is None else READ.get(each.type, Decimal)(text)
        for name, each in {**figure.keys, **figure.columns}.items()
    }


def in_order(figure: Figure, rows: list[dict[str, Any]], like: dict[str, Any]) -> list[Any]:
    """The columns that the fold says, by the keys; sums of floats differ in their last digits."""
    ordered = sorted(rows, key=lambda row: [(row[key] is None, row[key]) for key in figure.keys])
    return [
        {
            name: pytest.approx(row[name], rel=1e-9, abs=1e-12)
            if isinstance(row[name], float)
            else row[name]
            for name in like
        }
        for row in ordered
    ]
