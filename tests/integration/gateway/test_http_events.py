"""POST /v1/events through to the journal: forms, encodings, statuses, limits."""

import gzip
import http.client
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import grpc
import psycopg
import pytest
import zstandard
from google.protobuf import json_format

from services.gateway.http_events import EXAMPLE, as_json, elements
from tests.conftest import SERVICES
from tests.support.events import csat, event, feedback
from tests.support.stack import Stack, running_stack
from touchledger import event_json
from touchledger.v1 import (
    ingest_pb2,
    journal_pb2,
    keys_pb2,
    keys_pb2_grpc,
    quarantine_pb2,
    quarantine_pb2_grpc,
)
from touchledger.v1.problem_pb2 import Problem

SECONDS_MAX = 15.0


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str]
) -> Iterator[Stack]:
    urls = {name: new_database(name) for name in SERVICES}
    with running_stack(tmp_path_factory.mktemp("stack"), urls) as running:
        yield running


def new_event(**fields: Any) -> dict[str, Any]:
    given: dict[str, Any] = json.loads(event_json.to_json(event(event_id=str(uuid.uuid4()))))
    return given | fields


def bad_answer() -> dict[str, Any]:
    """A value outside its scale, which a person can mend."""
    given = feedback(csat("9"), event_id=str(uuid.uuid4()))
    fields: dict[str, Any] = json.loads(event_json.to_json(given))
    return fields


