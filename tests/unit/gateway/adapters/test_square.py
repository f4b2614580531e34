"""Square's payments and refunds become interactions, once each, in exact money."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from services.chassis.errors import Malformed, Unauthenticated
from services.gateway.adapters import square
from services.gateway.adapters.adapter import FAKE_CUSTOMERS
from services.gateway.checks import problem_of
from tests.unit.gateway.adapters.golden_payloads import GOLDEN, URL, delivery, golden
from touchledger import event_json
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.problem_pb2 import Problem

SECRET = "square-signature-key"


def payment(**changes: Any) -> bytes:
    document = json.loads((GOLDEN / "square_payment_store.json").read_bytes())
    document["data"]["object"]["payment"] |= changes
    return json.dumps(document).encode()


def read(body: bytes) -> list[pb.Event | Problem]:
    return square.read(delivery(body), {})


def only_event(body: bytes) -> pb.Event:
    [event] = read(body)
    assert isinstance(event, pb.Event), event
    assert problem_of(event) is None
    return event


def only_problem(body: bytes) -> Problem:
    [problem] = read(body)
    assert isinstance(problem, Problem)
    return problem


def test_a_payment_at_a_till_is_a_purchase_in_a_store() -> None:
    expected = event_json.parse(
        json.dumps(
            {
                "event_id": "payment:pT4mYh2vXw9qLc8nRk",
                "occurred_at": "2026-03-14T17:02:03.120Z",
                "touchpoint": "store.checkout",
                "customer": "CUS0TOMER0N1",
                "correlation_id": "oR7b2Wq9Zs",
                "staff": "TM-anna-17",
                "place": {"store": "LK3MAIN0STREET", "device": "DEVICE:till-3"},
                "interaction": {
                    "stage": "STAGE_PURCHASE",
                    "channel": "CHANNEL_STORE",
                    "outcome": "OUTCOME_COMPLETED",
                    "amount": {"amount": "20.00", "currency": "USD"},
                },
            }
        )
    )
    assert [expected] == square.read(golden("square_payment_store.json"), {})
    assert problem_of(expected) is None


def test_yen_have_no_decimals_and_an_online_store_is_the_web() -> None:
    event = only_event((GOLDEN / "square_payment_yen_online.json").read_bytes())
    assert event.interaction.amount == pb.Money(amount="1200", currency="JPY")
    assert event.interaction.channel == pb.CHANNEL_WEB
    assert "web.checkout" == event.touchpoint
    assert "2026-03-14T02:00:00Z" == event.occurred_at.ToJsonString()


def test_a_refund_is_money_back_for_its_payment() -> None:
    event = only_event((GOLDEN / "square_refund.json").read_bytes())
    assert "refund:pT4mYh2vXw9qLc8nRk_rf1" == event.event_id
    assert "payment:pT4mYh2vXw9qLc8nRk" == event.causation_id
    assert "store.returns" == event.touchpoint
    assert event.interaction.outcome == pb.OUTCOME_RETURNED
    assert event.interaction.amount == pb.Money(amount="-0.05", currency="USD")


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (0, "EUR", "0.00"),
        (5, "EUR", "0.05"),
        (100, "EUR", "1.00"),
        (1, "JPY", "1"),
        (1234, "KWD", "1.234"),
        (12345, "CLF", "1.2345"),
        (999_999_999_999_99, "USD", "999999999999.99"),
    ],
)
def test_amounts_are_in_the_currencys_smallest_unit(
    amount: int, currency: str, expected: str
) -> None:
    event = only_event(payment(total_money={"amount": amount, "currency": currency}))
    assert event.interaction.amount == pb.Money(amount=expected, currency=currency)


@pytest.mark.parametrize("status", ["APPROVED", "PENDING", "CANCELED", "FAILED"])
def test_a_payment_that_is_not_completed_is_no_interaction(status: str) -> None:
    assert [] == read(payment(status=status))


def test_what_square_adds_later_changes_nothing_of_the_event() -> None:
    later = payment(
        updated_at="2026-03-16T00:00:00Z",
        processing_fee=[{"type": "INITIAL", "amount_money": {"amount": 60, "currency": "USD"}}],
        refunded_money={"amount": 5, "currency": "USD"},
        refund_ids=["pT4mYh2vXw9qLc8nRk_rf1"],
        version_token="vT2",
    )
    assert read(later) == read(payment())


@pytest.mark.parametrize("kind", ["order.created", "order.updated", "customer.created", "payment"])
def test_other_notifications_tell_no_interaction(kind: str) -> None:
    assert [] == read(json.dumps({"type": kind, "data": {"object": {}}}).encode())


@pytest.mark.parametrize("fake", ["null", "undefined", "No response", "0", "[object Object]", " "])
def test_a_fake_id_is_no_customer(fake: str) -> None:
    assert fake.strip().lower() in FAKE_CUSTOMERS
    assert "" == only_event(payment(customer_id=fake)).customer


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"status": None}, "MISSING", "data.object.payment.status"),
        ({"id": ""}, "MISSING", "data.object.payment.id"),
        ({"created_at": "yesterday"}, "BAD_TIME", "data.object.payment.created_at"),
        ({"created_at": "2026-03-14T17:02:03"}, "BAD_TIME", "data.object.payment.created_at"),
        ({"total_money": 20}, "WRONG_TYPE", "data.object.payment.total_money"),
        (
            {"total_money": {"amount": "20", "currency": "USD"}},
            "WRONG_TYPE",
            "data.object.payment.total_money.amount",
        ),
        (
            {"total_money": {"amount": -1, "currency": "USD"}},
            "BAD_DECIMAL",
            "data.object.payment.total_money.amount",
        ),
        ({"customer_id": ["a"]}, "WRONG_TYPE", "data.object.payment.customer_id"),
        ({"order_id": "\ud800"}, "INVALID_TEXT", "data.object.payment.order_id"),
    ],
)
def test_what_is_odd_is_told_by_its_place(changes: dict[str, Any], code: str, field: str) -> None:
    problem = only_problem(payment(**changes))
    assert (code, field) == (problem.code, problem.field)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MALFORMED_JSON"),
        (b"\xff\xfe", "MALFORMED_JSON"),
        (b"[]", "WRONG_TYPE"),
        (b"{}", "MISSING"),
        (b'{"type": "payment.created"}', "MISSING"),
        (b'{"type": "payment.created", "data": 7}', "WRONG_TYPE"),
        (b"[" * 100_000, "TOO_DEEP"),
        (b'{"a":' * 80 + b"1" + b"}" * 80, "TOO_DEEP"),
    ],
)
def test_garbage_is_told_as_such(body: bytes, code: str) -> None:
    assert only_problem(body).code == code


def signed(body: bytes, secret: str = SECRET, url: str = URL) -> str:
    # As developer.squareup.com says: URL and body, with the key, in base64.
    mac = hmac.new(secret.encode(), url.encode() + body, hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()


def test_the_right_signature_is_let_in() -> None:
    body = payment()
    square.verify(delivery(body, {square.SIGNATURE: signed(body)}), SECRET, {})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {square.SIGNATURE: ""},
        {square.SIGNATURE: "é"},
        {square.SIGNATURE: signed(payment(), secret="another")},
        {square.SIGNATURE: signed(payment(), url="https://else.example/")},
        {square.SIGNATURE: signed(payment() + b" ")},
    ],
)
def test_any_other_signature_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        square.verify(delivery(payment(), headers), SECRET, {})


def test_the_touchpoints_can_be_set() -> None:
    config = {"touchpoint": "cafe.till", "return_touchpoint": "cafe.returns"}
    square.check_config(config)
    [bought] = square.read(golden("square_payment_store.json"), config)
    [returned] = square.read(golden("square_refund.json"), config)
    assert isinstance(bought, pb.Event)
    assert isinstance(returned, pb.Event)
    assert ("cafe.till", "cafe.returns") == (bought.touchpoint, returned.touchpoint)


@pytest.mark.parametrize("config", [{"touchpint": "a"}, {"touchpoint": 7}, {"touchpoint": "a b"}])
def test_a_setting_that_would_not_work_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        square.check_config(config)
