"""When the two checks of the live projection hold, of what was measured."""

from datetime import UTC, datetime, timedelta

import pytest

from services.scoring.projection_health import HEAD, LAG, UNHEARD_SECONDS_MAX, failures
from services.scoring.projections import HEADS_MAX, Heads, Measured, Standing
from touchledger.v1.journal_pb2 import Position

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LAG_SECONDS_MAX = 60.0


def measured(
    *,
    checkpoint: int = 10,
    heard: int = 10,
    head: int = 10,
    recorded_seconds_ago: float | None = 0.0,
    seen_seconds: float | None = 0.0,
    unheard_seconds: float | None = 0.0,
    same_journal: bool = True,
) -> Measured:
    recorded_at = None
    if recorded_seconds_ago is not None:
        recorded_at = NOW - timedelta(seconds=recorded_seconds_ago)
    standing = Standing(
        name="live",
        checkpoint=Position(journal_id="j", number=checkpoint),
        recorded_at=recorded_at,
        heard=heard,
        missing=0,
        parked=0,
        owner="",
        owned_since=None,
    )
    return Measured(
        *(standing, head, NOW),
        same_journal=same_journal,
        seen_seconds=seen_seconds,
        unheard_seconds=unheard_seconds,
        at_seconds=0.0,
    )


def failing(measured: Measured | None) -> set[str]:
    found = failures(measured, lag_seconds_max=LAG_SECONDS_MAX)
    assert {LAG, HEAD} == found.keys()
    return {name for name, reason in found.items() if reason}


def test_both_hold_of_a_projection_that_is_at_the_head() -> None:
    assert set() == failing(measured())


@pytest.mark.parametrize(("seconds", "wanted"), [(60.0, set()), (60.1, {LAG})])
def test_lag_counts_from_when_the_journal_was_where_the_projection_is(
    seconds: float, wanted: set[str]
) -> None:
    late = measured(head=11, heard=11, recorded_seconds_ago=9000.0, seen_seconds=seconds)
    assert wanted == failing(late)


def test_after_a_silence_of_hours_one_new_event_is_no_lag() -> None:
    assert set() == failing(measured(head=11, recorded_seconds_ago=9000.0, seen_seconds=5.0))


def test_a_lag_that_nobody_can_tell_the_age_of_fails() -> None:
    assert {LAG} == failing(measured(head=11, recorded_seconds_ago=None, seen_seconds=None))


def test_a_mark_that_stands_still_fails_though_no_lag_is_seen_against_it() -> None:
    """The lag that the projection itself knows of, against what it heard, is none."""
    deaf = measured(
        checkpoint=10, heard=10, head=500, unheard_seconds=UNHEARD_SECONDS_MAX + 1, seen_seconds=31
    )
    assert {HEAD} == failing(deaf)


def test_who_was_never_seen_to_hear_of_the_head_is_deaf() -> None:
    assert {HEAD} == failing(measured(head=11, heard=3, unheard_seconds=None, seen_seconds=1.0))


def test_nothing_known_and_another_journal_fail_both() -> None:
    assert {LAG, HEAD} == failing(None)
    assert {LAG, HEAD} == failing(measured(same_journal=False))


def test_the_age_of_a_position_is_that_of_the_last_look_that_saw_no_more() -> None:
    heads = Heads()
    for second, head in enumerate([10, 10, 12, 15]):
        heads.note(NOW + timedelta(seconds=second), head)
    assert [0.0, 1.0, 2.0, None] == [heads.seconds_since(each) for each in (15, 12, 11, 9)]


def test_looks_are_forgotten() -> None:
    heads = Heads()
    heads.note(NOW, 1)
    for second in range(1, HEADS_MAX + 1):
        heads.note(NOW + timedelta(seconds=second), 2)
    assert heads.seconds_since(1) is None
