"""Whatever a vendor delivers, every adapter of the registry gives events or clear problems."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.chassis.errors import Unauthenticated
from services.gateway.adapters import ADAPTERS
from services.gateway.adapters.adapter import EVENTS_MAX, Config
from services.gateway.checks import problem_of
from tests.unit.gateway.adapters import (
    test_amazon_connect,
    test_mapped,
    test_poslog,
    test_segment,
)
from tests.unit.gateway.adapters.golden_payloads import delivery, golden
from touchledger.v1.events_pb2 import Event
from touchledger.v1.problem_pb2 import Problem

# A few thousand deliveries in all, some 20 s.
FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@dataclass(frozen=True)
class Golden:
    """A good delivery, how many events it tells, and a configuration that reads all of it."""

    file: str
    events: int
    config: Config = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return golden(self.file).body


GOLDEN = {
    "amazon_connect.v1": Golden(
        "amazon_connect_record.json", events=2, config=test_amazon_connect.CONFIG
    ),
    "mapped.v1": Golden("mapped_chat_ratings.json", events=2, config=test_mapped.RATINGS),
    "poslog.v1": Golden("poslog_sale.xml", events=1, config=test_poslog.CONFIG),
    "segment.v1": Golden("segment_order.json", events=1, config=test_segment.CONFIG),
    "square.v1": Golden("square_payment_store.json", events=1),
    "zendesk.v1": Golden("zendesk_solved.json", events=1),
}
NAMES = sorted(ADAPTERS)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", "\ud800", "\x00", "null", "2026-08-03T10:15:30Z", "1e999", 10**30, -1]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


def check(name: str, body: bytes) -> list[Event | Problem]:
    """What the adapter reads: each is an event that can be judged, or a problem that says what is wrong."""
    found = ADAPTERS[name].read(delivery(body), GOLDEN[name].config)
    assert len(found) <= EVENTS_MAX
    for each in found:
        assert isinstance(each, Message)
        if isinstance(each, Event):
            problem_of(each)
            each.SerializeToString(deterministic=True)
        else:
            assert each.code
            assert each.want
            assert not each.retryable
    return found


def test_every_adapter_of_the_registry_is_tested_here() -> None:
    assert set(GOLDEN) == set(ADAPTERS)


@pytest.mark.parametrize("name", NAMES)
def test_the_good_delivery_is_good_and_read_the_same_again(name: str) -> None:
    golden = GOLDEN[name]
    ADAPTERS[name].check_config(golden.config)
    found = check(name, golden.body)
    assert golden.events == len(found)
    for each in found:
        assert isinstance(each, Event), each
        assert problem_of(each) is None
    assert found == check(name, golden.body)


@pytest.mark.parametrize("name", NAMES)
@FUZZ
@given(body=st.binary(max_size=200))
def test_arbitrary_bytes(name: str, body: bytes) -> None:
    check(name, body)


@pytest.mark.parametrize("name", NAMES)
@FUZZ
@given(value=JSON_VALUES)
def test_arbitrary_json(name: str, value: object) -> None:
    check(name, _json(value))


@pytest.mark.parametrize("name", NAMES)
def test_a_delivery_that_was_cut_anywhere_is_told_as_one_problem(name: str) -> None:
    body = GOLDEN[name].body.rstrip()
    for length in range(0, len(body), max(1, len(body) // 200)):
        [problem] = check(name, body[:length])
        assert isinstance(problem, Problem)


@pytest.mark.parametrize("name", NAMES)
@FUZZ
@given(data=st.data())
def test_bytes_that_were_changed_on_their_way(name: str, data: st.DataObject) -> None:
    body = bytearray(GOLDEN[name].body)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    check(name, bytes(body))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "poslog.v1"])
@FUZZ
@given(data=st.data())
def test_any_value_may_be_another_or_missing(name: str, data: st.DataObject) -> None:
    document = json.loads(GOLDEN[name].body)
    places = list(_places(document))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(places))
        if data.draw(st.booleans()) and isinstance(holder, dict):
            holder.pop(key, None)
        else:
            holder[key] = copy.deepcopy(data.draw(JSON_VALUES))
    check(name, _json(document))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Where the document holds its values."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


XML_PIECES = [
    *("<Transaction>", "</Transaction>", "<RetailTransaction/>", "<!-- x -->", "<![CDATA[ <a> ]]>"),
    *("<LineItem>", "</LineItem>", "<Total TotalType='TransactionGrandAmount'>", "</Total>"),
    *("<EndDateTime>9999-12-31T23:59:59</EndDateTime>", "&#0;", "&#1114111;", "&amp;", "&x;"),
    *("<SequenceNumber/>", "<?php ?>", "<!DOCTYPE a>", "\u2028", "1e400", "-", " xmlns='urn:x' "),
]


@FUZZ
@given(data=st.data())
def test_pieces_of_xml_may_stand_anywhere(data: st.DataObject) -> None:
    text = test_poslog.GOLDEN
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 40))
        text = text[:start] + data.draw(st.sampled_from(XML_PIECES)) + text[end:]
    check("poslog.v1", text.encode())


@FUZZ
@given(words=st.lists(st.text(max_size=12), min_size=3, max_size=3))
def test_any_text_may_stand_in_an_element(words: list[str]) -> None:
    store, day, amount = (
        "".join(each for each in word if each.isprintable() and each not in "<&") for word in words
    )
    text = test_poslog.GOLDEN.replace("0017", store).replace("2026-08-02", day)
    check("poslog.v1", text.replace("12.50", amount).encode("utf-8", "replace"))


NESTED = 50_000


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("piece", [b"[", b'{"a":', b'{"type":[', b"<a>", b"<POSLog>"])
def test_deep_nesting_is_told_and_costs_nothing(name: str, piece: bytes) -> None:
    [problem] = check(name, piece * NESTED)
    assert isinstance(problem, Problem)


@pytest.mark.parametrize("name", NAMES)
@FUZZ
@given(headers=st.dictionaries(st.sampled_from(["x-api-key", "x-signature", "date"]), st.text()))
def test_no_header_but_the_right_one_opens(name: str, headers: dict[str, str]) -> None:
    unsigned = delivery(GOLDEN[name].body, headers)
    with pytest.raises(Unauthenticated):
        ADAPTERS[name].verify(unsigned, "a secret that was not drawn", GOLDEN[name].config)
