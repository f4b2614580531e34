"""Each public post: its weight then and now, and what became of it."""

import pytest

from tests.integration.scoring.experience.test_amplified_anger import LAST, at, posted, replied
from tests.support.events import event
from tests.support.experience import Figures


async def test_a_post_is_traced_from_its_weight_then_to_its_weight_now(figures: Figures) -> None:
    gone = event(
        public_post_removed={"platform": "mastodon", "post_id": "angry"},
        event_id="gone",
        touchpoint="",
        occurred_at=at(2),
    )
    # 99 people, a fortnight ago.
    await figures.know(
        posted("angry", reach=99, hours=336), replied("angry", hours=335.5), gone, LAST
    )
    [row] = await figures.rows("public_post_trace")
    assert ("mastodon", "angry", "1", "99", "-1.0") == tuple(
        row[name] for name in ("platform", "post_id", "event_position", "reach", "sentiment")
    )
    assert ("2.0", "0.5") == (row["weight_then"], row["weight_now"])
    assert pytest.approx(99 / 4) == float(row["angry_reach"])
    assert (at(2)[:19], at(335.5)[:19]) == (row["removed_at"][:19], row["first_reply_at"][:19])
    assert ("30.0", "1") == (row["first_reply_minutes"], row["rank"])
    assert ["angry", "reply to angry 335.5", "gone"] == await figures.events(
        "public_post_trace", "platform=mastodon", "post_id=angry"
    )


async def test_a_post_that_two_events_tell_of_is_one_as_the_last_of_them_tells_it(
    figures: Figures,
) -> None:
    again = posted("angry", reach=99)
    again.event_id = "again"
    await figures.know(posted("angry", reach=9), again, LAST)
    [row] = await figures.rows("public_post_trace")
    assert ("99", "2") == (row["reach"], row["event_position"])


async def test_posts_without_an_id_are_told_apart_by_their_events(figures: Figures) -> None:
    nameless = [posted("", reach=reach) for reach in (9, 99)]
    for number, each in enumerate(nameless):
        each.event_id = f"nameless {number}"
    await figures.know(*nameless, posted("praise", mood="1"), LAST)
    rows = await figures.rows("public_post_trace")
    assert [("event 2", "1"), ("event 1", "2"), ("praise", None)] == [
        (row["post_id"], row.get("rank")) for row in rows
    ]
