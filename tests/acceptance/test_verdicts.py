"""Each input of the table has one verdict by every way, and harms neither its neighbours nor the gateway."""

import base64
import contextlib
import gzip
import http.client
import json
import re
import socket
import time
import urllib.parse
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import psutil
import pytest
import zstandard
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.acceptance.verdicts import (
    CLOUDEVENTS,
    CLOUDEVENTS_PROTOBUF,
    EVERY_WAY,
    GRPC,
    JSON,
    LINES,
    PLAIN,
    Row,
    block,
    changed,
    rows,
)
from tests.support.events import event
from tests.support.up import CALL_SECONDS_MAX, Key, Up
from touchledger.v1 import events_pb2, ingest_pb2

ROWS = {row.name: row for row in rows()}
# What the gateway may keep of the whole table, by every way, so many times. Allocators keep a few MiB back.
TIMES = 4
MEMORY_BYTES_MAX = 32 * 1024 * 1024
# What a hostile request may cost of the gateway's processor; each of these could be made to cost minutes.
CHEAP_SECONDS_MAX = 1.0
Verdict = tuple[str, str, str]


def test_the_table_has_what_it_promises() -> None:
    assert 150 <= sum(GRPC in row.ways and JSON in row.ways for row in ROWS.values())
    assert {len({row.name for row in rows()})} == {len(list(rows()))}


@pytest.fixture(scope="module")
def key(system: Up) -> Key:
    return system.new_key()


@pytest.mark.parametrize("name", ROWS)
def test_an_input_has_its_verdict_by_every_way(system: Up, key: Key, name: str) -> None:
    row = ROWS[name]
    told = {way: outcome(system, key, row, way) for way in row.ways}
    assert dict.fromkeys(row.ways, (row.disposition, row.code, row.at)) == told


def outcome(system: Up, key: Key, row: Row, way: str) -> Verdict:
    """What became of it; checks that its neighbours were recorded, side by side."""
    results = SEND[way](system, key, around(row))
    before, result, after = results
    assert "DISPOSITION_RECORDED" == before["disposition"] == after["disposition"], results
    gap = int(after["position"]["number"]) - int(before["position"]["number"])
    recorded = result["disposition"] == "DISPOSITION_RECORDED"
    assert gap == (2 if recorded else 1)
    assert ("position" in result) == recorded
    assert bool(result.get("quarantineId")) == (result["disposition"] == "DISPOSITION_QUARANTINED")
    problem = result.get("problem", {})
    assert not problem.get("retryable")
    assert (True, True) == (len(problem.get("got", "")) < 100, len(problem.get("want", "")) < 400)
    disposition = result["disposition"].removeprefix("DISPOSITION_")
    return disposition, problem.get("code", ""), problem.get("field", "")


def around(row: Row) -> list[dict[str, Any] | str | bytes]:
    """The input between two good events, with ids that nobody used before."""
    own = str(uuid.uuid4())
    given = row.given
    if isinstance(given, bytes):
        # The last one counts.
        given += block(1, own.encode())
    elif isinstance(given, str):
        given = given.replace(json.dumps(PLAIN["eventId"]), json.dumps(own))
    else:
        usual = (PLAIN["eventId"], "")
        given = {
            name: own if value in usual and name in IDS else value for name, value in given.items()
        }
    return [changed(PLAIN, eventId=f"{own} 1"), given, changed(PLAIN, eventId=f"{own} 2")]


IDS = ("eventId", "event_id")


def as_bytes(given: dict[str, Any] | str | bytes) -> bytes:
    """json_format takes what our own reader of JSON refuses."""
    if isinstance(given, bytes):
        return given
    assert isinstance(given, dict)
    return json_format.ParseDict(given, events_pb2.Event()).SerializeToString()


def as_text(given: dict[str, Any] | str | bytes) -> str:
    if isinstance(given, bytes):
        return json_format.MessageToJson(events_pb2.Event.FromString(given), indent=None)
    return given if isinstance(given, str) else json.dumps(given)


