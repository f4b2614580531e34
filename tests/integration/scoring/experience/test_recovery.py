"""Failure, remedy, gesture: satisfaction, praise and repurchase of the same customers, each told apart."""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.touchpoint.decisions.decided import Command
from services.touchpoint.decisions.decisions import stream_id
from services.touchpoint.decisions.recovery_case import RecoveryCase
from services.touchpoint.recovery.steps import DECIDED_BY
from tests.support.events import csat, event
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
CUSTOMERS = ("ann", "ben", "cem", "dee", "eva")


def of(customer: str, name: str, day: float, **fields: Any) -> events.Event:
    """An event of the customer's one journey."""
    at = (START + timedelta(days=day)).isoformat().replace("+00:00", "Z")
    told = {"event_id": f"{name} of {customer}", "correlation_id": f"order of {customer}"}
    return event(customer=customer, occurred_at=at, **(told | fields))


def rated(customer: str, day: float, value: str) -> events.Event:
    answer = {"signals": [csat(value)]}
    return of(customer, f"rating on {day}", day, feedback_received=answer, correlation_id="")


def failed(customer: str, day: float = 1, **fields: Any) -> events.Event:
    return of(customer, "failure", day, failure={"severity": "SEVERITY_MAJOR"}, **fields)


def put_right(customer: str, *, closed: float = 3, gesture: bool = False) -> list[events.Event]:
    """With a remedy on day 2, and closed on a later one."""
    given = of(customer, "gesture", 2.5, goodwill={"kind": "voucher"})
    result = {"result": "RECOVERY_RESULT_ACCEPTED"}
    return [
        failed(customer),
        of(customer, "remedy", 2, remedy={"kind": "REMEDY_KIND_REFUND"}),
        *([given] if gesture else []),
        of(customer, "end", closed, recovery_closed=result),
    ]


def posted(customer: str, day: float, sentiment: str = "0.5", **fields: Any) -> events.Event:
    signal = csat(sentiment, metric="METRIC_SENTIMENT", scale_min="-1", scale_max="1")
    post = {"platform": "mastodon", "sentiment": signal, **fields}
    return of(customer, f"post on {day}", day, public_post=post, correlation_id="")


def bought(customer: str, day: float, journey: str = "another") -> events.Event:
    return of(customer, f"purchase on {day}", day, correlation_id=journey)


def later(day: float) -> events.Event:
    """Something else that was seen to happen."""
    return of("zoe", "later", day, touchpoint="web.home", interaction={})


class Desk:
    """Decides about the case of the customer's failure."""

    def __init__(self, customer: str, event_id: str = "") -> None:
        self.case = RecoveryCase.open(
            stream_id("default", "recovery_case", customer),
            self._on(1.1),
            case_id=customer,
            touchpoint="store.checkout",
            customer="",
            severity="SEVERITY_MAJOR",
            correlation_id="",
            failure={"source": "till", "event_id": event_id or f"failure of {customer}"},
            assignee="",
        )

    def _on(self, day: float, by: str = "till/ines") -> Command:
        return Command(f"{day}", by, START + timedelta(days=day))

    def remedy(self, day: float, by: str = "till/ines") -> "Desk":
        self.case.remedy(self._on(day, by), remedy={"kind": "REMEDY_KIND_REDO"})
        return self

    def goodwill(self, day: float) -> "Desk":
        self.case.give_goodwill(self._on(day), goodwill={"kind": "voucher"})
        return self

    def close(self, day: float) -> "Desk":
        self.case.close(self._on(day), result="RECOVERY_RESULT_ACCEPTED", reason="")
        return self

    def reopen(self, day: float) -> "Desk":
        self.case.reopen(self._on(day), reason="failed_again")
        return self


async def told(
    figures: Figures, *of_events: events.Event | RecoveryCase, **asked: Any
) -> dict[str, Row]:
    if of_events:
        await figures.know(*of_events)
    return {row["recovery_level"]: row for row in await figures.rows("recovery", **asked)}


async def test_the_paradox_is_the_difference_of_the_same_customers(figures: Figures) -> None:
    rows = await told(
        figures,
        *(rated(customer, 0, "3") for customer in CUSTOMERS),
        # An earlier answer, and a later one, say nothing of it.
        *(rated("ann", -9, "1"), rated("ann", 30, "1")),
        *(each for customer in CUSTOMERS for each in put_right(customer, gesture=True)),
        *(rated(customer, 4, value) for customer, value in zip(CUSTOMERS, "55543", strict=True)),
        # Who never answered before counts in no mean.
        *(*put_right("fay", gesture=True), rated("fay", 4, "1")),
    )
    row = rows["remedy_plus_gesture"]
    assert ("6", "6", "48.0", "5") == tuple(
        row[name] for name in ("failures", "closed", "hours_to_close", "answered_twice")
    )
    assert ("50.0", "85.0", "35.0") == (row["pre_csat"], row["post_csat"], row["srp_delta"])
    assert float(row["srp_delta_lo"]) < 35 < float(row["srp_delta_hi"])
    assert ("0", "0") == (rows["none"]["failures"], rows["remedy"]["failures"])


