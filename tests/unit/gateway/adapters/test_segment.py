"""Segment's messages become events by what was configured, and nothing personal is taken that was not."""

import hmac
import json
from typing import Any

import pytest

from services.chassis.errors import Malformed, Unauthenticated
from services.gateway.adapters.segment import ADAPTER
from services.gateway.checks import problem_of
from tests.unit.gateway.adapters.golden_payloads import delivery, golden
from touchledger import event_json
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.events_pb2 import Event
from touchledger.v1.problem_pb2 import Problem

SECRET = "a long shared secret"
NPS = {
    "from": "score",
    "metric": "METRIC_NPS",
    "scale_min": "0",
    "scale_max": "10",
    "direction": "DIRECTION_HIGHER_IS_BETTER",
}
CONFIG: dict[str, Any] = {
    "touchpoints": {"Chat Opened": "chat.sales"},
    "pages": {"Home": "web.home"},
    "segments": ["plan", "seats", "beta"],
    "surveys": {
        "Survey Answered": {
            "touchpoint": "web.checkout",
            "survey": "after-sale/2",
            "comment": "text",
            "answers": [NPS],
        }
    },
}
TRACK: dict[str, Any] = json.loads(golden("segment_order.json").body)


def read(message: object, config: dict[str, Any] = CONFIG) -> list[Event | Problem]:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return ADAPTER.read(delivery(body), config)


def only(message: object, config: dict[str, Any] = CONFIG) -> Event:
    [event] = read(message, config)
    assert isinstance(event, Event), event
    assert problem_of(event) is None
    return event


def track(**changes: object) -> dict[str, Any]:
    return {name: value for name, value in (TRACK | changes).items() if value is not None}


def page(**changes: object) -> dict[str, Any]:
    return track(type="page", event=None, properties={"path": "/users/someone"}) | changes


def identify(traits: object, **changes: object) -> dict[str, Any]:
    return track(type="identify", event=None, properties=None, traits=traits, **changes)


def answered(properties: object) -> dict[str, Any]:
    return track(event="Survey Answered", properties=properties)


def test_an_order_is_an_interaction_with_nothing_personal_in_it() -> None:
    expected = event_json.read(
        {
            "event_id": "m-1",
            "occurred_at": "2026-08-03T10:15:30.123Z",
            "touchpoint": "web.order_completed",
            "customer": "user-17",
            "interaction": {
                "stage": "STAGE_PURCHASE",
                "channel": "CHANNEL_WEB",
                "outcome": "OUTCOME_COMPLETED",
                "amount": {"amount": "129.9", "currency": "EUR"},
            },
        }
    )
    assert expected == only(TRACK)


@pytest.mark.parametrize(
    ("name", "touchpoint"),
    [
        ("Order Completed", "web.order_completed"),
        ("Chat Opened", "chat.sales"),
        ("  Größe gewählt! ", "web.groe_gewahlt"),
        ("checkout/step:2", "web.checkout/step:2"),
        ("a__b--c", "web.a_b--c"),
    ],
)
def test_an_event_has_the_configured_touchpoint_or_one_of_its_own_name(
    name: str, touchpoint: str
) -> None:
    assert touchpoint == only(track(event=name)).touchpoint


def test_a_name_in_another_script_is_told_rather_than_merged_with_others() -> None:
    [problem] = read(track(event="注文"))
    assert isinstance(problem, Problem)
    assert ("BAD_NAME", "event") == (problem.code, problem.field)
    assert (
        "web.order" == only(track(event="注文"), {"touchpoints": {"注文": "web.order"}}).touchpoint
    )


@pytest.mark.parametrize(
    ("message", "touchpoint", "channel"),
    [
        (page(), "web.page", "CHANNEL_WEB"),
        (page(name="Home"), "web.home", "CHANNEL_WEB"),
        (page(name="My Orders"), "web.my_orders", "CHANNEL_WEB"),
        (page(type="screen"), "app.screen", "CHANNEL_APP"),
        (page(type="screen", name="My Orders"), "app.my_orders", "CHANNEL_APP"),
        (track(channel="mobile"), "app.order_completed", "CHANNEL_APP"),
        (
            track(context={"library": {"name": "analytics-android"}}),
            "app.order_completed",
            "CHANNEL_APP",
        ),
    ],
)
def test_pages_and_screens_are_interactions_by_their_names(
    message: dict[str, Any], touchpoint: str, channel: str
) -> None:
    event = only(message)
    assert (touchpoint, channel) == (event.touchpoint, pb.Channel.Name(event.interaction.channel))
    assert "someone" not in str(event)


