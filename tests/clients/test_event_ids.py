"""Ids that a till makes: UUIDv7 that ascend, whatever its clock does."""

from itertools import pairwise
from uuid import UUID

import pytest
from touchledger_client.event_ids import COUNTER_MAX, MILLISECONDS_MAX, next_event_id

AUGUST = 1_785_751_200_000


def made(clock: list[int], last: str = "") -> list[str]:
    found = list[str]()
    for now_ms in clock:
        last = next_event_id(last, now_ms)
        found.append(last)
    return found


def test_an_id_is_a_uuidv7_of_its_millisecond() -> None:
    [event_id] = made([AUGUST])
    assert UUID(event_id).version == 7
    assert UUID(event_id).variant == "specified in RFC 4122"
    assert UUID(event_id).int >> 80 == AUGUST
    assert event_id == str(UUID(event_id))


@pytest.mark.parametrize(
    "clock",
    [
        pytest.param([AUGUST] * 3 * COUNTER_MAX, id="stands still"),
        pytest.param([AUGUST, AUGUST - 1, 0, -5, AUGUST + 1], id="goes back"),
        pytest.param([0] * 10, id="has never been set"),
        pytest.param([-(10**12)] * 10, id="is before 1970"),
        pytest.param([10**15, AUGUST, 10**18, 10**18], id="is beyond what an id can hold"),
    ],
)
def test_ids_ascend_when_the_clock(clock: list[int]) -> None:
    for earlier, later in pairwise(made(clock)):
        assert earlier < later
        assert UUID(later).version == 7


def test_ids_go_on_after_the_last_one_of_before_a_restart() -> None:
    *_, last = made([AUGUST] * 100)
    [after] = made([AUGUST - 86_400_000], last)
    assert after > last


def test_ids_follow_the_clock_again_once_it_has_caught_up() -> None:
    *_, behind, caught_up = made([AUGUST, 0, 0, AUGUST + 7])
    assert UUID(behind).int >> 80 == AUGUST
    assert UUID(caught_up).int >> 80 == AUGUST + 7


def test_two_tills_make_different_ids_in_the_same_millisecond() -> None:
    assert len({next_event_id("", AUGUST) for _ in range(1000)}) == 1000


def test_a_clock_that_ran_away_leaves_room_for_ids() -> None:
    [far] = made([10**18])
    assert UUID(far).int >> 80 == MILLISECONDS_MAX
