"""Good service is wallpaper: how often customers speak of it unasked, after which words of staff."""

from datetime import UTC, datetime, timedelta

from tests.support.events import csat, event
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

DONE_AT = datetime(2026, 7, 1, 12, tzinfo=UTC)


def at(hours: float) -> str:
    return (DONE_AT + timedelta(hours=hours)).isoformat()


def met(name: str, script: str = "", *, hours: float = 0, **fields: str) -> events.Event:
    body = {"script": script} if script else {}
    given = {"customer": name} | fields
    return event(interaction=body, event_id=f"met {name}", occurred_at=at(hours), **given)


def five(script: str = "") -> list[events.Event]:
    """Five customers, so that what is said can be told."""
    return [met(f"{script} {number}", script) for number in range(5)]


def said(name: str, *, hours: float = 1, event_id: str = "", **body: object) -> events.Event:
    return event(
        feedback_received=body,
        event_id=event_id or f"{name} said {hours}",
        customer=name,
        occurred_at=at(hours),
    )


def posted(name: str, mood: str | None, *, hours: float, by_company: bool = False) -> events.Event:
    body: dict[str, object] = {"platform": "mastodon", "by_company": by_company}
    if mood is not None:
        body["sentiment"] = csat(mood, metric="METRIC_SENTIMENT", scale_min="-1", scale_max="1")
    return event(
        public_post=body,
        event_id=f"{name} posted {hours}",
        customer=name,
        touchpoint="",
        occurred_at=at(hours),
    )


# The last interaction is where today is: all before it are older than 72 hours.
LATER = met("later", "another", hours=200)


async def by_script(figures: Figures, **asked: object) -> dict[str, Row]:
    return {row["script"]: row for row in await figures.rows("remarkable", **asked)}


def told(row: Row) -> tuple[str, ...]:
    names = ("interactions", "remarks", "remarked", "positive", "negative")
    return tuple(row[name] for name in names)


async def test_what_is_said_unasked_in_words_or_in_public_is_a_remark(figures: Figures) -> None:
    mood = csat("-0.5", metric="METRIC_SENTIMENT", scale_min="-1", scale_max="1")
    await figures.know(
        *five("OK"),
        said("OK 0", kind="FEEDBACK_KIND_COMPLIMENT"),
        said("OK 1", kind="FEEDBACK_KIND_COMPLAINT", signals=[csat("5")]),
        said("OK 2"),
        said("OK 2", signals=[mood], hours=2),
        posted("OK 2", "0.1", hours=3),
        # A comment praises and complains of nothing, whatever a model reads out of it.
        said("OK 3", kind="FEEDBACK_KIND_COMMENT", signals=[mood]),
        # These are no remarks: asked for, a bare number, the company's own.
        said("OK 4", kind="FEEDBACK_KIND_COMPLIMENT", request_id="asked"),
        said("OK 4", signals=[csat("5")], hours=2),
        posted("OK 4", "1", hours=2, by_company=True),
        LATER,
    )
    row = (await by_script(figures))["OK"]
    assert ("5", "6", "4", "2", "2") == told(row)
    assert "1200.0" == row["remark_rate_per_1000"]
    assert {"OK 2 said 1", "OK 2 posted 3"} < set(await figures.events("remarkable", "script=OK"))
    assert "OK 4 posted 2" not in await figures.events("remarkable", "script=OK")


async def test_a_remark_counts_within_72_hours_of_the_persons_last_interaction(
    figures: Figures,
) -> None:
    await figures.know(
        *five("OK"),
        *five("will_take_care"),
        posted("OK 0", "-1", hours=72),
        posted("OK 1", "-1", hours=72.001),
        # The later one of two is what it is about, at whatever touchpoint.
        met("again", "will_take_care", hours=5, customer="OK 2", touchpoint="call.support"),
        posted("OK 2", "-1", hours=6),
        # It says what it is about.
        said("OK 3", about={"event_id": "met OK 4"}, kind="FEEDBACK_KIND_COMPLAINT"),
        said("OK 3", about={"event_id": "never"}, kind="FEEDBACK_KIND_COMPLAINT", hours=2),
        LATER,
    )
    rows = await by_script(figures)
    assert ("5", "2", "2", "0", "2") == told(rows["OK"])
    assert ("6", "1", "1", "0", "1") == told(rows["will_take_care"])
    assert "posted" in (await figures.events("remarkable", "script=will_take_care"))[-1]


async def test_interactions_that_may_still_be_remarked_on_are_pending(figures: Figures) -> None:
    remark = said("OK 0", kind="FEEDBACK_KIND_COMPLIMENT")
    await figures.know(*five("OK"), remark, met("late", "OK", hours=128.001), LATER)
    row = (await by_script(figures))["OK"]
    assert ("5", "1", "1") == (row["interactions"], row["pending"], row["remarks"])
    early = (await by_script(figures, occurred_before_time=at(2)))["OK"]
    assert ("0", "5", "true", None) == (
        early["interactions"],
        early["pending"],
        early["too_few"],
        early.get("remarks"),
    )


async def test_of_four_customers_or_four_members_of_staff_no_remark_is_told(
    figures: Figures,
) -> None:
    staffed = [
        met(f"s{number}", "by_four", staff=f"agent {number % 4}", customer=f"s{number}")
        for number in range(9)
    ]
    remark = said("OK 0", kind="FEEDBACK_KIND_COMPLIMENT")
    await figures.know(
        *five("OK")[:4], met("OK 0b", "OK", customer="OK 0"), *staffed, remark, LATER
    )
    rows = await by_script(figures)
    for script, interactions in (("OK", "5"), ("by_four", "9")):
        assert (interactions, "true") == (rows[script]["interactions"], rows[script]["too_few"])
        assert not {"remarks", "remarked", "positive", "remark_rate_per_1000"} & set(rows[script])


async def test_a_retracted_remark_was_none_and_two_references_of_a_person_are_one(
    figures: Figures,
) -> None:
    same = event(
        identity={"same_as": "OK 0", "relation": "IDENTITY_RELATION_SAME"},
        customer="handle",
        event_id="same",
        touchpoint="",
    )
    back = event(
        amends={"event_id": "handle posted 1"}, retraction={"reason": "spam"}, event_id="back"
    )
    await figures.know(*five("OK"), posted("handle", "-1", hours=1), LATER, same, back)

    async def remarks(position: int) -> str:
        return (await by_script(figures, as_of_position={"number": str(position)}))["OK"]["remarks"]

    assert ["0", "1", "0"] == [await remarks(position) for position in (7, 8, 9)]
