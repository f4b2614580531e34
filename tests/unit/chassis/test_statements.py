"""Statements are told by their name in the code, and never by their text."""

import pytest

from services.chassis.statements import name_of
from services.scoring import lease, scoreboard  # what is imported has names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (lease.RENEW, "scoring.lease.RENEW"),
        (scoreboard.CHECKPOINT, "scoring.scoreboard.CHECKPOINT"),
        (
            scoreboard.END_FACTS["fact_interaction"],
            "scoring.scoreboard.END_FACTS[fact_interaction]",
        ),
    ],
)
def test_a_constant_of_the_code_is_named_as_there(text: str, name: str) -> None:
    assert name == name_of(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("COMMIT;", "COMMIT"),
        ("\n  select count(*) from fact WHERE customer = 'someone@example.com'", "SELECT"),
        ("/* someone@example.com */ SELECT 1", "OTHER"),
        ("", "OTHER"),
        ("SELECTED", "OTHER"),
    ],
)
def test_of_other_text_only_the_kind_is_told(text: str, name: str) -> None:
    assert name == name_of(text)
