"""What the gateway refuses, and in which words."""

import pytest

from services.gateway.checks import DECIMAL, checked, problem_of
from tests.support.events import csat, event, feedback, nps, of_every_body
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.problem_pb2 import Problem


@pytest.mark.parametrize("kind", of_every_body())
def test_a_full_event_of_every_body_is_good(kind: str) -> None:
    assert problem_of(of_every_body()[kind]) is None


def amended(**fields: object) -> pb.Event:
    return event(amends={"event_id": "event-0"}, **fields)


def with_occurred_at(*, seconds: int, nanos: int) -> pb.Event:
    given = event()
    given.occurred_at.seconds = seconds
    given.occurred_at.nanos = nanos
    return given


def with_stage(number: int) -> pb.Event:
    given = event()
    given.interaction.stage = number  # type: ignore[assignment]  # the wire carries any number
    return given


ANSWER_MODE = "feedback_received.service_mode"


def with_answer_mode(number: int) -> pb.Event:
    given = feedback(csat("4"))
    given.feedback_received.service_mode = number  # type: ignore[assignment]  # as above
    return given


def with_sealed() -> pb.Event:
    given = event()
    given.sealed_personal.key_id = 1
    return given


def with_unknown_field(depth: int) -> pb.Event:
    unknown = b"\xf8\x3e\x01"  # field 1007, varint 1
    if depth == 0:
        return pb.Event.FromString(event().SerializeToString() + unknown)
    given = event()
    given.interaction.MergeFromString(unknown)
    return given


def text(length: int) -> str:
    return "x" * length


