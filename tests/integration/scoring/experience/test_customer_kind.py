"""The same measures for customers inside and outside."""

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

INSIDE, OUTSIDE = ("i1", "i2", "i3", "i4", "i5"), ("o1", "o2", "o3", "o4", "o5")


def at(day: int) -> str:
    return f"2026-07-{day:02}T12:00:00Z"


def profile(customer: str, kind: str, day: int = 1) -> events.Event:
    told = {"customer": customer, "occurred_at": at(day), "event_id": f"{customer} is {kind}"}
    return event(customer_profile={"segments": {"kind": kind}}, **told)


def helped(customer: str, day: int = 3, outcome: str = "RESOLVED") -> events.Event:
    body = {"stage": "STAGE_SERVICE", "outcome": f"OUTCOME_{outcome}"}
    told = {"customer": customer, "occurred_at": at(day), "event_id": f"{customer} on {day}"}
    return event(interaction=body, touchpoint="desk.it", **told)


def rated(customer: str, value: str) -> events.Event:
    told = {"customer": customer, "occurred_at": at(4), "event_id": f"{customer} rated"}
    return feedback(csat(value), touchpoint="desk.it", **told)


async def kinds(figures: Figures, **asked: object) -> dict[str, Row]:
    return {row["kind"]: row for row in await figures.rows("customer_kind", **asked)}


async def test_a_help_desk_for_colleagues_has_the_same_measures(figures: Figures) -> None:
    await figures.know(
        *(profile(each, "internal") for each in INSIDE),
        *(profile(each, "external") for each in OUTSIDE),
        *(helped(each) for each in (*INSIDE, *OUTSIDE)),
        *(rated(each, "2") for each in INSIDE),
        *(rated(each, "5") for each in OUTSIDE),
        *(helped("i1", 5, "FAILED"), helped("o1", 28)),
    )
    rows = await kinds(figures)
    assert ["external", "internal", "partner"] == list(rows)
    names = ("interactions", "csat_points", "bottom2_share", "done_share", "fcr_no_repeat")
    # The call of the 28th is pending: its seven days are not over.
    assert ["6", "100.0", "0.0", "1.0", "1.0"] == [rows["external"][name] for name in names]
    assert ["6", "25.0", "1.0", str(5 / 6), "0.8"] == [rows["internal"][name] for name in names]
    assert "5" == rows["external"]["episodes"]


async def test_a_customer_is_of_the_kind_that_he_was_of_at_the_time(figures: Figures) -> None:
    await figures.know(
        *(profile(each, "internal", 2) for each in INSIDE),
        profile("i1", "external", 10),
        profile("i2", "freelance", 10),
        *(helped("i1", day) for day in (1, 2, 9, 10)),
        helped("i2", 11),
    )
    rows = await kinds(figures)
    assert {"external": "1", "internal": "2", "partner": "0", "unspecified": "2"} == {
        kind: row["interactions"] for kind, row in rows.items()
    }
    assert ["i1 is external", "i1 on 10"] == await figures.events("customer_kind", "kind=external")


async def test_how_fewer_than_five_persons_fared_is_not_told(figures: Figures) -> None:
    await figures.know(
        *(profile(each, "internal") for each in INSIDE),
        *(helped(each) for each in INSIDE[:4]),
        helped("i4", 4),
        # Nobody knows who they are, or whether they are five.
        *(helped("", day) for day in range(3, 8)),
    )
    rows = await kinds(figures)
    assert ("4", "5", "true") == tuple(
        rows["internal"][name] for name in ("customers", "interactions", "too_few")
    )
    assert not {"ended", "done_share", "fcr_no_repeat"} & rows["internal"].keys()
    assert ("0", "1.0", "false") == tuple(
        rows["unspecified"][name] for name in ("customers", "done_share", "too_few")
    )


async def test_each_score_is_told_by_how_many_it_is_of(figures: Figures) -> None:
    await figures.know(
        *(profile(each, "internal") for each in INSIDE),
        *(helped(each) for each in INSIDE),
        # Five answers of one customer.
        *(
            feedback(csat("1"), customer="i1", event_id=f"{nth}", occurred_at=at(4), touchpoint="x")
            for nth in range(5)
        ),
        helped("", 28),
    )
    row = (await kinds(figures))["internal"]
    assert ("5", "1.0", "1.0", "true") == tuple(
        row[name] for name in ("customers", "done_share", "fcr_no_repeat", "too_few")
    )
    assert not {"csat_n", "csat_points", "bottom2_share"} & row.keys()


async def test_a_colleague_under_another_reference_is_a_colleague(figures: Figures) -> None:
    same = {"same_as": "i1", "relation": "IDENTITY_RELATION_SAME"}
    await figures.know(
        profile("i1", "internal"),
        helped("caller"),
        event(event_id="same", customer="caller", identity=same),
    )

    async def inside(position: int) -> str:
        return (await kinds(figures, as_of_position={"number": str(position)}))["internal"][
            "interactions"
        ]

    assert ["0", "1"] == [await inside(2), await inside(3)]
