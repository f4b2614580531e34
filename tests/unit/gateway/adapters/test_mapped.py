"""A mapping reads any vendor's JSON as events, within bounds, and says where it can't."""

import base64
import hashlib
import hmac
import json
import time
import tracemalloc
from typing import Any

import pytest

from services.chassis.errors import Malformed, Unauthenticated
from services.gateway.adapters import mapped
from services.gateway.adapters.adapter import EVENTS_MAX
from services.gateway.checks import problem_of
from tests.unit.gateway.adapters.golden_payloads import delivery, golden
from touchledger import event_json
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.problem_pb2 import Problem

RATINGS: dict[str, Any] = {
    "events": "items",
    "when": "status == 'rated'",
    "event": {
        "event_id": "join('-', ['rating', to_string(id)])",
        "occurred_at": "epoch(created)",
        "touchpoint": "'chat.support'",
        "customer": "contact.id",
        "attributes": {"plan": "contact.plan", "seconds": "handled.seconds"},
        "feedback_received": {
            "channel": "'CHANNEL_CHAT'",
            "signals": [
                {
                    "metric": "'METRIC_CSAT'",
                    "value": "rating",
                    "scale_min": "'1'",
                    "scale_max": "'5'",
                    "direction": "'DIRECTION_HIGHER_IS_BETTER'",
                }
            ],
        },
        "personal": {"comment": "remark"},
    },
}
CALL: dict[str, Any] = {
    "event_id": "id",
    "occurred_at": "at",
    "touchpoint": "'call.support'",
    "interaction": {"stage": "'STAGE_SERVICE'"},
}


def read(document: object, config: dict[str, Any]) -> list[pb.Event | Problem]:
    mapped.check_config(config)
    return mapped.read(delivery(json.dumps(document).encode()), config)


def only_event(document: object, event: dict[str, Any]) -> pb.Event:
    [read_event] = read(document, {"event": CALL | event})
    assert isinstance(read_event, pb.Event), read_event
    return read_event


def only_problem(document: object, config: dict[str, Any]) -> Problem:
    [problem] = read(document, config)
    assert isinstance(problem, Problem)
    return problem


CALLED = {"id": "a", "at": "2026-03-01T00:00:00Z"}


def test_each_element_that_is_wanted_becomes_an_event() -> None:
    first, second = mapped.read(golden("mapped_chat_ratings.json"), RATINGS)
    expected = event_json.parse(
        json.dumps(
            {
                "event_id": "rating-901",
                "occurred_at": "2026-03-14T10:20:05.25Z",
                "touchpoint": "chat.support",
                "customer": "c-17",
                "attributes": {"plan": "gold", "seconds": "95.5"},
                "feedback_received": {
                    "channel": "CHANNEL_CHAT",
                    "signals": [
                        {
                            "metric": "METRIC_CSAT",
                            "value": "4",
                            "scale_min": "1",
                            "scale_max": "5",
                            "direction": "DIRECTION_HIGHER_IS_BETTER",
                        }
                    ],
                },
                "personal": {"comment": "Fine."},
            }
        )
    )
    assert expected == first
    assert problem_of(expected) is None
    assert isinstance(second, pb.Event)
    # A fake id is no customer.
    assert ("rating-903", "") == (second.event_id, second.customer)


def test_no_rating_is_no_signal() -> None:
    item = {"id": 1, "status": "rated", "created": 0, "rating": None, "remark": "Hm."}
    [event] = read({"items": [item]}, RATINGS)
    assert isinstance(event, pb.Event)
    assert event.HasField("feedback_received")
    assert not event.feedback_received.signals


def test_a_body_that_nothing_was_found_for_is_left_out() -> None:
    bodies = {
        "interaction": {"stage": "'STAGE_SERVICE'", "duration": "duration"},
        "failure": {"issue_code": "issue"},
    }
    assert "failure" == only_event(CALLED | {"issue": "late"}, bodies).WhichOneof("body")
    assert "interaction" == only_event(CALLED | {"duration": "5s"}, bodies).WhichOneof("body")


