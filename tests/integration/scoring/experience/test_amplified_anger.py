"""How loud anger in public is, touchpoint by touchpoint, and how soon the company replies."""

from datetime import UTC, datetime, timedelta
from math import log10

import pytest

from tests.support.events import csat, event
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

# Where the last interaction is, to the microsecond, is what age is counted to.
NOW = datetime(2026, 8, 3, 10, tzinfo=UTC)
HORIZON = NOW + timedelta(microseconds=1)


def at(hours: float) -> str:
    return (HORIZON - timedelta(hours=hours)).isoformat()


LAST = event(event_id="last", occurred_at=NOW.isoformat())


def posted(
    name: str,
    *,
    reach: int = 9,
    mood: str | None = "-1",
    hours: float = 0,
    touchpoint: str = "",
    **body: object,
) -> events.Event:
    said = {"platform": "mastodon", "reach": reach, "post_id": name} | body
    if mood is not None:
        said["sentiment"] = csat(mood, metric="METRIC_SENTIMENT", scale_min="-1", scale_max="1")
    return event(public_post=said, event_id=name, touchpoint=touchpoint, occurred_at=at(hours))


def replied(
    to: str, *, hours: float, platform: str = "mastodon", by_company: bool = True
) -> events.Event:
    body = {"reply_to_post_id": to, "by_company": by_company, "platform": platform}
    return posted(f"reply to {to} {hours}", mood=None, hours=hours, reach=9, touchpoint="", **body)


async def by_touchpoint(figures: Figures, **asked: object) -> dict[str, Row]:
    return {row["touchpoint"]: row for row in await figures.rows("amplified_anger", **asked)}


async def test_one_post_that_reaches_a_million_outranks_ten_that_reach_ten_each(
    figures: Figures,
) -> None:
    await figures.know(
        posted("viral", reach=10**6, touchpoint="call.billing"),
        *(posted(f"small {n}", reach=10, touchpoint="store.checkout") for n in range(10)),
        LAST,
    )
    rows = await by_touchpoint(figures)
    assert ("1", "2") == (rows["call.billing"]["rank"], rows["store.checkout"]["rank"])
    assert "1" == rows["call.billing"]["worst_position"]
    traced = await figures.rows("public_post_trace")
    assert "viral" == next(row["post_id"] for row in traced if row["rank"] == "1")
    # The sum of logarithms alone would have it the other way round.
    loud = {name: float(row["amplified_anger"]) for name, row in rows.items()}
    assert pytest.approx(log10(1 + 10**6)) == loud["call.billing"]
    assert pytest.approx(10 * log10(11)) == loud["store.checkout"]


async def test_anger_halves_in_a_week_and_praise_is_none(figures: Figures) -> None:
    await figures.know(
        posted("now", hours=0),
        posted("a week old", hours=168, touchpoint="a"),
        posted("two weeks old, half as angry", hours=336, mood="-0.5", touchpoint="b"),
        posted("praise", mood="1", touchpoint="c"),
        posted("nobody read it", mood=None, touchpoint="d"),
        # Nobody is angrier for a clock that is ahead.
        posted("tomorrow", hours=-24, touchpoint="e"),
        posted("before there was a network", hours=24 * 365 * 100, touchpoint="f"),
        LAST,
    )
    rows = await by_touchpoint(figures)
    found = {name: float(row["amplified_anger"]) for name, row in rows.items() if name != "d"}
    assert {
        **{"unspecified": pytest.approx(1), "a": pytest.approx(0.5), "b": pytest.approx(0.125)},
        **{"c": 0.0, "e": pytest.approx(1), "f": pytest.approx(0)},
    } == found
    assert "amplified_anger" not in rows["d"]
    assert ("0", None) == (rows["c"]["negative_posts"], rows["c"].get("worst_position"))
    # As of a week before, it was as loud as it can be.
    earlier = await by_touchpoint(figures, occurred_before_time=at(168 - 0.001))
    assert pytest.approx(1, rel=1e-4) == float(earlier["a"]["amplified_anger"])


async def test_a_removed_post_stays_and_counts(figures: Figures) -> None:
    gone = event(
        public_post_removed={"platform": "mastodon", "post_id": "angry"},
        event_id="gone",
        touchpoint="",
        occurred_at=at(1),
    )
    await figures.know(posted("angry", hours=2), LAST, gone)
    rows = [
        (await by_touchpoint(figures, as_of_position={"number": number}))["unspecified"]
        for number in ("2", "3")
    ]
    assert ["0", "1"] == [row["removed_posts"] for row in rows]
    assert rows[0]["amplified_anger"] == rows[1]["amplified_anger"]
    assert ["angry", "gone"] == await figures.events("amplified_anger", "touchpoint=unspecified")


async def test_the_first_reply_of_the_company_counts_and_young_posts_are_pending(
    figures: Figures,
) -> None:
    await figures.know(
        posted("soon", hours=10),
        replied("soon", hours=9.5),
        replied("soon", hours=9),
        posted("just in time", hours=8),
        replied("just in time", hours=7),
        posted("late", hours=8),
        replied("late", hours=5),
        posted("on another network", hours=8),
        replied("on another network", hours=7.9, platform="x"),
        posted("by somebody else", hours=8),
        replied("by somebody else", hours=7.9, by_company=False),
        posted("young", hours=0.999),
        replied("young", hours=0.998),
        LAST,
    )
    row = (await by_touchpoint(figures))["unspecified"]
    # What somebody else wrote is a post, too.
    assert ("7", "1") == (row["posts"], row["pending"])
    assert ("2", "3") == (row["answered_60min"], row["unanswered"])
    assert ("60.0", str(2 / 6)) == (row["first_reply_minutes"], row["answered_60min_share"])


async def test_a_median_has_the_interval_of_order_statistics_from_six_values_on(
    figures: Figures,
) -> None:
    hours = [1, 2, 3, 4, 5, 7, 8, 9, 20]
    posts = [
        each
        for nth, wait in enumerate(hours)
        for each in (posted(f"post {nth}", hours=40), replied(f"post {nth}", hours=40 - wait))
    ]
    await figures.know(LAST, *posts)
    bounds = []
    for n in (5, 6, 9):
        row = (await by_touchpoint(figures, as_of_position={"number": str(1 + 2 * n)}))[
            "unspecified"
        ]
        bounds.append([row.get(f"first_reply_minutes{end}") for end in ("", "_lo", "_hi")])
    # Thompson 1936: of 6 the extremes, 1 - 2 / 64; of 9 the second from either end, 1 - 2 x 10 / 512.
    assert [
        ["180.0", None, None],
        ["210.0", "60.0", "420.0"],
        ["300.0", "120.0", "540.0"],
    ] == bounds


async def test_a_corrected_reach_counts_from_the_correction_on(figures: Figures) -> None:
    right = posted("right", reach=99, hours=0, touchpoint="store.checkout")
    right.amends.event_id = "angry"
    right.correction.public_post.CopyFrom(right.public_post)
    await figures.know(posted("angry", reach=9, hours=0), LAST, right)
    before = await by_touchpoint(figures, as_of_position={"number": "2"})
    assert {"unspecified": "1.0"} == {k: row["amplified_anger"] for k, row in before.items()}
    after = await by_touchpoint(figures)
    assert {"store.checkout": "2.0"} == {k: row["amplified_anger"] for k, row in after.items()}
