"""Touchpoints where customers were met, asked or heard: those of which the quarter has anything to tell."""

from collections import defaultdict
from collections.abc import Sequence

from tests.support.told import Told

TELLING = ("interaction", "feedback_requested", "feedback_suppressed", "feedback_received")


def by_touchpoint(events: Sequence[Told]) -> dict[str, dict[str, list[Told]]]:
    """The events of each touchpoint by their kind."""
    found = defaultdict[str, dict[str, list[Told]]](lambda: {kind: [] for kind in TELLING})
    for each in events:
        if each.kind in TELLING:
            found[each.envelope.touchpoint][each.kind].append(each)
    return found