def test_an_array_of_events_needs_no_envelope() -> None:
    two = [CALLED, CALLED | {"id": "b"}]
    events = read(two, {"events": "@", "event": CALL})
    assert [event.event_id for event in events if isinstance(event, pb.Event)] == ["a", "b"]


def test_without_the_list_there_is_no_event() -> None:
    assert [] == read({"other": 1}, {"events": "items", "event": CALL})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (4, "4"),
        (4.5, "4.5"),
        (0.1, "0.1"),
        (-3, "-3"),
        ("4.50", "4.50"),
        (1e15, "1000000000000000.0"),
        (123456789012345678901, "123456789012345678901"),
    ],
)
def test_a_number_becomes_the_text_that_it_was(value: object, expected: str) -> None:
    assert only_event(CALLED | {"code": value}, {"correlation_id": "code"}).correlation_id == (
        expected
    )


def test_a_number_that_a_float_can_not_hold_keeps_all_its_digits() -> None:
    body = b'{"id": "a", "at": "2026-03-01T00:00:00Z", "sum": 123456789012345.123456}'
    config = {"event": CALL | {"interaction": {"amount": {"amount": "sum", "currency": "'EUR'"}}}}
    [event] = mapped.read(delivery(body), config)
    assert isinstance(event, pb.Event)
    assert "123456789012345.123456" == event.interaction.amount.amount


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("epoch(at)", "2026-03-14T10:20:05Z"),
        ("epoch_ms(ms)", "2026-03-14T10:20:05.250Z"),
        ("epoch(text)", "2026-03-14T10:20:05.250Z"),
    ],
)
def test_times_that_are_counted_become_moments(expression: str, expected: str) -> None:
    document = {"id": "a", "at": 1773483605, "ms": 1773483605250, "text": "1773483605.25"}
    event = only_event(document, {"occurred_at": expression})
    assert event.occurred_at.ToJsonString() == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-03-01T12:00:00", "2026-03-01T15:00:00Z"),
        ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00Z"),
    ],
)
def test_a_time_without_a_zone_is_read_by_the_clock_of_its_place(at: str, expected: str) -> None:
    event = {"occurred_at": "local_time(at, 'America/Sao_Paulo')"}
    assert expected == only_event({"id": "a", "at": at}, event).occurred_at.ToJsonString()


def test_words_of_the_vendor_are_picked_from_a_table() -> None:
    event = {
        "interaction": {
            "outcome": "pick({done: 'OUTCOME_COMPLETED', lost: 'OUTCOME_ABANDONED'}, end)"
        }
    }
    assert only_event(CALLED | {"end": "lost"}, event).interaction.outcome == pb.OUTCOME_ABANDONED
    problem = only_problem(CALLED | {"end": "done"}, {"event": CALL | {"staff": "@"}})
    assert ("WRONG_TYPE", "staff") == (problem.code, problem.field)


