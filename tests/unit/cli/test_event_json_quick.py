"""Plain events are read the quick way, and nobody can tell it from the thorough one."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import of_every_body
from touchledger import event_json
from touchledger.v1 import events_pb2 as pb

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 2**32, 2**64, 10**30, 1.5, 2.0, float("nan"), float("inf")),
    *("", "a", "a\0b", "\ud800", "ü", "1", "-1", "1.5s", "0s", "1s", "true", "STAGE_PURCHASE"),
    *("1970-01-01T00:00:00Z", "2026-08-03T10:15:30Z", "2026-08-03T10:15:30.123456789+05:30"),
    *("2026-08-03", "2026-02-30T00:00:00Z", "2026-08-03T24:00:00Z", "2026-08-03T10:15:60Z"),
    *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "AA=="),
    *([], [{}], [None], ["a"], {}, {"a": "b"}, {"a": 1}, {"a\0": "b"}, {"a": "b\0"}),
    *({"interaction": {}}, {"reason": "a"}, {"event_id": "a", "eventId": "a"}),
    *(event_json._TwiceInObject("a"), event_json._TooManyKeys()),
)
KEYS = (
    *("event_id", "eventId", "occurredAt", "remedy", "retraction", "signals", "nonsense", "", "\0"),
    *("interaction", "failure", "place", "time_zone", "timeZone", "seconds", "attributes"),
)
Path = tuple[str | int, ...]


def documents() -> dict[str, Any]:
    """Each full event as a source sends it, under both kinds of names."""
    return {
        f"{kind}, {names}": json_format.MessageToDict(
            event, preserving_proto_field_name=names == "as in the proto"
        )
        for kind, event in of_every_body().items()
        for names in ("as in the proto", "as in JSON")
    }


DOCUMENTS = documents()


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    inner = (
        value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    )
    for key, each in inner:
        yield from paths(each, (*path, key))


def put(document: Any, path: Path, value: Any) -> Any:
    """The document with the value there."""
    if not path:
        return value
    document = copy.copy(document)
    document[path[0]] = put(document[path[0]], path[1:], value)
    return document


def outcome(read: Callable[[Any], pb.Event], value: Any) -> object:
    try:
        return read(value).SerializeToString(deterministic=True)
    except event_json.EventJsonError as error:
        return error.problem


def assert_same(value: Any) -> None:
    assert outcome(event_json._read_thoroughly, value) == outcome(event_json.read, value)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_odd_value_anywhere_is_read_as_the_thorough_way_reads_it(name: str) -> None:
    document = DOCUMENTS[name]
    for path in paths(document):
        for value in ODD:
            assert_same(put(document, path, value))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_further_key_anywhere_is_read_as_the_thorough_way_reads_it(name: str) -> None:
    document = DOCUMENTS[name]
    for path in paths(document):
        for key in KEYS:
            there = document
            for step in path:
                there = there[step]
            if type(there) is dict:
                assert_same(put(document, path, {**there, key: "a"}))
                assert_same(put(document, path, {**there, key: {"reason": "a"}}))


json_values = st.recursive(
    st.sampled_from(ODD),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*KEYS, *DOCUMENTS["correction, as in JSON"]]), inner)
    ),
    max_leaves=8,
)


@given(json_values)
def test_anything_at_all_is_read_as_the_thorough_way_reads_it(value: Any) -> None:
    assert_same(value)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_full_events_take_the_quick_way(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = event_json._read_thoroughly(DOCUMENTS[name])
    monkeypatch.delattr(event_json, "_read_thoroughly")
    assert expected == event_json.read(DOCUMENTS[name])