REFUSED = {
    "no id": (event(event_id=""), "MISSING", "event_id"),
    "id too long": (event(event_id=text(129)), "TOO_LONG", "event_id"),
    "id with NUL": (event(), "NUL", "event_id"),
    "id over two lines": (event(event_id="a\nb"), "CONTROL_CHARACTER", "event_id"),
    "no time": (event(occurred_at=None), "MISSING", "occurred_at"),
    "time before year 1": (with_occurred_at(seconds=-(10**12), nanos=0), "BAD_TIME", "occurred_at"),
    "time with negative nanos": (with_occurred_at(seconds=1, nanos=-1), "BAD_TIME", "occurred_at"),
    "no body": (pb.Event(event_id="a", occurred_at=event().occurred_at), "MISSING", "body"),
    "no touchpoint": (event(touchpoint=""), "MISSING", "touchpoint"),
    "touchpoint of 10 000 characters": (event(touchpoint=text(10_000)), "BAD_NAME", "touchpoint"),
    "touchpoint with a space": (event(touchpoint="store checkout"), "BAD_NAME", "touchpoint"),
    "stage nobody knows": (with_stage(99), "UNKNOWN_VALUE", "interaction.stage"),
    "negative stage": (with_stage(-1), "UNKNOWN_VALUE", "interaction.stage"),
    "sealed data from a source": (with_sealed(), "SET_BY_SERVER", "sealed_personal"),
    "unknown field": (with_unknown_field(0), "UNKNOWN_FIELD", "1007"),
    "unknown field inside": (with_unknown_field(1), "UNKNOWN_FIELD", "interaction.1007"),
    "event too large": (
        event(attributes={f"key {number}": text(1024) for number in range(64)}),
        "TOO_LARGE",
        "",
    ),
    "too many attributes": (
        event(attributes={str(number): "" for number in range(65)}),
        "TOO_MANY",
        "attributes",
    ),
    "attribute without a name": (event(attributes={"": "x"}), "BAD_KEY", "attributes"),
    "attribute too long": (event(attributes={"a": text(1025)}), "TOO_LONG", "attributes[a]"),
    "comment too long": (event(personal={"comment": text(16_385)}), "TOO_LONG", "personal.comment"),
    "date that is none": (
        event(place={"business_date": "2026-02-30"}),
        "BAD_DATE",
        "place.business_date",
    ),
    "date in another form": (
        event(place={"business_date": "20260228"}),
        "BAD_DATE",
        "place.business_date",
    ),
    "zone that is none": (
        event(place={"time_zone": "Mars/Olympus"}),
        "BAD_ZONE",
        "place.time_zone",
    ),
    "wrong check digit": (event(place={"gln": "4012345000001"}), "BAD_GLN", "place.gln"),
    "money without currency": (
        event(interaction={"amount": {"amount": "1"}}),
        "BAD_CURRENCY",
        "interaction.amount.currency",
    ),
    "money in words": (
        event(interaction={"amount": {"amount": "1e3", "currency": "EUR"}}),
        "BAD_DECIMAL",
        "interaction.amount.amount",
    ),
    "negative wait": (event(interaction={"wait": "-1s"}), "BAD_DURATION", "interaction.wait"),
    "wait of two years": (
        event(interaction={"wait": "63072000s"}),
        "BAD_DURATION",
        "interaction.wait",
    ),
    "signal without metric": (
        feedback(csat("4") | {"metric": "METRIC_UNSPECIFIED"}),
        "MISSING",
        "feedback_received.signals[0].metric",
    ),
    "signal without scale": (
        feedback(csat("4"), csat("4", scale_max="")),
        "MISSING",
        "feedback_received.signals[1].scale_max",
    ),
    "signal without direction": (
        feedback(csat("4", direction="DIRECTION_UNSPECIFIED")),
        "MISSING",
        "feedback_received.signals[0].direction",
    ),
    "signal without value": (feedback(csat("")), "MISSING", "feedback_received.signals[0].value"),
    "value outside its scale": (
        feedback(csat("6")),
        "VALUE_OUTSIDE_SCALE",
        "feedback_received.signals[0].value",
    ),
    "value just outside its scale": (
        feedback(csat("5.000001")),
        "VALUE_OUTSIDE_SCALE",
        "feedback_received.signals[0].value",
    ),
    "value that is no number": (
        feedback(csat("NaN")),
        "BAD_DECIMAL",
        "feedback_received.signals[0].value",
    ),
    "value in other digits": (
        feedback(csat("٤")),
        "BAD_DECIMAL",
        "feedback_received.signals[0].value",
    ),
    "scale upside down": (
        feedback(csat("3", scale_min="5", scale_max="1")),
        "BAD_SCALE",
        "feedback_received.signals[0].scale_max",
    ),
    "NPS of 1 to 5": (
        feedback(csat("4", metric="METRIC_NPS")),
        "WRONG_SCALE",
        "feedback_received.signals[0].scale_min",
    ),
    "NPS upside down": (
        feedback(nps("4") | {"direction": "DIRECTION_LOWER_IS_BETTER"}),
        "WRONG_DIRECTION",
        "feedback_received.signals[0].direction",
    ),
    "too many signals": (
        feedback(*[csat("4")] * 51),
        "TOO_MANY",
        "feedback_received.signals",
    ),
    "suppressed without reason": (
        event(feedback_suppressed={}),
        "MISSING",
        "feedback_suppressed.reason",
    ),
    "expectation of nothing": (event(expectation={}), "MISSING", "expectation.expected"),
    "post on no network": (event(public_post={}), "MISSING", "public_post.platform"),
    "post with CSAT": (
        event(public_post={"platform": "x", "sentiment": csat("4")}),
        "WRONG_METRIC",
        "public_post.sentiment.metric",
    ),
    "recognition of nobody": (event(recognition={"given_by": "manager"}), "MISSING", "staff"),
    "recognition by nobody": (
        event(staff="s", recognition={}),
        "MISSING",
        "recognition.given_by",
    ),
    "profile of nobody": (event(customer_profile={}), "MISSING", "customer"),
    "band upside down": (
        event(customer="c", customer_profile={"birth_year_from": 1990, "birth_year_to": 1980}),
        "BAD_BAND",
        "customer_profile.birth_year_from",
    ),
    "staff profile of nobody": (event(staff_profile={"group": "checkout"}), "MISSING", "staff"),
    "corrected staff profile of nobody": (
        amended(correction={"staff_profile": {"group": "checkout"}}),
        "MISSING",
        "staff",
    ),
    "team too long": (
        event(staff="s", staff_profile={"group": text(129)}),
        "TOO_LONG",
        "staff_profile.group",
    ),
    "job over two lines": (
        event(staff="s", staff_profile={"job_design": "a\nb"}),
        "CONTROL_CHARACTER",
        "staff_profile.job_design",
    ),
    "service mode nobody knows": (with_answer_mode(99), "UNKNOWN_VALUE", ANSWER_MODE),
    "gesture of no kind": (event(goodwill={}), "MISSING", "goodwill.kind"),
    "judged by nobody": (event(assessment={}), "MISSING", "assessment.assessor"),
    "reason without an issue": (
        event(reason_stated={"reason_code": "gift"}),
        "MISSING",
        "reason_stated.issue_code",
    ),
    "insight of nobody": (
        event(insight={"insight_id": "i", "step": "INSIGHT_STEP_APPLIED"}),
        "MISSING",
        "staff",
    ),
    "insight that is neither captured nor applied": (
        event(staff="s", insight={"insight_id": "i"}),
        "MISSING",
        "insight.step",
    ),
    "advice without options": (event(advice={}), "MISSING", "advice.options"),
    "the same option twice": (
        event(advice={"options": [{"item": "a"}, {"item": "a"}]}),
        "NOT_ALLOWED",
        "advice.options[1].item",
    ),
    "choice of what was no option": (
        event(advice={"options": [{"item": "a"}], "chosen": "b"}),
        "NOT_ALLOWED",
        "advice.chosen",
    ),
    "follow-up that says nothing": (
        event(product_follow_up={"item": "a"}),
        "MISSING",
        "product_follow_up.kept",
    ),
    "removal of no post": (
        event(public_post_removed={"platform": "x"}),
        "MISSING",
        "public_post_removed.post_id",
    ),
    "claim of nothing": (event(service_claim={}), "MISSING", "service_claim.claimed"),
    "pulse of nobody": (
        event(front_line={"step": "FRONT_LINE_STEP_PULSE", "pulse": csat("4")}),
        "MISSING",
        "staff",
    ),
    "training with an answer": (
        event(staff="s", front_line={"step": "FRONT_LINE_STEP_TRAINING", "pulse": csat("4")}),
        "NOT_ALLOWED",
        "front_line.pulse",
    ),
    "identity of nobody": (
        event(identity={"same_as": "b", "relation": "IDENTITY_RELATION_SAME"}),
        "MISSING",
        "customer",
    ),
    "identity of one": (
        event(customer="a", identity={"same_as": "a", "relation": "IDENTITY_RELATION_SAME"}),
        "NOT_ALLOWED",
        "identity.same_as",
    ),
    "identity without a relation": (
        event(customer="a", identity={"same_as": "b"}),
        "MISSING",
        "identity.relation",
    ),
    "more than all leave": (
        event(scenario={"name": "a", "loss_percent": "100.1"}),
        "BAD_DECIMAL",
        "scenario.loss_percent",
    ),
    "revenue below nothing": (
        event(
            scenario={
                "name": "a",
                "loss_percent": "1",
                "revenue": {"amount": "-1", "currency": "EUR"},
            }
        ),
        "BAD_DECIMAL",
        "scenario.revenue.amount",
    ),
    "retraction of nothing": (event(retraction={}), "MISSING", "amends.event_id"),
    "correction without body": (amended(correction={}), "MISSING", "correction.body"),
    "correction with a bad signal": (
        amended(correction={"feedback_received": {"signals": [csat("9")]}}),
        "VALUE_OUTSIDE_SCALE",
        "correction.feedback_received.signals[0].value",
    ),
    "correction without touchpoint": (
        amended(touchpoint="", correction={"interaction": {}}),
        "MISSING",
        "touchpoint",
    ),
    "interaction that amends": (amended(), "NOT_ALLOWED", "amends"),
}
# JSON can't say it, the wire can.
REFUSED["id with NUL"][0].event_id = "a\0b"


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_the_field_what_came_and_what_is_wanted(name: str) -> None:
    given, code, field = REFUSED[name]
    problem = problem_of(given)
    assert problem is not None
    assert (code, field) == (problem.code, problem.field)
    assert problem.got
    assert problem.want