async def test_praise_and_repurchase_are_told_apart_and_pending_until_their_time_is_over(
    figures: Figures,
) -> None:
    # The recoveries end on day 3.
    story = [
        *(each for customer in CUSTOMERS for each in put_right(customer)),
        *(posted("ann", 16.9), posted("ben", 17), posted("cem", 4, "-0.5")),
        *(posted("dee", 4, by_company=True), posted("eva", 2.9)),
        *(bought("ann", 92.9), bought("ben", 93), bought("cem", 5, "order of cem")),
        later(200),
    ]
    row = (await told(figures, *story))["remedy"]
    assert ("5", "0", "0.2") == tuple(
        row[name] for name in ("trumpeter_14d_settled", "trumpeter_14d_pending", "trumpeter_14d")
    )
    assert ("5", "0", "0.2") == tuple(
        row[name] for name in ("repurchase_90d_settled", "repurchase_90d_pending", "repurchase_90d")
    )
    end = (START + timedelta(days=17, seconds=1)).isoformat()
    row = (await told(figures, occurred_before_time=end))["remedy"]
    assert ("0", "5") == (row["repurchase_90d_settled"], row["repurchase_90d_pending"])
    assert "repurchase_90d" not in row


async def test_what_fewer_than_five_customers_said_or_did_is_not_told(figures: Figures) -> None:
    four = CUSTOMERS[:4]
    rows = await told(
        figures,
        *(rated(customer, 0, "3") for customer in four),
        *(each for customer in four for each in put_right(customer)),
        *(rated(customer, 4, "4") for customer in four),
        # The same customer again is nobody else.
        failed("ann", 50, event_id="again", correlation_id="again"),
        later(200),
    )
    row = rows["remedy"]
    assert ("4", "4", "4", "true") == tuple(
        row[name] for name in ("failures", "closed", "answered_twice", "too_few")
    )
    hidden = {"hours_to_close", "pre_csat", "post_csat", "srp_delta", "trumpeter_14d"}
    assert not hidden & row.keys()
    # Where there is nothing, nothing is kept back.
    assert "false" == rows["remedy_plus_gesture"]["too_few"]


async def test_steps_belong_to_the_last_failure_of_their_episode(figures: Figures) -> None:
    rows = await told(
        figures,
        failed("ann", 0, event_id="first"),
        *put_right("ann"),
        # Of another journey, and of nobody in particular.
        of("ben", "remedy", 2, remedy={"kind": "REMEDY_KIND_REDO"}),
        failed("", 0, correlation_id="", event_id="nobody's"),
        failed("", 1, correlation_id="", event_id="nobody's either"),
        of("", "remedy", 2, remedy={"kind": "REMEDY_KIND_REDO"}, correlation_id=""),
    )
    found = {level: (row["failures"], row["closed"]) for level, row in rows.items()}
    assert {"none": ("3", "0"), "remedy": ("1", "1"), "remedy_plus_gesture": ("0", "0")} == found
    behind = await figures.events("recovery", "recovery_level=remedy")
    assert {f"{name} of ann" for name in ("failure", "remedy", "end")} == set(behind)


async def test_a_retracted_remedy_is_none_from_then_on(figures: Figures) -> None:
    taken_back = {"amends": {"event_id": "remedy of ann"}, "retraction": {}}
    await figures.know(*put_right("ann"), of("ann", "mistake", 5, **taken_back))
    for position, level in ((3, "remedy"), (4, "none")):
        rows = await told(figures, as_of_position={"number": str(position)})
        assert "1" == rows[level]["failures"]


async def test_what_people_decided_about_the_failure_s_case_counts_when_they_decided(
    figures: Figures,
) -> None:
    rows = await told(
        figures,
        *(rated(customer, 0, "3") for customer in CUSTOMERS),
        *(failed(customer) for customer in CUSTOMERS),
        *(Desk(customer).remedy(2).goodwill(2.5).close(3).case for customer in CUSTOMERS),
        # Before the end, and after it.
        *(rated(customer, 2.9, "1") for customer in CUSTOMERS),
        *(rated(customer, 4, "5") for customer in CUSTOMERS),
        later(200),
    )
    row = rows["remedy_plus_gesture"]
    assert ("5", "5", "48.0", "5") == tuple(
        row[name] for name in ("failures", "closed", "hours_to_close", "answered_twice")
    )
    assert "50.0" == row["srp_delta"]
    behind = await figures.events("recovery", "recovery_level=remedy_plus_gesture")
    assert 3 == behind.count("ann")


async def test_decisions_count_from_their_positions_on_and_as_long_as_they_stand(
    figures: Figures,
) -> None:
    await figures.know(failed("ann"), Desk("ann").remedy(2).close(3).reopen(4).case)
    # Opened at 2, remedied at 3, closed at 4, reopened at 5.
    for position, (level, closed) in {
        2: ("none", "0"),
        3: ("remedy", "0"),
        4: ("remedy", "1"),
        5: ("remedy", "0"),
    }.items():
        row = (await told(figures, as_of_position={"number": str(position)}))[level]
        assert ("1", closed) == (row["failures"], row["closed"]), position
    before = (START + timedelta(days=1.5)).isoformat()
    assert "1" == (await told(figures, occurred_before_time=before))["none"]["failures"]


async def test_a_step_that_an_event_asked_for_is_that_event_and_no_second_one(
    figures: Figures,
) -> None:
    # The event was retracted; what it had asked for of the case stays decided.
    moved = Desk("ann").remedy(2, by=DECIDED_BY)
    remedy = of("ann", "remedy", 2, remedy={"kind": "REMEDY_KIND_REDO"})
    taken_back = {"amends": {"event_id": "remedy of ann"}, "retraction": {}}
    rows = await told(figures, failed("ann"), remedy, moved.case, of("ann", "no", 5, **taken_back))
    assert ("1", "0") == (rows["none"]["failures"], rows["remedy"]["failures"])
