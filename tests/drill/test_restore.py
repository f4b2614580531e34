"""What a disaster takes is restored to a moment: `make drill` in small."""

from pathlib import Path

from tests.drill.restore import drill

EVENTS = 2000


def test_a_lost_system_is_restored_to_a_moment_and_is_what_it_was_then(tmp_path: Path) -> None:
    done = drill(tmp_path, events=EVENTS, seed=20260803, wholly=False)
    assert done.facts["positions lost, and named"] == "1602 to 2001"