def post(
    stack: Stack,
    body: object,
    query: str = "",
    *,
    path: str = "/v1/events",
    key: str = "",
    **headers: str,
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, document and headers; what is no text or bytes goes as JSON."""
    host, _, port = stack.http_address.partition(":")
    given = {"content-type": "application/json", "authorization": f"Bearer {key or stack.key}"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = body if isinstance(body, (bytes, str)) else json.dumps(body)
    with closing(http.client.HTTPConnection(host, int(port), timeout=SECONDS_MAX)) as connection:
        connection.request("POST", f"{path}{query}", sent, given)
        answer = connection.getresponse()
        told = answer.read()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, json.loads(told) if told else {}, names


def stored(stack: Stack, event_id: str, columns: str = "source") -> list[Any]:
    with psycopg.connect(stack.urls["touchpoint"], autocommit=True) as connection:
        rows = connection.execute(
            f"SELECT state, {columns} FROM journal.stored_events WHERE state IS NOT NULL".encode()
        ).fetchall()
    return [row[1:] for row in rows if event_id.encode() in row[0]]


def new_key(stack: Stack, **fields: Any) -> str:
    with grpc.insecure_channel(stack.gateway.address) as channel:
        made: keys_pb2.CreateKeyResponse = keys_pb2_grpc.KeyServiceStub(channel).CreateKey(
            keys_pb2.CreateKeyRequest(key=keys_pb2.Key(**fields)),
            metadata=stack.metadata,
            timeout=SECONDS_MAX,
        )
    return made.secret


# A single event tells by its status


def test_a_single_event_is_recorded_once(stack: Stack) -> None:
    given = new_event()
    status, first, headers = post(stack, given)
    assert (200, "DISPOSITION_RECORDED") == (status, first["results"][0]["disposition"])
    assert "application/json" == headers["content-type"]
    status, again, _ = post(stack, given)
    assert (200, "DISPOSITION_DUPLICATE") == (status, again["results"][0]["disposition"])
    assert first["results"][0]["position"] == again["results"][0]["position"]


def test_a_single_event_with_the_id_of_another_is_a_conflict(stack: Stack) -> None:
    given = new_event()
    assert 200 == post(stack, given)[0]
    status, told, headers = post(stack, given | {"staff": "another"})
    assert (409, "EVENT_ID_CONFLICT") == (status, told["code"])
    assert "DISPOSITION_REJECTED" == told["results"][0]["disposition"]
    assert "application/problem+json" == headers["content-type"]


def test_a_single_event_that_can_be_mended_is_accepted_and_not_recorded(stack: Stack) -> None:
    given = bad_answer()
    status, told, _ = post(stack, given)
    [result] = told["results"]
    assert (202, "DISPOSITION_QUARANTINED") == (status, result["disposition"])
    assert "VALUE_OUTSIDE_SCALE" == result["problem"]["code"]
    assert result["quarantineId"]
    assert [] == stored(stack, given["eventId"])


def test_a_single_event_that_is_rejected_is_no_success(stack: Stack) -> None:
    status, told, _ = post(stack, new_event(nonsense=1))
    assert (422, "UNKNOWN_FIELD") == (status, told["code"])
    assert "DISPOSITION_REJECTED" == told["results"][0]["disposition"]
    status, told, _ = post(stack, new_event(attributes={f"k{n}": "v" * 1024 for n in range(64)}))
    assert (413, "TOO_LARGE") == (status, told["code"])


def test_a_batch_is_answered_event_by_event_even_when_it_has_one(stack: Stack) -> None:
    status, told, _ = post(stack, [new_event(nonsense=1)])
    assert (200, "DISPOSITION_REJECTED") == (status, told["results"][0]["disposition"])


def test_the_example_of_the_documentation_is_recorded(stack: Stack) -> None:
    status, told, _ = post(stack, EXAMPLE)
    assert (200, "DISPOSITION_RECORDED") == (status, told["results"][0]["disposition"])


# Forms


def test_lines_are_events_whatever_ends_them(stack: Stack) -> None:
    given = [new_event() for _ in range(4)]
    text = [json.dumps(each) for each in given]
    body = f"{text[0]}\r\n\r\n{text[1]}\n  \n{text[2]}\r{text[3]}"
    for kind in ("application/x-ndjson", "application/jsonl; charset=utf-8"):
        status, told, _ = post(stack, body, content_type=kind)
        assert (200, 4) == (status, len(told["results"]))
        assert all("position" in each for each in told["results"])


def test_curl_s_own_content_type_is_taken_for_json(stack: Stack) -> None:
    kind = "application/x-www-form-urlencoded"
    assert 200 == post(stack, new_event(), content_type=kind)[0]


def test_who_writes_first_and_reads_then_is_told_why_it_was_refused(stack: Stack) -> None:
    body = b" " * 4_000_000
    assert 401 == post(stack, body, key="another")[0]
    assert 415 == post(stack, body, content_type="text/html")[0]
    assert 404 == post(stack, body, path="/v1/nothing")[0]
    assert 405 == post(stack, body, path="/livez")[0]


@pytest.mark.parametrize("kind", ["application/xml", "text/plain", "application/cloudevents+json"])
def test_another_media_type_is_refused(stack: Stack, kind: str) -> None:
    status, told, _ = post(stack, new_event(), content_type=kind)
    assert (415, "UNSUPPORTED_MEDIA_TYPE") == (status, told["code"])


def test_compressed_bodies_are_inflated(stack: Stack) -> None:
    for encode in (gzip.compress, zstandard.compress):
        whole = json.dumps([new_event() for _ in range(300)]).encode()
        halves = [whole[: len(whole) // 2], whole[len(whole) // 2 :]]
        name = "gzip" if encode is gzip.compress else "zstd"
        for body in (encode(whole), b"".join(map(encode, halves))):
            status, told, _ = post(stack, body, content_encoding=name)
            assert (200, 300) == (status, len(told["results"]))
            assert all("position" in each for each in told["results"])


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_compressed_body_that_was_cut_or_is_none_is_refused(stack: Stack, encoding: str) -> None:
    encode = gzip.compress if encoding == "gzip" else zstandard.compress
    whole = encode(json.dumps([new_event()]).encode())
    for body in (whole[:-4], whole[:10], whole + b"more", b"{}", b""):
        status, told, _ = post(stack, body, content_encoding=encoding)
        assert (400, "MALFORMED_ENCODING") == (status, told["code"])


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x"])
def test_another_encoding_is_refused(stack: Stack, encoding: str) -> None:
    status, told, _ = post(stack, new_event(), content_encoding=encoding)
    assert (415, "UNSUPPORTED_ENCODING") == (status, told["code"])


def test_zstd_may_not_ask_for_a_window_of_gigabytes(stack: Stack) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, compression_level=3)
    packer = zstandard.ZstdCompressor(compression_params=parameters)
    body = packer.compressobj()
    wide = body.compress(json.dumps([new_event()]).encode()) + body.flush()
    assert 2**27 == zstandard.get_frame_parameters(wide).window_size
    status, told, _ = post(stack, wide, content_encoding="zstd")
    assert (400, "MALFORMED_ENCODING") == (status, told["code"])


# What is dear to parse for its bytes


def costly(size: int = 4_000_000) -> dict[str, bytes]:
    """Bodies that take many times as long as events of the same bytes."""
    return {
        "brackets": b"[" + b"{}," * (size // 3) + b"{}]",
        "nested brackets": b'{"x":[' + b"{}," * (size // 3) + b"{}]}",
        "closing brackets": b"[{}" + b",{}" * 40 + b"]" * size,
        "commas": b"[" + b"1," * (size // 2) + b"1]",
        "quotation marks": b"[{}" + b",{}" * 40 + b'""' * (size // 2) + b"]",
    }


@pytest.mark.parametrize("what", costly())
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/events", "application/json"),
        ("/v1/events", "application/x-ndjson"),
        ("/v1/cloudevents", "application/cloudevents+json"),
        ("/v1/cloudevents", "application/cloudevents-batch+json"),
        ("/v1/batch", "application/json"),
    ],
)
def test_what_holds_more_values_than_events_do_is_refused_unparsed(
    stack: Stack, what: str, path: str, kind: str
) -> None:
    body = costly(510_000 if path == "/v1/batch" else 4_000_000)[what]
    # What is broken at its end is told so by whoever parses it; counting doesn't see it.
    body = gzip.compress(body + b"?")
    status, told, _ = post(
        stack, body, path=path, content_type=kind, content_encoding="gzip", ce_specversion="1.0"
    )
    if told["code"] == "BATCH_SIZE":
        # As its beginning says; of the whole nobody could, since it is no JSON.
        assert (400, "events") == (status, told["field"])
        assert what in ("brackets", "commas")
        return
    assert (413, "TOO_LARGE", "body") == (status, told["code"], told["field"])
    assert told["want"].endswith(what.rpartition("closing ")[2].rpartition("nested ")[2])


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/events", "application/json"),
        ("/v1/events", "application/x-ndjson"),
        ("/v1/cloudevents", "application/cloudevents+json"),
        ("/v1/batch", "application/json"),
    ],
)
def test_an_object_with_more_keys_than_fit_into_an_event_is_refused_unparsed(
    stack: Stack, path: str, kind: str
) -> None:
    keys = b",".join(b'"%d":""' % number for number in range(45_000))
    # Whoever parses it would see that it is cut.
    body = b'{"batch":[{' + keys
    status, told, _ = post(stack, body, path=path, content_type=kind)
    assert (413, "TOO_LARGE", "body") == (status, told["code"], told["field"])


def test_an_event_that_is_full_of_marks_is_parsed(stack: Stack) -> None:
    # As many as fit into 64 KiB beside the rest.
    texts = {f"k{number}": '"' * 500 + "," * 500 for number in range(60)}
    status, told, _ = post(stack, new_event(attributes=texts))
    assert (200, "DISPOSITION_RECORDED") == (status, told["results"][0]["disposition"])


def test_blank_lines_have_an_end(stack: Stack) -> None:
    status, told, _ = post(stack, b"\n" * 4_000_000, content_type="application/x-ndjson")
    assert (413, "TOO_LARGE") == (status, told["code"])


def test_the_largest_good_batch_is_not_refused_for_its_brackets(stack: Stack) -> None:
    signal = bad_answer()["feedbackReceived"]["signals"][0] | {"value": "4"}
    given = [bad_answer() for _ in range(500)]
    for each in given:
        each["feedbackReceived"]["signals"] = [signal] * 50
    body = json.dumps(given, separators=(",", ":"))
    status, told, _ = post(stack, body, "?validate_only=true")
    assert (200, 500) == (status, len(told["results"]))


@pytest.mark.parametrize(
    ("path", "kind", "body", "refused"),
    [
        ("/v1/events", "application/json", costly(200_000)["nested brackets"], "TOO_LARGE"),
        ("/v1/events", "application/json", b"[" + b"{}," * 600 + b"{}]", "BATCH_SIZE"),
        ("/v1/events", "application/json", b"nonsense", "MALFORMED_JSON"),
        ("/v1/events", "application/x-ndjson", b"{}\n" * 600, "BATCH_SIZE"),
        (
            "/v1/cloudevents",
            "application/cloudevents-batch+json",
            b"[" + b"{}," * 600 + b"{}]",
            "BATCH_SIZE",
        ),
        ("/v1/batch", "application/json", b'{"batch":[]}', "BATCH_SIZE"),
        ("/v1/track", "application/json", b"nonsense", "MALFORMED_JSON"),
    ],
)
def test_the_bytes_of_what_is_refused_are_counted(
    stack: Stack, path: str, kind: str, body: bytes, refused: str
) -> None:
    # A burst is of two seconds: the first one uses it up, and more of it comes byte by byte.
    key = new_key(stack, source=f"dear {uuid.uuid4()}", scopes=["publish"], bytes_per_second=1)
    status, told, _ = post(stack, body, path=path, key=key, content_type=kind)
    assert (refused, True) == (told["code"], 400 <= status < 500)
    status, told, headers = post(stack, body, path=path, key=key, content_type=kind)
    assert (429, "RATE_LIMITED", "request") == (status, told["code"], told["field"])
    assert int(headers["retry-after"]) >= 1


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
def test_bytes_are_counted_once(stack: Stack, encoding: str) -> None:
    encodes: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        "gzip": gzip.compress,
        "zstd": zstandard.compress,
    }
    given = json.dumps(new_event()).encode()
    key = new_key(
        stack, source=f"exact {encoding}", scopes=["publish"], bytes_per_second=len(given)
    )
    # Two seconds' worth is two events; counted twice, it would be one.
    assert [200, 200] == [
        post(stack, encodes[encoding](given), key=key, content_encoding=encoding)[0]
        for _ in range(2)
    ]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize(
    ("path", "kind", "cut"),
    [
        ("/v1/events", "application/json", False),
        ("/v1/events", "application/json", True),
        ("/v1/cloudevents", "application/cloudevents+json", False),
        ("/v1/track", "application/json", False),
        ("/v1/batch", "application/json", False),
    ],
)
def test_what_was_inflated_in_vain_is_counted(
    stack: Stack, encoding: str, path: str, kind: str, cut: bool
) -> None:
    encode = gzip.compress if encoding == "gzip" else zstandard.compress
    body, refused = encode(bytes(8_000_000)), "TOO_LARGE"
    if cut:
        body, refused = encode(bytes(4_000_000))[:-4], "MALFORMED_ENCODING"
    key = new_key(stack, source=f"bomb {uuid.uuid4()}", scopes=["publish"], bytes_per_second=1000)
    given = {"path": path, "key": key, "content_type": kind, "content_encoding": encoding}
    assert refused == post(stack, body, **given)[1]["code"]
    # The next one is not inflated at all: it is none.
    status, told, headers = post(stack, b"nonsense", **given)
    assert (429, "RATE_LIMITED") == (status, told["code"])
    # Of the smallest limit, that of a message, 32 KiB were inflated at least.
    assert int(headers["retry-after"]) >= 30


# What goes beside the events


def test_a_validation_stores_nothing(stack: Stack) -> None:
    given = new_event()
    status, told, _ = post(stack, [given, bad_answer(), new_event(x=1)], "?validate_only=true")
    assert 200 == status
    assert ["VALID", "QUARANTINED", "REJECTED"] == [
        each["disposition"].removeprefix("DISPOSITION_") for each in told["results"]
    ]
    assert "quarantineId" not in told["results"][1]
    assert [] == stored(stack, given["eventId"])
    assert "DISPOSITION_RECORDED" == post(stack, given)[1]["results"][0]["disposition"]


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("?validate_only=yes", "WRONG_TYPE", "validate_only"),
        ("?validateOnly=true", "UNKNOWN_FIELD", "query"),
        ("?validate_only=true&validate_only=false", "DUPLICATE_KEY", "query"),
        ("?" + "&".join(f"a{n}=1" for n in range(200)), "TOO_MANY", "query"),
        ("?sent_at=yesterday", "INVALID_TIME", "sent_at"),
    ],
)
def test_a_query_that_says_something_else_is_refused(
    stack: Stack, query: str, code: str, field: str
) -> None:
    given = new_event()
    status, told, _ = post(stack, given, query)
    assert (400, code, field) == (status, told["code"], told["field"])
    assert [] == stored(stack, given["eventId"])


def test_the_source_s_clock_is_stored_beside_the_event(stack: Stack) -> None:
    for how in ("header", "query"):
        given = new_event()
        sent_at = "2026-08-03T10:16:00Z"
        if how == "header":
            post(stack, given, touchledger_sent_at=sent_at)
        else:
            post(stack, given, f"?sent_at={sent_at}")
        [(at,)] = stored(stack, given["eventId"], "sent_at")
        assert "2026-08-03T10:16:00" == at.isoformat()[:19]


def test_an_unreadable_event_is_quarantined_as_it_came(stack: Stack) -> None:
    good, bad = new_event(), new_event()
    raw = json.dumps(bad | {"occurredAt": "yesterday"}, indent=3)
    body = f" [ {json.dumps(good)} ,{raw}\n, {json.dumps(new_event())}]"
    _, told, _ = post(stack, body)
    with grpc.insecure_channel(stack.gateway.address) as channel:
        kept = quarantine_pb2_grpc.QuarantineServiceStub(channel).GetQuarantined(
            quarantine_pb2.GetQuarantinedRequest(quarantine_id=told["results"][1]["quarantineId"]),
            metadata=stack.metadata,
            timeout=SECONDS_MAX,
        )
    assert (raw, "event_json", bad["eventId"]) == (
        kept.content.decode(),
        kept.entry.format,
        kept.entry.event_id,
    )


def test_answers_tell_what_may_still_be_sent(stack: Stack) -> None:
    key = new_key(stack, source="slow", scopes=["publish"], events_per_second=1, burst_events=3)
    _, _, headers = post(stack, new_event(), key=key)
    assert '"events";q=3' == headers["ratelimit-policy"]
    assert headers["ratelimit"].startswith('"events";r=2;t=')
    status, told, headers = post(stack, [new_event() for _ in range(3)], key=key)
    assert (429, "RATE_LIMITED") == (status, told["code"])
    assert int(headers["retry-after"]) == told["retry_after"] >= 1
    assert headers["ratelimit"].startswith('"events";r=2;t=')


# The answer, written by hand


def test_a_result_is_written_as_protobuf_json() -> None:
    position = journal_pb2.Position(journal_id=str(uuid.uuid4()), number=2**63)
    problem = Problem(code="A", field='b"\\', got="ü\x07\ud7ff", want="", retryable=True)
    problem.retry_after.FromMilliseconds(1500)
    for name in ingest_pb2.Disposition.keys():  # noqa: SIM118  # it is no dictionary
        for result in (
            ingest_pb2.PublishResult(disposition=name),
            ingest_pb2.PublishResult(disposition=name, position=position),
            ingest_pb2.PublishResult(disposition=name, problem=problem, quarantine_id="q"),
        ):
            wanted = json_format.MessageToDict(result) | {"disposition": name}
            assert wanted == json.loads(as_json(result))


def test_the_elements_of_an_array_are_found_as_they_came() -> None:
    given = ['{"a": [1, 2], "b": "],{"}', " 1e400", "[]", '"\\"],"', "NaN", "-0.0", "9" * 5000]
    body = f"[{' , '.join(given)}\n]".encode()
    assert [each.strip().encode() for each in given] == elements(body)
    assert [] == elements(b" [ ] ")