@pytest.mark.parametrize(
    ("document", "event", "code", "field"),
    [
        (CALLED | {"at": "yesterday"}, {}, "INVALID_TIME", "occurred_at"),
        (CALLED | {"at": 7}, {}, "WRONG_TYPE", "occurred_at"),
        (CALLED | {"at": "x"}, {"occurred_at": "epoch(at)"}, *("BAD_EXPRESSION", "config.event.occurred_at")),
        (CALLED, {"occurred_at": "epoch(`1e300`)"}, *("BAD_EXPRESSION", "config.event.occurred_at")),
        (CALLED, {"staff": "local_time('2026-03-01T12:00:00', 'X')"}, "BAD_EXPRESSION", "config.event.staff"),
        (CALLED, {"staff": "local_time('noon', 'UTC')"}, "BAD_EXPRESSION", "config.event.staff"),
        (CALLED, {"staff": "length(`5`)"}, "BAD_EXPRESSION", "config.event.staff"),
        (CALLED, {"staff": "nosuch(id)"}, "BAD_EXPRESSION", "config.event.staff"),
        (CALLED | {"c": [1]}, {"staff": "c[::0]"}, "BAD_EXPRESSION", "config.event.staff"),
        (CALLED | {"ok": True}, {"staff": "ok"}, "WRONG_TYPE", "staff"),
        (CALLED | {"c": {"x": {}}}, {"attributes": "c"}, "WRONG_TYPE", "attributes[x]"),
        (CALLED | {"id": "\ud800"}, {}, "INVALID_TEXT", "event_id"),
        (CALLED | {"id": "\0"}, {}, "NUL", "event_id"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_told_by_its_place(
    document: dict[str, Any], event: dict[str, Any], code: str, field: str
) -> None:
    problem = only_problem(document, {"event": CALL | event})
    assert (code, field) == (problem.code, problem.field)


SUM = "sum([to_number(digits), to_number(digits)])"
NO_BODY = {name: CALL[name] for name in ("event_id", "occurred_at", "touchpoint")}


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (CALL | {"staff": SUM}, "config.event.staff"),
        (CALL | {"attributes": f"{{sum: {SUM}}}"}, "config.event.attributes"),
        (NO_BODY | {"public_post": {"platform": "'x'", "reach": SUM}}, "config.event"),
    ],
    ids=["a text", "a map", "a number"],
)
def test_a_sum_of_more_digits_than_can_be_written_down_is_told_by_its_place(
    event: dict[str, Any], field: str
) -> None:
    # Python writes down 4300 digits, and the sum has one more.
    items = [CALLED | {"digits": "9" * 4300}, CALLED | {"digits": "1"}]
    bad, good = read(items, {"events": "@", "event": event})
    assert isinstance(bad, Problem)
    assert ("BAD_EXPRESSION", field) == (bad.code, bad.field)
    assert isinstance(good, pb.Event)


def test_one_bad_element_harms_none_of_the_others() -> None:
    items = [CALLED, CALLED | {"at": 5}, CALLED | {"id": "c"}]
    first, second, third = read({"items": items}, {"events": "items", "event": CALL})
    assert isinstance(first, pb.Event)
    assert isinstance(second, Problem)
    assert isinstance(third, pb.Event)


@pytest.mark.parametrize("items", [{"a": 1}, "text", 5, [CALLED] * (EVENTS_MAX + 1)])
def test_too_many_events_or_none_that_can_be_counted_are_one_problem(items: object) -> None:
    problem = only_problem({"items": items}, {"events": "items", "event": CALL})
    assert "config.events" == problem.field


@pytest.mark.parametrize(
    "expression",
    [
        "[@,@]" + "|[@[],@[]]" * 45,
        "id" + "|join('',[@,@,@,@])" * 25,
        "[id,id][]" + "|[@,@][]" * 60,
    ],
)
def test_an_expression_that_doubles_what_it_is_given_ends(expression: str) -> None:
    started = time.process_time()
    problem = only_problem(CALLED, {"event": CALL | {"staff": expression}})
    assert "TOO_COSTLY" == problem.code
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "expression",
    [
        "join(text, words)",
        "@" + "|[@,@]" * 30 + "|to_string(@)",
        "[" + "@" + "|[@,@]" * 30 + ", @" + "|[@,@]" * 30 + "]|[0]==[1]",
        "[[@" + "|[@,@]" * 30 + "], @" + "|[@,@]" * 30 + "]|contains([0],[1])",
    ],
    ids=["join", "to_string", "equal", "contains"],
)
def test_an_expression_that_multiplies_ends_before_there_is_so_much(expression: str) -> None:
    document = CALLED | {"text": "x" * 20_000, "words": [""] * 20_000}
    tracemalloc.start()
    try:
        started = time.process_time()
        problem = only_problem(document, {"event": CALL | {"staff": expression}})
        assert time.process_time() - started < 5
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert "TOO_COSTLY" == problem.code


def test_functions_that_read_all_give_what_they_gave() -> None:
    document = CALLED | {"list": [[1, "a"], [1, "a"]], "words": ["b", "a"]}
    event = {"staff": "to_string([list[0] == list[1], list[0] != list[1], list[], sort(words)])"}
    assert '[true,false,[1,"a",1,"a"],["a","b"]]' == only_event(document, event).staff