def by_grpc(system: Up, key: Key, items: Sequence[Any]) -> list[Any]:
    raw = b"".join(block(1, as_bytes(item)) for item in items)
    with system.channel() as channel:
        call = channel.unary_unary("/touchledger.v1.IngestService/PublishBatch")
        answer = call(raw, metadata=key.metadata, timeout=CALL_SECONDS_MAX)
    told = json_format.MessageToDict(ingest_pb2.PublishBatchResponse.FromString(answer))
    results: list[Any] = told["results"]
    return results


def by_array(system: Up, key: Key, items: Sequence[Any]) -> list[Any]:
    return batch(
        system, key, "/v1/events", "application/json", f"[{','.join(map(as_text, items))}]"
    )


def by_lines(system: Up, key: Key, items: Sequence[Any]) -> list[Any]:
    return batch(system, key, "/v1/events", "application/x-ndjson", "\n".join(map(as_text, items)))


def by_cloudevents(system: Up, key: Key, items: Sequence[Any]) -> list[Any]:
    texts = [cloud_event(item, f'"data":{as_text(item)}') for item in items]
    kind = "application/cloudevents-batch+json"
    return batch(system, key, "/v1/cloudevents", kind, f"[{','.join(texts)}]")


def by_cloudevents_with_protobuf(system: Up, key: Key, items: Sequence[Any]) -> list[Any]:
    texts = [
        cloud_event(
            item,
            '"datacontenttype":"application/protobuf",'
            f'"data_base64":"{base64.b64encode(as_bytes(item)).decode()}"',
        )
        for item in items
    ]
    kind = "application/cloudevents-batch+json"
    return batch(system, key, "/v1/cloudevents", kind, f"[{','.join(texts)}]")


def cloud_event(item: dict[str, Any] | str | bytes, data: str) -> str:
    if isinstance(item, bytes):
        event_id: Any = events_pb2.Event.FromString(item).event_id
    elif isinstance(item, str):
        event_id = re.findall(r'"eventId": ?"([^"]*)"', item)[0]
    else:
        event_id = item.get("eventId", item.get("event_id"))
    if not isinstance(event_id, str) or not event_id:
        event_id = "another"
    return (
        f'{{"specversion":"1.0","type":"touchledger.event.v1","source":"/tills/3",'
        f'"id":{json.dumps(event_id)},{data}}}'
    )


SEND = {
    GRPC: by_grpc,
    JSON: by_array,
    LINES: by_lines,
    CLOUDEVENTS: by_cloudevents,
    CLOUDEVENTS_PROTOBUF: by_cloudevents_with_protobuf,
}
assert set(SEND) == set(EVERY_WAY)


def batch(system: Up, key: Key, path: str, kind: str, body: str) -> list[Any]:
    status, told = post(system, key, path, body.encode("utf-8", "surrogatepass"), kind)
    assert status == 200, told
    results: list[Any] = told["results"]
    return results


