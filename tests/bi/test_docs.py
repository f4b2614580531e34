"""Every query of docs/bi.md gives what it is there for, the same in every time zone; every command is one."""

import re
import shlex
from pathlib import Path

import psycopg
import pytest

from tests.bi.conftest import ROOT
from tests.support.up import Up, touchledger

PAGE = (ROOT / "docs" / "bi.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def first_words(query: str) -> str:
    return " ".join(query.split())[:60]


def test_the_page_has_queries() -> None:
    assert len(blocks("sql")) > 5


@pytest.mark.parametrize("query", blocks("sql"), ids=first_words)
def test_a_query_of_the_page_gives_rows_and_the_same_in_every_time_zone(
    system: Up, query: str
) -> None:
    read = []
    for zone in ("Pacific/Kiritimati", "America/Los_Angeles"):
        with psycopg.connect(system.printed_sql, options=f"-c timezone={zone}") as session:
            cursor = session.execute(query.encode())
            # Times with a zone compare as moments.
            read.append(cursor.fetchall())

    assert read[0] == read[1]
    assert read[0]
    # No column is there for nothing.
    assert all(any(value is not None for value in column) for column in zip(*read[0], strict=True))


def test_a_column_is_explained_once(bi: psycopg.Connection) -> None:
    [query] = [each for each in blocks("sql") if "bi.data_dictionary" in each]

    explained = [name for name, *_ in bi.execute(query.encode())]

    assert len(set(explained)) == len(explained)
    assert "interactions" in explained


def test_the_commands_of_the_page_do_what_it_says_one_after_the_other(
    system: Up, tmp_path: Path
) -> None:
    lines = [shlex.split(line, comments=True) for line in "".join(blocks("sh")).splitlines()]
    commands = [words[1:] for words in lines if words[:1] == ["touchledger"]]

    for words in commands:
        done = touchledger(*words, folder=tmp_path, TOUCHLEDGER_DATA=str(system.data))
        assert done.returncode == 0, (words, done.stderr)

    assert ["role", "role", "role", "role", "dbt"] == [words[1] for words in commands]
    assert (tmp_path / "analytics" / "models" / "sources.yml").exists()
    assert len((tmp_path / "board.password").read_text().strip()) == 64