@pytest.mark.parametrize("function", ["epoch", "epoch_ms"])
@pytest.mark.parametrize("number", ["1e999900", '"1e999900"', "-1e700000", '"NaN"', '"Infinity"'])
def test_a_number_beyond_the_calendar_is_refused_at_once(function: str, number: str) -> None:
    body = b'{"id": "a", "at": %s}' % number.encode()
    started = time.process_time()
    [problem] = mapped.read(delivery(body), {"event": CALL | {"occurred_at": f"{function}(at)"}})
    assert time.process_time() - started < 1
    assert isinstance(problem, Problem)
    assert "BAD_EXPRESSION" == problem.code


def test_a_full_delivery_of_large_events_is_within_the_bound() -> None:
    contact = {"id": "c", "plan": "gold"}
    item = {"id": 1, "status": "rated", "created": 0, "rating": 3, "contact": contact}
    events = read({"items": [item] * EVENTS_MAX}, RATINGS)
    assert all(isinstance(event, pb.Event) for event in events)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"event": "id"}, "config.event"),
        ({"event": {}}, "config.event"),
        ({"event": CALL | {"staf": "x"}}, "config.event"),
        ({"event": CALL | {"intake": {"late": "x"}}}, "config.event"),
        ({"event": CALL | {"sealed_personal": {"data": "x"}}}, "config.event"),
        ({"event": CALL | {"staff": "a ++ b"}}, "config.event.staff"),
        ({"event": CALL | {"staff": ""}}, "config.event.staff"),
        ({"event": CALL | {"staff": 5}}, "config.event.staff"),
        ({"event": CALL | {"staff": "a" * 501}}, "config.event.staff"),
        ({"event": CALL | {"staff": "(" * 400}}, "config.event.staff"),
        ({"event": CALL | {"occurred_at": {"seconds": "x"}}}, "config.event.occurred_at"),
        (
            {"event": CALL | {"interaction": {"stage": "'PURCHASE'"}}},
            "config.event.interaction.stage",
        ),
        (
            {"event": {name: CALL[name] for name in CALL if name != "event_id"}},
            "config.event.event_id",
        ),
        ({"event": {name: CALL[name] for name in CALL if name != "interaction"}}, "config.event"),
        ({"event": CALL | {"attributes": {f"k{i}": "x" for i in range(300)}}}, "config"),
        ({"event": CALL, "events": ["items"]}, "config.events"),
        ({"event": CALL, "wehn": "x"}, "config"),
        ({"event": CALL, "signature": "x"}, "config.signature"),
        ({"event": CALL, "signature": {"algorithm": "md5"}}, "config.signature.algorithm"),
        ({"event": CALL, "signature": {"encoding": "octal"}}, "config.signature.encoding"),
        ({"event": CALL, "signature": {"header": 5}}, "config.signature.header"),
        ({"event": CALL, "signature": {"heder": "x"}}, "config.signature.heder"),
    ],
)
def test_a_mapping_that_would_not_work_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(Malformed) as refused:
        mapped.check_config(change)
    assert refused.value.problem.field == field


BODY = b'{"id": 1}'
HEX = hmac.new(b"secret", BODY, hashlib.sha256).hexdigest()
SHA1 = base64.b64encode(hmac.new(b"secret", BODY, hashlib.sha1).digest()).decode()


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({}, {"x-signature": HEX}),
        ({"prefix": "sha256=", "header": "X-Hub-Signature-256"}, {"x-hub-signature-256": f"sha256={HEX}"}),
        ({"algorithm": "sha1", "encoding": "base64"}, {"x-signature": SHA1}),
        ({"algorithm": "plain", "header": "x-token"}, {"x-token": "secret"}),
    ],
)  # fmt: skip
def test_the_vendors_way_of_signing_can_be_configured(
    settings: dict[str, str], headers: dict[str, str]
) -> None:
    config = {"event": CALL, "signature": settings}
    mapped.check_config(config)
    mapped.verify(delivery(BODY, headers), "secret", config)
    with pytest.raises(Unauthenticated):
        mapped.verify(delivery(BODY, headers), "other", config)
    with pytest.raises(Unauthenticated):
        mapped.verify(delivery(BODY, {}), "secret", config)