def post(
    system: Up, key: Key, path: str, body: bytes, kind: str, **headers: str
) -> tuple[int, dict[str, Any]]:
    given = {"content-type": kind, "authorization": f"Bearer {key.text}"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    with contextlib.closing(connect(system)) as connection:
        connection.request("POST", path, body, given)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def connect(system: Up) -> http.client.HTTPConnection:
    address = urllib.parse.urlsplit(system.addresses["http"])
    assert address.hostname
    return http.client.HTTPConnection(address.hostname, address.port, timeout=CALL_SECONDS_MAX)


def gateway(system: Up) -> psutil.Process:
    [found] = [
        each
        for each in psutil.Process(system.process.pid).children(recursive=True)
        if "services.gateway" in each.cmdline()
    ]
    return found


def test_the_table_leaves_no_memory_behind(system: Up, key: Key) -> None:
    process = gateway(system)

    def whole_table() -> None:
        for way in EVERY_WAY:
            items = [around(row)[1] for row in ROWS.values() if way in row.ways]
            assert len(items) == len(SEND[way](system, key, items))

    whole_table()
    before = process.memory_info().rss
    for _ in range(TIMES):
        whole_table()
    assert process.memory_info().rss - before < MEMORY_BYTES_MAX


# Requests that are refused whole


WHOLE = {
    "nothing": (b"", 400, "MALFORMED_JSON"),
    "only spaces": (b" \n\t", 400, "MALFORMED_JSON"),
    "half an object": (b"{", 400, "MALFORMED_JSON"),
    "no UTF-8": (b'"\xff"', 400, "MALFORMED_JSON"),
    "UTF-16": ('{"eventId": "a"}'.encode("utf-16"), 400, "MALFORMED_JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + json.dumps(PLAIN).encode(), 400, "MALFORMED_JSON"),
    "XML": (b"<event/>", 400, "MALFORMED_JSON"),
    "a form": (b"eventId=a&touchpoint=b", 400, "MALFORMED_JSON"),
    "two documents": (json.dumps(PLAIN).encode() * 2, 400, "MALFORMED_JSON"),
    "a comment": (b"/* */ " + json.dumps(PLAIN).encode(), 400, "MALFORMED_JSON"),
    "a hundred levels": (b"[" * 100 + b"]" * 100, 400, "TOO_DEEP"),
    "a million levels": (b"[" * 1_000_000, 400, "TOO_DEEP"),
    "a million levels of objects": (b'{"a":' * 800_000, 400, "TOO_DEEP"),
    "an unended string": (b'["' + b"\\\\" * 1_000_000, 400, "MALFORMED_JSON"),
    "no events": (b"[]", 400, "BATCH_SIZE"),
    "501 events": (b"[" + b",".join([b"{}"] * 501) + b"]", 400, "BATCH_SIZE"),
    "a million events": (b"[" + b",".join([b"1"] * 1_000_000) + b"]", 400, "BATCH_SIZE"),
    "more than 4 MiB": (b"[" + b" " * 4_200_000 + b"]", 413, "TOO_LARGE"),
    "a number alone": (b"7", 422, "WRONG_TYPE"),
    "a text alone": (b'"event"', 422, "WRONG_TYPE"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_body_that_is_no_batch_is_refused_with_its_reason(
    system: Up, key: Key, name: str
) -> None:
    body, wanted, code = WHOLE[name]
    with little_work(system):
        status, told = post(system, key, "/v1/events", body, "application/json")
    assert (wanted, code) == (status, told["code"])


MALFORMED = {
    "no protobuf": b"\xff\xff\xff\xff",
    "an event that is cut": b"\x0a\x64ab",
    "text that is no UTF-8": block(1, block(1, b"\xff")),
    "a group that does not end": b"\x0b",
    "groups a thousand deep": b"\x0b" * 1000 + b"\x0c" * 1000,
    "a length beyond the end": b"\x0a\xff\xff\xff\xff\x0f",
    "a length below zero": b"\x0a" + b"\xff" * 9 + b"\x01",
    "a varint of eleven bytes": b"\x08" + b"\xff" * 10 + b"\x01",
    "the field number 0": b"\x02\x00",
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("method", ["Publish", "PublishBatch"])
def test_bytes_that_are_no_request_are_an_invalid_argument(
    system: Up, key: Key, name: str, method: str
) -> None:
    with system.channel() as channel:
        code = code_of(channel, key, method, MALFORMED[name])
    assert grpc.StatusCode.INVALID_ARGUMENT == code


def code_of(channel: grpc.Channel, key: Key, method: str, raw: bytes) -> grpc.StatusCode:
    call = channel.unary_unary(f"/touchledger.v1.IngestService/{method}")
    try:
        call(raw, metadata=key.metadata, timeout=CALL_SECONDS_MAX)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


# What costs a sender little must cost the gateway little


@contextlib.contextmanager
def little_work(system: Up) -> Iterator[None]:
    """Of the gateway's processor and memory."""
    process = gateway(system)
    cpu, memory = process.cpu_times(), process.memory_info().rss
    yield
    after = process.cpu_times()
    assert after.user + after.system - cpu.user - cpu.system < CHEAP_SECONDS_MAX
    assert process.memory_info().rss - memory < MEMORY_BYTES_MAX


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_refused_without_being_inflated(system: Up, key: Key, encoding: str) -> None:
    # A gibibyte of spaces, which both make a thousandth of, or less.
    spaces = b" " * (64 * 1024 * 1024)
    part = gzip.compress(spaces) if encoding == "gzip" else zstandard.compress(spaces)
    bombs = {"one part": part, "parts": part * 16}
    for bomb in bombs.values():
        with little_work(system):
            status, told = post(
                *(system, key, "/v1/events", bomb, "application/json"),
                content_encoding=encoding,
            )
        assert (413, "TOO_LARGE") == (status, told["code"])


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_million_empty_parts_are_refused(system: Up, key: Key, encoding: str) -> None:
    part = gzip.compress(b"") if encoding == "gzip" else zstandard.compress(b"")
    body = part * (4_000_000 // len(part))
    with little_work(system):
        status, told = post(
            *(system, key, "/v1/events", body, "application/json"),
            content_encoding=encoding,
        )
    assert (400, "MALFORMED_ENCODING") == (status, told["code"])


def test_headers_of_20_kb_are_refused(system: Up, key: Key) -> None:
    with contextlib.closing(connect(system)) as connection, little_work(system):
        connection.request("GET", "/livez", headers={"x-long": "x" * 20_000})
        assert 431 == connection.getresponse().status


def test_metadata_of_20_kb_is_refused(system: Up, key: Key) -> None:
    metadata = (*key.metadata, ("x-long", "x" * 20_000))
    request = ingest_pb2.PublishRequest(event=event())
    with system.ingest() as stub, little_work(system), pytest.raises(grpc.RpcError) as refused:
        stub.Publish(request, metadata=metadata, timeout=CALL_SECONDS_MAX)
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == refused.value.code()


def test_bodies_that_never_come_stop_nobody(system: Up, key: Key) -> None:
    address = urllib.parse.urlsplit(system.addresses["http"])
    head = (
        f"POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key.text}\r\n"
        "content-length: 4000000\r\n\r\n["
    )
    with contextlib.ExitStack() as open_ones, little_work(system):
        for _ in range(200):
            slow = socket.create_connection((address.hostname, address.port))
            open_ones.enter_context(slow)
            slow.sendall(head.encode())
        began = time.monotonic()
        status, _ = post(
            *(system, key, "/v1/events", json.dumps(PLAIN).encode()),
            "application/json",
        )
        # Each of them is waited for twenty seconds.
        assert (200, True) == (status, time.monotonic() - began < 10)


def test_a_hundred_thousand_unknown_fields_are_refused_at_little_cost(system: Up, key: Key) -> None:
    names = [
        "a hundred thousand unknown fields",
        "twenty thousand unknown fields",
        "a hundred thousand keys",
    ]
    for name in names:
        row = ROWS[name]
        for way in row.ways:
            with little_work(system):
                assert row.code == outcome(system, key, row, way)[1]


# Whatever the bytes


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    raw=st.one_of(
        st.binary(max_size=200),
        # An event with some bytes set otherwise, cut, or with others after it.
        st.tuples(
            st.sampled_from([as_bytes(row.given) for row in ROWS.values() if GRPC in row.ways]),
            st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4),
            st.binary(max_size=20),
        ).map(lambda made: mutated(*made)),
    )
)
# An entry of a map whose key is a number.
@example(raw=bytes.fromhex("0a140a016512060880808080015a071a050d00000000"))
def test_no_bytes_are_a_fault_of_the_server(fuzzed: tuple[Key, grpc.Channel], raw: bytes) -> None:
    key, channel = fuzzed
    for method, request in REQUESTS.items():
        code = code_of(channel, key, method, raw)
        assert code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)
        # What no parser takes is never answered as if it had been read.
        assert code is grpc.StatusCode.INVALID_ARGUMENT or is_readable(request, raw)


REQUESTS = {"Publish": ingest_pb2.PublishRequest, "PublishBatch": ingest_pb2.PublishBatchRequest}


def mutated(raw: bytes, changes: list[tuple[int, int]], after: bytes) -> bytes:
    made = bytearray(raw)
    for at, value in changes:
        if made:
            made[at % len(made)] = value
    return block(1, bytes(made) + after)


def is_readable(request: type[Message], raw: bytes) -> bool:
    try:
        request.FromString(raw)
    except DecodeError:
        return False
    return True


@pytest.fixture
def fuzzed(system: Up, key: Key) -> Iterator[tuple[Key, grpc.Channel]]:
    with system.channel() as channel:
        yield key, channel