@pytest.mark.parametrize(
    ("name", "properties", "amount"),
    [
        ("Order Completed", {"total": 12, "currency": "JPY"}, "12"),
        ("Order Completed", {"total": "12.50", "currency": "EUR"}, "12.50"),
        ("Order Refunded", {"total": 12.5, "currency": "EUR"}, "-12.5"),
        ("Order Refunded", {"total": "-12.50", "currency": "EUR"}, "-12.50"),
        ("Order Completed", {"total": 12.5}, ""),
        ("Order Completed", {"revenue": 12.5, "currency": "EUR"}, ""),
        ("Order Completed", {"total": None, "currency": "EUR"}, ""),
        ("Product Viewed", {"total": 12.5, "currency": "EUR"}, ""),
    ],
)
def test_what_was_paid_is_taken_where_its_currency_is_told(
    name: str, properties: dict[str, Any], amount: str
) -> None:
    assert amount == only(track(event=name, properties=properties)).interaction.amount.amount


@pytest.mark.parametrize(
    ("ids", "customer"),
    [
        ({}, "user-17"),
        ({"userId": None}, "anonymous-4"),
        ({"userId": "null"}, "anonymous-4"),
        ({"userId": "[object Object]"}, "anonymous-4"),
        ({"userId": "undefined", "anonymousId": "0"}, ""),
        ({"userId": "No response", "anonymousId": None}, ""),
        ({"userId": 17}, "17"),
    ],
)
def test_a_fake_id_is_no_customer(ids: dict[str, Any], customer: str) -> None:
    assert customer == only(track(**ids)).customer


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"originalTimestamp": "2026-08-03T10:00:00Z"}, "2026-08-03T10:00:00Z"),
        (
            {"originalTimestamp": "2026-08-03T10:00:00Z", "receivedAt": "2026-08-03T10:15:31Z"},
            "2026-08-03T10:15:30.123Z",
        ),
        ({"timestamp": "2026-08-03T12:15:30+02:00"}, "2026-08-03T10:15:30Z"),
    ],
)
def test_the_time_is_the_customers_clock_unless_segment_has_put_it_right(
    times: dict[str, str], expected: str
) -> None:
    assert expected == only(track(**times)).occurred_at.ToJsonString()


@pytest.mark.parametrize(
    ("missing", "field"), [("timestamp", "occurred_at"), ("messageId", "event_id")]
)
def test_neither_time_nor_id_is_made_up(missing: str, field: str) -> None:
    [event] = read(track(**{missing: None}))
    assert isinstance(event, Event)
    found = problem_of(event)
    assert found is not None
    assert ("MISSING", field) == (found.code, found.field)


def test_a_profile_holds_the_configured_traits_alone() -> None:
    traits = {"plan": "gold", "seats": 3, "beta": True, "email": "someone@example.com", "age": 44}
    event = only(identify(traits))
    assert {"plan": "gold", "seats": "3", "beta": "true"} == event.customer_profile.segments
    assert "someone" not in str(event)


@pytest.mark.parametrize("traits", [{}, None, {"email": "someone@example.com"}, {"plan": ""}])
def test_traits_that_nobody_asked_for_are_no_event(traits: object) -> None:
    assert [] == read(identify(traits))
    assert [] == read(identify({"plan": "gold"}), {})


def test_a_survey_event_is_feedback() -> None:
    expected = event_json.read(
        {
            "event_id": "m-1",
            "occurred_at": "2026-08-03T10:15:30.123Z",
            "touchpoint": "web.checkout",
            "customer": "user-17",
            "personal": {"comment": "Too slow."},
            "feedback_received": {
                "channel": "CHANNEL_WEB",
                "answered_via": "CHANNEL_WEB",
                "survey": "after-sale/2",
                "signals": [
                    {key: value for key, value in NPS.items() if key != "from"} | {"value": "0"}
                ],
            },
        }
    )
    assert expected == only(answered({"score": 0, "text": "Too slow.", "name": "not taken"}))


