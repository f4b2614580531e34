"""Zendesk's solved tickets become interactions, its ratings thumbs; an offer is no answer."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest

from services.chassis.errors import Malformed, Unauthenticated
from services.gateway.adapters import zendesk
from services.gateway.checks import problem_of
from tests.unit.gateway.adapters.golden_payloads import GOLDEN, RECEIVED_AT, delivery, golden
from touchledger import event_json
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.problem_pb2 import Problem

SECRET = "zendesk-signing-secret"


def rating(**changes: Any) -> bytes:
    document = json.loads((GOLDEN / "zendesk_rating.json").read_bytes())
    document["satisfaction_rating"] |= changes
    return json.dumps(document).encode()


def change(current: str, **changes: Any) -> bytes:
    document = json.loads((GOLDEN / "zendesk_solved.json").read_bytes())
    document["event"]["current"] = current
    return json.dumps(document | changes).encode()


def read(body: bytes) -> list[pb.Event | Problem]:
    return zendesk.read(delivery(body), {})


def only_event(body: bytes) -> pb.Event:
    [event] = read(body)
    assert isinstance(event, pb.Event), event
    assert problem_of(event) is None
    return event


def only_problem(body: bytes) -> Problem:
    [problem] = read(body)
    assert isinstance(problem, Problem)
    return problem


def test_a_solved_ticket_is_a_resolved_interaction() -> None:
    expected = event_json.parse(
        json.dumps(
            {
                "event_id": "event:3c6a2f0e-6a4e-4f51-9c0b-77f1d2a3b4c5",
                "occurred_at": "2026-03-14T10:20:30.123456Z",
                "touchpoint": "support.ticket",
                "customer": "8448125410812",
                "correlation_id": "ticket:35436",
                "staff": "8447388090494",
                "interaction": {
                    "stage": "STAGE_SERVICE",
                    "channel": "CHANNEL_EMAIL",
                    "outcome": "OUTCOME_RESOLVED",
                },
            }
        )
    )
    assert [expected] == zendesk.read(golden("zendesk_solved.json"), {})
    assert problem_of(expected) is None


def test_a_good_rating_is_a_thumb_up_with_the_words_apart() -> None:
    expected = event_json.parse(
        json.dumps(
            {
                "event_id": "rating:62:1773489900000",
                "occurred_at": "2026-03-14T12:05:00Z",
                "touchpoint": "support.ticket",
                "customer": "8448125410812",
                "correlation_id": "ticket:35436",
                "staff": "8447388090494",
                "feedback_received": {
                    "stage": "STAGE_SERVICE",
                    "signals": [
                        {
                            "metric": "METRIC_THUMBS",
                            "value": "1",
                            "scale_min": "0",
                            "scale_max": "1",
                            "direction": "DIRECTION_HIGHER_IS_BETTER",
                        }
                    ],
                },
                "personal": {"comment": "Quick and kind."},
            }
        )
    )
    assert [expected] == zendesk.read(golden("zendesk_rating.json"), {})
    assert problem_of(expected) is None


def test_a_bad_rating_is_a_thumb_down() -> None:
    [signal] = only_event(rating(score="bad", comment=None)).feedback_received.signals
    assert "0" == signal.value


@pytest.mark.parametrize("score", ["offered", "unoffered"])
def test_an_offer_is_no_answer(score: str) -> None:
    assert [] == read(rating(score=score))


def test_a_rating_that_is_changed_is_another_answer() -> None:
    first = only_event(rating())
    second = only_event(rating(score="bad", updated_at="2026-03-15T12:05:00Z"))
    assert first.event_id != second.event_id


@pytest.mark.parametrize("status", ["OPEN", "PENDING", "HOLD", "CLOSED", "NEW", "DELETED"])
def test_other_changes_of_status_end_no_interaction(status: str) -> None:
    assert [] == read(change(status))


def test_other_notifications_tell_no_interaction() -> None:
    assert [] == read(change("SOLVED", type="zen:event-type:ticket.priority_changed"))


@pytest.mark.parametrize(
    ("via", "channel"),
    [
        ("voice", pb.CHANNEL_PHONE),
        ("native_messaging", pb.CHANNEL_CHAT),
        ("web_form", pb.CHANNEL_WEB),
        ("of_tomorrow", pb.CHANNEL_UNSPECIFIED),
    ],
)
def test_the_channel_is_how_the_ticket_came(via: str, channel: int) -> None:
    detail = json.loads((GOLDEN / "zendesk_solved.json").read_bytes())["detail"]
    event = only_event(change("SOLVED", detail=detail | {"via": {"channel": via}}))
    assert event.interaction.channel == channel


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "MALFORMED_JSON", ""),
        (b"{}", "MISSING", "type"),
        (rating(score="excellent"), "UNKNOWN_VALUE", "satisfaction_rating.score"),
        (rating(score=None), "MISSING", "satisfaction_rating.score"),
        (rating(id=None), "MISSING", "satisfaction_rating.id"),
        (rating(updated_at="today"), "BAD_TIME", "satisfaction_rating.updated_at"),
        (change("SOLVED", time=7), "BAD_TIME", "time"),
        (change("SOLVED", id=None), "MISSING", "id"),
        (change("SOLVED", detail={}), "MISSING", "detail.id"),
        (change("SOLVED", event=[]), "WRONG_TYPE", "event"),
    ],
)
def test_what_is_odd_is_told_by_its_place(body: bytes, code: str, field: str) -> None:
    problem = only_problem(body)
    assert (code, field) == (problem.code, problem.field)


def signed(body: bytes, *, at: str = RECEIVED_AT.isoformat()) -> dict[str, str]:
    # As developer.zendesk.com says: the timestamp's text and the body, with the secret, in base64.
    mac = hmac.new(SECRET.encode(), at.encode() + body, hashlib.sha256)
    return {zendesk.SIGNATURE: base64.b64encode(mac.digest()).decode(), zendesk.SIGNED_AT: at}


def verify(headers: dict[str, str]) -> None:
    zendesk.verify(delivery(rating(), headers), SECRET, {})


@pytest.mark.parametrize("minutes", [-4, 0, 4])
def test_a_signature_of_these_minutes_is_let_in(minutes: int) -> None:
    verify(signed(rating(), at=(RECEIVED_AT + timedelta(minutes=minutes)).isoformat()))


@pytest.mark.parametrize("minutes", [-6, 6])
def test_an_old_delivery_can_not_be_sent_again(minutes: int) -> None:
    with pytest.raises(Unauthenticated, match="5 minutes"):
        verify(signed(rating(), at=(RECEIVED_AT + timedelta(minutes=minutes)).isoformat()))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(rating()) | {zendesk.SIGNATURE: "AAAA"},
        signed(rating()) | {zendesk.SIGNED_AT: (RECEIVED_AT + timedelta(seconds=1)).isoformat()},
        signed(rating() + b" "),
        signed(rating(), at="now"),
        signed(rating(), at="2026-03-14T17:02:10"),
        signed(rating(), at=""),
    ],
)
def test_any_other_signature_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        verify(headers)


@pytest.mark.parametrize("config", [{"touchpoints": "a"}, {"touchpoint": ""}])
def test_a_setting_that_would_not_work_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        zendesk.check_config(config)
