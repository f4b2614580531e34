"""Which words make a difference: how often service is remarked on, against a baseline, with an interval."""

import pytest

from tests.integration.scoring.experience.test_remarkable import LATER, met, said
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events


def used(script: str, times: int, *, remarked: int) -> list[events.Event]:
    made = [met(f"{script} {number}", script) for number in range(times)]
    for number in range(remarked):
        made.append(said(f"{script} {number}", kind="FEEDBACK_KIND_COMPLIMENT"))
    return made


async def by_script(figures: Figures) -> dict[str, Row]:
    return {row["script"]: row for row in await figures.rows("script_difference")}


async def test_the_difference_has_the_interval_of_newcombe(figures: Figures) -> None:
    # Newcombe 1998, table II, contrast (a): 56 of 70 against 48 of 80 has 0.0524 to 0.3339.
    await figures.know(
        *used("OK", 80, remarked=48), *used("will_take_care", 70, remarked=56), LATER
    )
    row = (await by_script(figures))["will_take_care"]
    assert ("OK", "70", "56", "80", "48") == tuple(
        row[name]
        for name in (
            *("baseline", "interactions", "remarked"),
            *("baseline_interactions", "baseline_remarked"),
        )
    )
    assert ("800.0", "600.0") == (row["remarked_per_1000"], row["baseline_remarked_per_1000"])
    bounds = [f"{of}remarked_per_1000_{end}" for of in ("", "baseline_") for end in ("lo", "hi")]
    # Wilson 56 of 70 and 48 of 80.
    assert pytest.approx([691.8, 877.0, 490.5, 700.4], abs=0.05) == [float(row[n]) for n in bounds]
    assert pytest.approx(200) == float(row["difference_per_1000"])
    assert pytest.approx(52.4, abs=0.05) == float(row["difference_per_1000_lo"])
    assert pytest.approx(333.9, abs=0.05) == float(row["difference_per_1000_hi"])
    assert "false" == row["wallpaper"]


async def test_a_script_whose_interval_contains_0_is_wallpaper(figures: Figures) -> None:
    await figures.know(
        *used("OK", 20, remarked=1),
        *used("have_a_nice_day", 20, remarked=2),
        *used("will_take_care", 20, remarked=12),
        LATER,
    )
    rows = await by_script(figures)
    assert {"have_a_nice_day": "true", "will_take_care": "false"} == {
        script: row["wallpaper"] for script, row in rows.items()
    }


async def test_without_ok_the_most_used_script_is_the_baseline_and_none_is_no_script(
    figures: Figures,
) -> None:
    await figures.know(
        *used("b", 6, remarked=1), *used("a", 5, remarked=1), *used("", 9, remarked=1), LATER
    )
    rows = await by_script(figures)
    assert {"a": "b"} == {script: row["baseline"] for script, row in rows.items()}
    assert ["met a 0", "met a 1"] == (await figures.events("script_difference", "script=a"))[7:9]


async def test_a_remark_by_one_customer_counts_an_interaction_once(figures: Figures) -> None:
    again = said("OK 0", kind="FEEDBACK_KIND_COMPLAINT", hours=3)
    await figures.know(*used("OK", 5, remarked=1), again, *used("a", 5, remarked=0), LATER)
    assert "1" == (await by_script(figures))["a"]["baseline_remarked"]


async def test_against_a_baseline_of_four_customers_nothing_is_told(figures: Figures) -> None:
    await figures.know(*used("OK", 4, remarked=1), *used("a", 9, remarked=3), LATER)
    row = (await by_script(figures))["a"]
    assert ("9", "4", "true") == (
        row["interactions"],
        row["baseline_interactions"],
        row["too_few"],
    )
    assert not {"remarked", "baseline_remarked", "difference_per_1000", "wallpaper"} & set(row)