def test_words_alone_are_feedback_and_nothing_at_all_is_a_problem() -> None:
    assert "Fine." == only(answered({"text": "Fine."})).personal.comment
    [problem] = read(answered({"score": None, "other": 9}))
    assert isinstance(problem, Problem)
    assert ("MISSING", "properties") == (problem.code, problem.field)


def test_an_answer_off_its_scale_is_told() -> None:
    [event] = read(answered({"score": 11}))
    assert isinstance(event, Event)
    found = problem_of(event)
    assert found is not None
    assert "VALUE_OUTSIDE_SCALE" == found.code


def test_a_session_ties_events_together() -> None:
    assert "1700" == only(track(context={"sessionId": 1700})).correlation_id


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        (b"[", "MALFORMED_JSON", ""),
        ([TRACK], "WRONG_TYPE", ""),
        ({}, "UNSUPPORTED", "type"),
        (track(type="group"), "UNSUPPORTED", "type"),
        (track(type="alias"), "UNSUPPORTED", "type"),
        (track(type=["track"]), "WRONG_TYPE", "type"),
        (track(event=None), "MISSING", "event"),
        (track(event={"a": 1}), "WRONG_TYPE", "event"),
        (track(event="\ud800"), "INVALID_TEXT", "event"),
        (track(timestamp="1700000000"), "BAD_TIME", "timestamp"),
        (track(timestamp=1700000000000), "BAD_TIME", "timestamp"),
        (track(context="none"), "WRONG_TYPE", "context"),
        (track(properties=[]), "WRONG_TYPE", "properties"),
        (track(userId=["a"]), "WRONG_TYPE", "userId"),
        (identify([]), "WRONG_TYPE", "traits"),
        (answered({"score": {"value": 1}}), "WRONG_TYPE", "properties.score"),
    ],
)
def test_anything_else_is_told_by_its_place(message: object, code: str, field: str) -> None:
    [problem] = read(message)
    assert isinstance(problem, Problem)
    assert (code, field) == (problem.code, problem.field)


def test_a_webhook_is_signed_with_the_secret() -> None:
    body = json.dumps(TRACK).encode()
    signature = hmac.digest(SECRET.encode(), body, "sha1").hex()
    ADAPTER.verify(delivery(body, {"x-signature": signature}), SECRET, {})
    for wrong in ("", signature[:-1], signature.upper(), "é"):
        with pytest.raises(Unauthenticated):
            ADAPTER.verify(delivery(body, {"x-signature": wrong}), SECRET, {})


def test_a_batch_that_is_signed_by_its_first_message_is_refused() -> None:
    first = json.dumps(TRACK).encode()
    signature = hmac.digest(SECRET.encode(), first, "sha1").hex()
    batch = b"[" + first + b"," + first + b"]"
    with pytest.raises(Unauthenticated):
        ADAPTER.verify(delivery(batch, {"x-signature": signature}), SECRET, {})


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"touchpoints": {"a": "two words"}}, "config.touchpoints.a"),
        ({"touchpoints": {"a": None}}, "config.touchpoints.a"),
        ({"pages": []}, "config.pages"),
        ({"segments": "plan"}, "config.segments"),
        ({"segments": ["plan", ""]}, "config.segments[1]"),
        ({"segments": ["a"] * 65}, "config.segments"),
        ({"surveys": {"a": 1}}, "config.surveys.a"),
        ({"surveys": {"a": {"comment": 1}}}, "config.surveys.a.comment"),
        (
            {"surveys": {"a": {"answers": [NPS | {"scale_max": "5"}]}}},
            "config.surveys.a.answers[0].scale_min",
        ),
        ({"surveys": {"a": {"answer": []}}}, "config"),
        ({"events": {}}, "config"),
    ],
)
def test_a_configuration_that_does_not_work_is_refused(config: dict[str, Any], field: str) -> None:
    with pytest.raises(Malformed) as refusal:
        ADAPTER.check_config(config)
    assert field == refusal.value.problem.field


def test_a_configuration_that_works_is_taken() -> None:
    ADAPTER.check_config(CONFIG)
    ADAPTER.check_config({})