@pytest.mark.parametrize("named", ["", "till"])
def test_an_event_that_amends_itself_is_refused_and_another_source_s_of_that_id_is_not(
    named: str,
) -> None:
    def amending(source: str) -> pb.Event:
        amends = {"source": source, "event_id": "own"}
        return event(event_id="own", amends=amends, retraction={})

    refused = checked(amending(named), source="till")
    assert isinstance(refused, Problem)
    assert ("NOT_ALLOWED", "amends.event_id") == (refused.code, refused.field)
    assert not isinstance(checked(amending("other"), source="till"), Problem)


def test_what_came_is_shortened() -> None:
    problem = problem_of(event(touchpoint=text(10_000)))
    assert problem is not None
    assert len(problem.got) < 120
    assert "10002 characters" in problem.got


@pytest.mark.parametrize(
    "fields",
    [
        {"customer": "secret@example.com" * 20},
        {
            "customer": "secret@example.com",
            "identity": {"same_as": "secret@example.com", "relation": "IDENTITY_RELATION_SAME"},
        },
    ],
)
def test_a_customer_reference_is_not_quoted(fields: dict[str, object]) -> None:
    problem = problem_of(event(**fields))
    assert problem is not None
    assert "secret" not in str(problem)


@pytest.mark.parametrize("days", [-36_500, 36_500])
def test_no_age_is_refused(days: int) -> None:
    given = event()
    given.occurred_at.seconds += days * 86_400
    assert problem_of(given) is None


@pytest.mark.parametrize("text", ["4", "-0.5", "0", "007", "123456789012345.123456"])
def test_decimals(text: str) -> None:
    assert DECIMAL.fullmatch(text)


@pytest.mark.parametrize(
    "text", ["", " 4", "4 ", "+4", ".5", "5.", "1_0", "1e3", "0x1", "4\n", "1" * 16]
)
def test_no_decimals(text: str) -> None:
    assert not DECIMAL.fullmatch(text)
