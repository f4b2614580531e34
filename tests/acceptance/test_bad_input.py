"""What is bad is told by field, got and want, and harms nothing beside it; what is good is stored."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.chassis import peers
from services.cli.data_folder import DataFolder
from tests.support.events import csat, event, feedback, of_every_body
from tests.support.up import CALL_SECONDS_MAX, Key, Up, touchledger, wait_for
from touchledger import event_json
from touchledger.v1 import events_pb2, ingest_pb2, ingest_pb2_grpc, journal_pb2, journal_pb2_grpc
from touchledger.v1.ingest_pb2 import (
    DISPOSITION_DUPLICATE,
    DISPOSITION_QUARANTINED,
    DISPOSITION_RECORDED,
    DISPOSITION_REJECTED,
)
from touchledger.v1.problem_pb2 import Problem

PUBLISH_BATCH = "/touchledger.v1.IngestService/PublishBatch"
STORED = """
SELECT notification_id, state FROM journal.stored_events WHERE tenant = %s ORDER BY notification_id
"""
CANARY = "customer-canary-4711"
# Field 99 of a message, which no version of the protos has: a varint, 7.
UNKNOWN_BINARY_FIELD = bytes([0x98, 0x06, 0x07])


@dataclass(frozen=True, slots=True)
class Bad:
    """An event that is not recorded, as JSON, and what must be told of it."""

    event: dict[str, Any]
    field: str
    # Parts of what is told.
    got: str
    want: str
    # A person can mend it, so that it is kept.
    mendable: bool = True

    @property
    def disposition(self) -> int:
        return DISPOSITION_QUARANTINED if self.mendable else DISPOSITION_REJECTED


def as_json(good: events_pb2.Event) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(event_json.to_json(good))
    return fields


def answer(**signal: str) -> dict[str, Any]:
    """A CSAT answer with one thing in its signal changed; "" takes it out."""
    signals = {name: value for name, value in (csat("4") | signal).items() if value}
    body = {"stage": "STAGE_PURCHASE", "channel": "CHANNEL_STORE", "signals": [signals]}
    return as_json(event(feedback_received={})) | {"feedbackReceived": body}


BAD = {
    "value outside its scale": Bad(
        answer(value="6"), "feedback_received.signals[0].value", "6", "1 to 5"
    ),
    "scale without an end": Bad(
        answer(scale_max=""), "feedback_received.signals[0].scale_max", "nothing", "scale"
    ),
    "scale without a beginning": Bad(
        answer(scale_min=""), "feedback_received.signals[0].scale_min", "nothing", "scale"
    ),
    "value that is no number": Bad(
        answer(value="four"), "feedback_received.signals[0].value", "four", "decimal"
    ),
    "touchpoint of 10 000 characters": Bad(
        as_json(event(touchpoint="t" * 10_000)), "touchpoint", "1000", "128"
    ),
    "NUL in a comment": Bad(
        as_json(event(personal={"comment": "good"})) | {"personal": {"comment": "go\0od"}},
        *("personal.comment", "NUL", "without NUL"),
        mendable=False,
    ),
    "NUL in a reference": Bad(
        as_json(event()) | {"correlationId": "a\0b"},
        *("correlation_id", "NUL", "without NUL"),
        mendable=False,
    ),
    "no event id": Bad(
        as_json(event(event_id="")), "event_id", "nothing", "1 to 128", mendable=False
    ),
    "no time": Bad(
        {name: value for name, value in as_json(event()).items() if name != "occurredAt"},
        "occurred_at",
        "nothing",
        "when",
    ),
    "no body": Bad(
        {name: value for name, value in as_json(event()).items() if name != "interaction"},
        "body",
        "nothing",
        "interaction",
    ),
    "no touchpoint": Bad(as_json(event(touchpoint="")), "touchpoint", "nothing", "where"),
    "sealed personal data": Bad(
        as_json(event()) | {"sealedPersonal": {"keyId": 3, "data": "AAAA"}},
        *("sealed_personal", "a value", "gateway"),
        mendable=False,
    ),
    "correction of nothing": Bad(
        as_json(event(correction={"interaction": {}})), "amends.event_id", "nothing", "amends"
    ),
    "correction that says nothing": Bad(
        as_json(event(correction={}, amends={"event_id": "event-0"})),
        "correction.body",
        "nothing",
        "body",
    ),
    "fact that amends": Bad(
        as_json(event(amends={"event_id": "event-0"})), "amends", "a value", "corrections"
    ),
    "correction with a value outside its scale": Bad(
        as_json(event(correction={}, amends={"event_id": "event-0"}))
        | {"correction": {"feedbackReceived": answer(value="0")["feedbackReceived"]}},
        "correction.feedback_received.signals[0].value",
        "0",
        "1 to 5",
    ),
}
# Only JSON has names and types that can be wrong.
BAD_JSON = {
    "unknown field": Bad(
        as_json(event()) | {"touchpiont": "x"},
        *("touchpiont", "touchpiont", "touchpoint"),
        mendable=False,
    ),
    "unknown field deep inside": Bad(
        answer(scale="5"),
        *("feedback_received.signals[0].scale", "scale", "scale_max"),
        mendable=False,
    ),
    "unknown name of an enum": Bad(
        answer(metric="CSAT"), "feedback_received.signals[0].metric", "CSAT", "METRIC_CSAT"
    ),
    "number without quotation marks": Bad(
        as_json(event()) | {"touchpoint": 7}, "touchpoint", "7", "text"
    ),
}


@pytest.fixture
def key(system: Up) -> Key:
    return system.new_key()


@pytest.fixture
def stub(system: Up) -> Iterator[ingest_pb2_grpc.IngestServiceStub]:
    with system.ingest() as stub:
        yield stub


def publish(
    stub: ingest_pb2_grpc.IngestServiceStub,
    key: Key,
    *events: events_pb2.Event,
    attempt: ingest_pb2.Attempt | None = None,
) -> list[ingest_pb2.PublishResult]:
    response: ingest_pb2.PublishBatchResponse = stub.PublishBatch(
        ingest_pb2.PublishBatchRequest(events=events, attempt=attempt),
        metadata=key.metadata,
        timeout=CALL_SECONDS_MAX,
    )
    return list(response.results)


def post(system: Up, key: Key | None, body: bytes, content_type: str) -> tuple[int, Any]:
    """Status and JSON of POST /v1/events."""
    headers = {"content-type": content_type}
    if key:
        headers["authorization"] = f"Bearer {key.text}"
    request = urllib.request.Request(f"{system.addresses['http']}/v1/events", body, headers)
    # A proxy of the environment does not know our loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=CALL_SECONDS_MAX) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def post_results(system: Up, key: Key, events: Sequence[object], form: str) -> list[Any]:
    if form == "array":
        body, content_type = json.dumps(events), "application/json"
    else:
        body, content_type = "\n".join(map(json.dumps, events)), "application/x-ndjson"
    status, told = post(system, key, body.encode(), content_type)
    assert status == 200, told
    return list(json_format.ParseDict(told, ingest_pb2.PublishBatchResponse()).results)


def around(bad: dict[str, Any]) -> list[dict[str, Any]]:
    """The bad event between two good ones."""
    return [as_json(event(event_id="good-1")), bad, as_json(event(event_id="good-2"))]


def stored_ids(system: Up, key: Key) -> list[str]:
    rows = system.rows("touchpoint", STORED, key.tenant)
    return [events_pb2.Event.FromString(state).event_id for _, state in rows]


def is_told(bad: Bad, problem: Problem) -> None:
    assert problem.code
    assert bad.field == problem.field
    assert bad.got in problem.got, problem
    assert bad.want in problem.want, problem
    assert (False, False) == (problem.retryable, problem.HasField("retry_after"))
    assert len(problem.got) + len(problem.want) < 400


def good_ones_are_stored(
    system: Up,
    key: Key,
    results: Sequence[ingest_pb2.PublishResult],
    between: int = DISPOSITION_REJECTED,
) -> None:
    kinds = [DISPOSITION_RECORDED, between, DISPOSITION_RECORDED]
    assert kinds == [each.disposition for each in results]
    assert results[0].position.number + 1 == results[2].position.number
    assert not results[1].HasField("position")
    assert ["good-1", "good-2"] == stored_ids(system, key)


def refusal(call: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return refused.value


def problem_of(error: grpc.RpcError) -> Problem:
    """The problem of a call that failed; nothing of it invites to repeat the call."""
    status = rpc_status.from_call(error)
    assert status is not None, error
    problem = Problem()
    kinds = [each.TypeName() for each in status.details]
    assert error_details_pb2.RetryInfo.DESCRIPTOR.full_name not in kinds
    assert status.details[0].Unpack(problem), kinds
    return problem


@pytest.mark.parametrize("name", BAD)
def test_a_bad_event_in_a_grpc_batch_is_refused_alone(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub, name: str
) -> None:
    # json_format, which takes what our own reader of JSON refuses.
    events = [json_format.ParseDict(each, events_pb2.Event()) for each in around(BAD[name].event)]

    results = publish(stub, key, *events)

    good_ones_are_stored(system, key, results, BAD[name].disposition)
    is_told(BAD[name], results[1].problem)


@pytest.mark.parametrize("form", ["array", "ndjson"])
@pytest.mark.parametrize("name", [*BAD, *BAD_JSON])
def test_a_bad_event_in_an_http_batch_is_refused_alone(
    system: Up, key: Key, name: str, form: str
) -> None:
    bad = (BAD | BAD_JSON)[name]

    results = post_results(system, key, around(bad.event), form)

    good_ones_are_stored(system, key, results, bad.disposition)
    is_told(bad, results[1].problem)


def test_bad_lines_of_a_replayed_file_are_told_by_line_and_the_others_recorded(
    system: Up, key: Key, tmp_path: Path
) -> None:
    bad = [*BAD.values(), *BAD_JSON.values()]
    good = [as_json(event(event_id=f"good-{number}")) for number in range(len(bad))]
    # A good line before each bad one, so that those have the even numbers.
    lines = [json.dumps(each) for pair in zip(good, (each.event for each in bad)) for each in pair]  # noqa: B905
    file = tmp_path / "events.ndjson"
    file.write_text("\n".join([*lines, "{", '{"eventId": "cut o']))

    run = touchledger(
        *("replay", file, "--target", system.addresses["grpc"], "--json"),
        folder=tmp_path,
        TOUCHLEDGER_KEY=key.text,
    )

    told = json.loads(run.stdout)
    assert (1, "") == (run.returncode, run.stderr.partition("events in")[0].strip("0123456789, "))
    # What is no event at all is found before it is sent, and is still in the file.
    kept = sum(each.mendable for each in BAD.values())
    assert (len(good), kept, len(bad) + 2 - kept) == (
        *(told["RECORDED"], told["QUARANTINED"], told["REJECTED"]),
    )
    assert [each["eventId"] for each in good] == stored_ids(system, key)
    problems = {each["line"]: each for each in told["problems"]}
    for number, each in enumerate(bad, start=1):
        if 2 * number in problems:
            is_told(each, problem_told(problems[2 * number]))
    assert told["problems"] == sorted(told["problems"], key=lambda each: int(each["line"]))


def problem_told(told: dict[str, Any]) -> Problem:
    return Problem(**{name: told[name] for name in ("code", "field", "got", "want")})


def test_the_same_event_gets_the_same_verdict_by_every_way(
    system: Up, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    events = [each.event for each in BAD.values()]
    parsed = [json_format.ParseDict(each, events_pb2.Event()) for each in events]

    by_grpc = publish(stub, system.new_key(), *parsed)
    by_array = post_results(system, system.new_key(), events, "array")
    by_lines = post_results(system, system.new_key(), events, "ndjson")

    verdicts = [
        {name: (each.problem.code, each.problem.field) for name, each in zip(BAD, way, strict=True)}
        for way in (by_grpc, by_array, by_lines)
    ]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0] == verdicts[2]


@pytest.mark.parametrize("where", ["event", "body", "signal", "place"])
def test_an_event_with_unknown_binary_fields_is_rejected_alone(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub, where: str
) -> None:
    newer = feedback(csat("4"), event_id="newer", place={"store": "cologne"})
    part = {
        "event": newer,
        "body": newer.feedback_received,
        "signal": newer.feedback_received.signals[0],
        "place": newer.place,
    }[where]
    part.MergeFromString(UNKNOWN_BINARY_FIELD)

    results = publish(stub, key, event(event_id="good-1"), newer, event(event_id="good-2"))

    good_ones_are_stored(system, key, results)
    problem = results[1].problem
    assert "UNKNOWN_FIELD" == problem.code
    assert "99" in problem.field + problem.got, problem
    assert problem.want


def test_a_batch_above_4_mib_is_refused_whole(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    large = [big(number, 40) for number in range(5 * 1024 // 40)]
    assert 5_000_000 < ingest_pb2.PublishBatchRequest(events=large).ByteSize() < 8_000_000

    error = refusal(lambda: publish(stub, key, *large))

    problem = problem_of(error)
    assert grpc.StatusCode.INVALID_ARGUMENT == error.code()
    assert ("TOO_LARGE", "request") == (problem.code, problem.field)
    assert (True, True) == ("bytes" in problem.got, str(4 * 1024 * 1024) in problem.want)
    assert [] == stored_ids(system, key)


def test_a_body_above_4_mib_is_refused_whole(system: Up, key: Key) -> None:
    large = [as_json(big(number, 40)) for number in range(5 * 1024 // 40)]

    status, told = post(system, key, json.dumps(large).encode(), "application/json")

    assert (413, "TOO_LARGE", "body") == (status, told["title"], told["field"])
    assert [] == stored_ids(system, key)


def test_a_batch_just_below_4_mib_is_recorded(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    large = [big(number, 60) for number in range(4 * 1024 // 61)]
    assert 4_000_000 < ingest_pb2.PublishBatchRequest(events=large).ByteSize() < 4 * 1024 * 1024

    results = publish(stub, key, *large)

    assert {DISPOSITION_RECORDED} == {each.disposition for each in results}
    assert [each.event_id for each in large] == stored_ids(system, key)
    # Pages that large reach the read models, too.
    assert system.caught_up() >= results[-1].position.number


def big(number: int, kibibytes: int) -> events_pb2.Event:
    notes = {f"note-{index}": "x" * 1015 for index in range(kibibytes)}
    return event(event_id=f"big-{number}", personal={"attributes": notes})


def test_an_event_above_64_kib_is_rejected_alone(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    large = big(1, 60)
    large.personal.comment = "x" * 16_000

    results = publish(stub, key, event(event_id="good-1"), large, event(event_id="good-2"))

    good_ones_are_stored(system, key, results)
    problem = results[1].problem
    assert ("TOO_LARGE", True) == (problem.code, "65536 bytes" in problem.want)


@pytest.mark.parametrize("count", [0, 501])
def test_a_batch_of_no_events_or_too_many_is_refused_whole(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub, count: int
) -> None:
    events = [event(event_id=f"event-{number}") for number in range(count)]

    error = refusal(lambda: publish(stub, key, *events))
    status, told = post(
        system, key, json.dumps([as_json(each) for each in events]).encode(), "application/json"
    )

    problem = problem_of(error)
    assert grpc.StatusCode.INVALID_ARGUMENT == error.code()
    assert ("BATCH_SIZE", "events", str(count), "1 to 500") == (
        *(problem.code, problem.field),
        *(problem.got, problem.want),
    )
    assert (400, "BATCH_SIZE", "events") == (status, told["title"], told["field"])
    assert [] == stored_ids(system, key)


def test_a_batch_of_500_events_is_recorded(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    events = [event(event_id=f"event-{number}") for number in range(500)]

    results = publish(stub, key, *events)

    first = results[0].position.number
    assert list(range(first, first + 500)) == [each.position.number for each in results]
    assert [each.event_id for each in events] == stored_ids(system, key)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xff\xff\xff",
        # An event of 100 bytes that ends after 2.
        b"\x0a\x64ab",
        # An event id of one byte that is no UTF-8.
        b"\x0a\x03\x0a\x01\xff",
    ],
)
@pytest.mark.parametrize("method", ["Publish", "PublishBatch"])
def test_malformed_protobuf_is_an_invalid_argument(
    system: Up, key: Key, raw: bytes, method: str
) -> None:
    with system.channel() as channel:
        call = channel.unary_unary(f"/touchledger.v1.IngestService/{method}")

        error = refusal(lambda: call(raw, metadata=key.metadata, timeout=CALL_SECONDS_MAX))

    assert grpc.StatusCode.INVALID_ARGUMENT == error.code()
    assert problem_of(error).want


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 10_000])
def test_a_body_that_is_no_json_is_a_bad_request(system: Up, key: Key, body: bytes) -> None:
    status, told = post(system, key, body, "application/json")

    assert (400, "body") == (status, told["field"])
    assert (True, True) == (bool(told["got"]), bool(told["want"]))
    assert [] == stored_ids(system, key)


@pytest.mark.parametrize(
    ("body", "status"), [(b"7", 422), (b'{"eventId": NaN}', 422), (b"[null]", 200)]
)
def test_json_that_is_no_event_is_a_rejected_event(
    system: Up, key: Key, body: bytes, status: int
) -> None:
    answered, told = post(system, key, body, "application/json")

    [result] = told["results"]
    assert (status, "DISPOSITION_REJECTED") == (answered, result["disposition"])
    assert (True, True) == (bool(result["problem"]["got"]), bool(result["problem"]["want"]))
    assert [] == stored_ids(system, key)


def test_a_broken_line_is_rejected_alone(system: Up, key: Key) -> None:
    good = [json.dumps(as_json(event(event_id=f"good-{number}"))) for number in (1, 2)]
    body = "\n".join([good[0], '{"eventId": "cut o', good[1]])

    _, told = post(system, key, body.encode(), "application/x-ndjson")

    results = json_format.ParseDict(told, ingest_pb2.PublishBatchResponse()).results
    good_ones_are_stored(system, key, results)
    assert "MALFORMED_JSON" == results[1].problem.code


def wrong_keys(key: Key) -> dict[str, tuple[tuple[str, str], ...]]:
    return {
        "none": (),
        "empty": (("authorization", ""),),
        "not ours": (("authorization", "Bearer something else"),),
        "other secret": (("authorization", f"Bearer tl_{key.key_id}_{'A' * 43}"),),
        "other id": (("authorization", f"Bearer tl_{'a' * 12}_{key.text[16:]}"),),
        "a part of it": (("authorization", f"Bearer {key.text[:-1]}"),),
    }


@pytest.mark.parametrize(
    "name", ["none", "empty", "not ours", "other secret", "other id", "a part of it"]
)
def test_a_key_that_is_missing_or_wrong_opens_nothing(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub, name: str
) -> None:
    metadata = wrong_keys(key)[name]
    request = ingest_pb2.PublishBatchRequest(events=[event()])

    error = refusal(lambda: stub.PublishBatch(request, metadata=metadata, timeout=CALL_SECONDS_MAX))

    problem = problem_of(error)
    assert grpc.StatusCode.UNAUTHENTICATED == error.code()
    assert ("authorization", True) == (problem.field, "key" in problem.want.lower())
    assert key.text not in str(error)
    assert [] == stored_ids(system, key)


def test_a_post_without_a_key_is_unauthorized(system: Up) -> None:
    status, told = post(system, None, json.dumps(as_json(event())).encode(), "application/json")

    assert (401, "authorization") == (status, told["field"])


def test_a_key_without_the_scope_is_forbidden(
    system: Up, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    asking = system.new_key(scopes=["query"])

    error = refusal(lambda: publish(stub, asking, event()))
    status, _ = post(system, asking, json.dumps(as_json(event())).encode(), "application/json")

    assert (grpc.StatusCode.PERMISSION_DENIED, 403) == (error.code(), status)
    assert [] == stored_ids(system, asking)


def test_a_revoked_key_soon_opens_nothing(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    [used] = publish(stub, key, event())
    assert DISPOSITION_RECORDED == used.disposition
    revoke = "UPDATE gateway.api_key SET revoked_at = now() WHERE key_id = %s RETURNING key_id"
    assert [(key.key_id,)] == system.rows("gateway", revoke, key.key_id)

    def refused() -> grpc.RpcError | None:
        try:
            publish(stub, key, event())
        except grpc.RpcError as error:
            return error
        return None

    # A gateway trusts what it has looked up for five seconds.
    error = wait_for(refused, "refusal of a revoked key", seconds_max=10)

    assert grpc.StatusCode.UNAUTHENTICATED == error.code()
    assert ["event-1"] == stored_ids(system, key)


def test_the_same_id_with_other_content_is_a_conflict_and_harms_nothing(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    [first] = publish(stub, key, event(event_id="same", staff="one"))

    results = publish(
        stub,
        key,
        event(event_id="good-1"),
        event(event_id="same", staff="two"),
        event(event_id="good-2"),
        event(event_id="good-2", touchpoint="store.returns"),
    )

    kinds = [DISPOSITION_RECORDED, DISPOSITION_REJECTED] * 2
    assert kinds == [each.disposition for each in results]
    problem = results[1].problem
    assert ("EVENT_ID_CONFLICT", "event_id") == (problem.code, problem.field)
    assert f"position {first.position.number}" in problem.got
    assert "EVENT_ID_CONFLICT" == results[3].problem.code
    assert ["same", "good-1", "good-2"] == stored_ids(system, key)


@pytest.mark.parametrize("part", ["customer", "comment", "contact"])
def test_other_personal_data_are_other_content(
    key: Key, stub: ingest_pb2_grpc.IngestServiceStub, part: str
) -> None:
    def said(text: str) -> events_pb2.Event:
        return event(customer=text) if part == "customer" else event(personal={part: text})

    [first] = publish(stub, key, said("one"))

    [again] = publish(stub, key, said("two"))

    assert DISPOSITION_RECORDED == first.disposition
    assert "EVENT_ID_CONFLICT" == again.problem.code
    assert "two" not in str(again.problem)


def test_another_sent_at_is_another_attempt_at_the_same_event(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    attempts = [
        ingest_pb2.Attempt(sent_at=Timestamp(seconds=1_785_000_000)),
        ingest_pb2.Attempt(sent_at=Timestamp(seconds=1_785_000_600)),
        None,
    ]

    results = [publish(stub, key, event(), attempt=each)[0] for each in attempts]
    [by_http] = post_results(system, key, [as_json(event())], "array")

    kinds = [DISPOSITION_RECORDED, *[DISPOSITION_DUPLICATE] * 3]
    assert kinds == [each.disposition for each in (*results, by_http)]
    assert {results[0].position.number} == {each.position.number for each in (*results, by_http)}
    assert {results[0].position.journal_id} == {each.position.journal_id for each in results}
    sent_at = (
        "SELECT extract(epoch FROM sent_at)::bigint FROM journal.stored_events WHERE tenant = %s"
    )
    assert [(1_785_000_000,)] == system.rows("touchpoint", sent_at, key.tenant)


def test_an_attempt_sent_in_no_year_is_refused(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    attempt = ingest_pb2.Attempt(sent_at=Timestamp(seconds=10**15))

    error = refusal(lambda: publish(stub, key, event(), attempt=attempt))

    assert grpc.StatusCode.INVALID_ARGUMENT == error.code()
    assert "attempt.sent_at" == problem_of(error).field
    assert [] == stored_ids(system, key)


def test_the_same_id_of_another_source_or_tenant_is_another_event(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    elsewhere = [system.new_key(tenant=key.tenant, source="web"), system.new_key()]
    publish(stub, key, event())

    results = [publish(stub, other, event(staff="another"))[0] for other in elsewhere]

    assert [DISPOSITION_RECORDED] * 2 == [each.disposition for each in results]


@pytest.mark.parametrize("order", ["target first", "amendment first", "in one batch"])
def test_a_correction_replaces_and_a_retraction_takes_out(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub, order: str
) -> None:
    facts = [
        feedback(csat("1"), event_id="mistyped"),
        feedback(csat("2"), event_id="test-sale"),
        feedback(csat("4"), event_id="untouched"),
    ]
    corrected = {"signals": [csat("5")], "channel": "CHANNEL_STORE", "stage": "STAGE_PURCHASE"}
    amendments = [
        event(
            event_id="correction",
            amends={"event_id": "mistyped"},
            correction={"reason": "wrong key", "feedback_received": corrected},
        ),
        event(event_id="retraction", amends={"event_id": "test-sale"}, retraction={}),
    ]
    if order == "amendment first":
        facts, amendments = amendments, facts
    if order == "in one batch":
        publish(stub, key, *facts, *amendments)
    else:
        publish(stub, key, *facts)
        system.caught_up()
        publish(stub, key, *amendments)

    [row] = system.scores(key=key)

    assert (2, 4.5, 1.0) == (row["answered"], row["csat_mean"], row["top2"])


def test_scores_as_of_a_position_before_an_amendment_stay_what_they_were(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    [told] = publish(stub, key, feedback(csat("1"), event_id="mistyped"))
    retraction = event(event_id="retraction", amends={"event_id": "mistyped"}, retraction={})
    [taken_back] = publish(stub, key, retraction)

    now = system.scores(key=key)
    then = system.scores("--as-of", told.position.number, key=key)
    after = system.scores("--as-of", taken_back.position.number, key=key)

    assert [(1, 1.0)] == [(row["answered"], row["csat_mean"]) for row in then]
    assert ([], []) == (now, after)


def test_an_amendment_of_another_tenants_event_changes_nothing(
    system: Up, key: Key, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    publish(stub, key, feedback(csat("4"), event_id="theirs"))
    retraction = event(
        event_id="retraction", amends={"source": "till", "event_id": "theirs"}, retraction={}
    )
    [result] = publish(stub, system.new_key(), retraction)

    [row] = system.scores(key=key)

    assert (DISPOSITION_RECORDED, 1) == (result.disposition, row["answered"])


@pytest.fixture(scope="module")
def told_in_confidence(system: Up) -> tuple[Key, dict[str, events_pb2.Event]]:
    """One full event of every body with a canary as the customer, published both ways."""
    key = system.new_key()
    events = of_every_body()
    for kind, each in events.items():
        each.event_id = f"full-{kind}"
        each.customer = CANARY
    half = len(events) // 2
    with system.ingest() as stub:
        results = publish(stub, key, *list(events.values())[:half])
    rest = [as_json(each) for each in list(events.values())[half:]]
    results += post_results(system, key, rest, "array")
    assert {DISPOSITION_RECORDED} == {each.disposition for each in results}, results
    system.caught_up()
    return key, events


Told = tuple[Key, dict[str, events_pb2.Event]]
WORDS = ("Nobody was there", "someone@example.com", "A. Example")


def relations(system: Up, database: str) -> list[str]:
    rows = system.rows(
        database,
        "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace NOT IN "
        "('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)",
    )
    return [name for [name] in rows]


def finds(system: Up, database: str, text: str) -> list[str]:
    """The tables and views of which a row holds the text, as it is or within bytes."""
    query = (
        "SELECT count(*) FROM {} t WHERE strpos(t::text, %s) > 0 "
        "OR strpos(t::text, encode(convert_to(%s, 'UTF8'), 'hex')) > 0"
    )
    return [
        name
        for name in relations(system, database)
        if system.rows(database, query.format(name), text, text) != [(0,)]
    ]


@pytest.mark.usefixtures("told_in_confidence")
def test_the_customers_reference_is_in_no_table(system: Up) -> None:
    found = {name: finds(system, name, CANARY) for name in ("touchpoint", "scoring", "gateway")}

    assert {"touchpoint": [], "scoring": [], "gateway": []} == found


@pytest.mark.usefixtures("told_in_confidence")
@pytest.mark.parametrize("words", WORDS)
def test_personal_words_are_in_the_journal_alone(system: Up, words: str) -> None:
    found = {name: finds(system, name, words) for name in ("touchpoint", "scoring", "gateway")}

    assert {"touchpoint": ["journal.stored_events"], "scoring": [], "gateway": []} == found


@pytest.mark.usefixtures("told_in_confidence")
def test_neither_reference_nor_words_are_in_a_log(system: Up) -> None:
    logs = {path.name: path.read_text() for path in (system.data / "logs").iterdir()}

    assert {"gateway.log", "touchpoint.log", "scoring.log", "postgres.log"} <= logs.keys()
    assert [] == [(n, each) for n, log in logs.items() for each in (CANARY, *WORDS) if each in log]


def test_what_is_stored_is_what_was_published_with_pseudonym_and_sealed_part(
    system: Up, told_in_confidence: Told
) -> None:
    key, published = told_in_confidence

    rows = system.rows("touchpoint", STORED, key.tenant)

    pseudonyms, others = set(), set()
    for (_, state), each in zip(rows, published.values(), strict=True):
        stored = events_pb2.Event.FromString(state)
        assert (0, each.personal) == (
            stored.sealed_personal.key_id,
            events_pb2.PersonalData.FromString(stored.sealed_personal.data),
        )
        pseudonyms.add(stored.customer)
        stored.customer = CANARY
        if stored.HasField("identity"):
            others.add(stored.identity.same_as)
            stored.identity.same_as = each.identity.same_as
        stored.personal.CopyFrom(each.personal)
        stored.ClearField("sealed_personal")
        stored.ClearField("intake")
        assert each == stored
    # One customer has one pseudonym within a tenant, and another one in another tenant.
    assert 1 == len(pseudonyms)
    assert pseudonyms.isdisjoint({CANARY, ""})
    # Another reference of the customer is one, too.
    [other] = others
    assert (32, False) == (len(other), "4711" in other)


def test_the_same_customer_has_another_pseudonym_in_another_tenant(
    system: Up, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    keys = [system.new_key(), system.new_key()]

    for key in keys:
        publish(stub, key, event(customer=CANARY))

    stored = [state for key in keys for _, state in system.rows("touchpoint", STORED, key.tenant)]
    assert 2 == len({events_pb2.Event.FromString(state).customer for state in stored})


def test_the_stored_bytes_are_those_that_subscribe_sends(
    system: Up, told_in_confidence: Told
) -> None:
    key, _ = told_in_confidence
    rows = {row[0]: bytes(row[1]) for row in system.rows("touchpoint", STORED, key.tenant)}

    sent = subscribed(system, after=min(rows) - 1, through=max(rows))

    assert rows == {each.position: each.event for each in sent if each.tenant == key.tenant}
    assert list(range(min(rows), max(rows) + 1)) == [each.position for each in sent]


def test_equal_events_are_stored_as_equal_bytes_whichever_way_they_came(
    system: Up, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    key = system.new_key()
    by_web = system.new_key(tenant=key.tenant, source="web")
    events = list(of_every_body().values())
    for number, each in enumerate(events):
        each.event_id = f"event-{number}"

    publish(stub, key, *events)
    post_results(system, by_web, [as_json(each) for each in events], "array")

    states = [bytes(state) for _, state in system.rows("touchpoint", STORED, key.tenant)]
    assert states[: len(events)] == states[len(events) :]


@pytest.mark.parametrize("shown", [(), ((peers.METADATA, "guessed"),)])
def test_another_user_of_the_machine_reads_and_forges_nothing(
    system: Up, shown: tuple[tuple[str, str], ...]
) -> None:
    with grpc.insecure_channel(system.listen_address("touchpoint")) as channel:
        stub = journal_pb2_grpc.JournalServiceStub(channel)
        entry = journal_pb2.AppendEntry(event_id="forged", topic="t", content_digest=bytes(32))
        forged = journal_pb2.AppendRequest(tenant="default", source="till", entries=[entry])
        read = journal_pb2.SubscribeRequest()

        refusals = [
            refusal(lambda: stub.Append(forged, metadata=shown, timeout=CALL_SECONDS_MAX)),
            refusal(lambda: list(stub.Subscribe(read, metadata=shown, timeout=CALL_SECONDS_MAX))),
        ]

    assert {grpc.StatusCode.UNAUTHENTICATED} == {each.code() for each in refusals}


def subscribed(system: Up, *, after: int, through: int) -> list[journal_pb2.RecordedEvent]:
    """What the touchpoint service sends of these positions."""
    events: list[journal_pb2.RecordedEvent] = []
    with grpc.insecure_channel(system.listen_address("touchpoint")) as channel:
        request = journal_pb2.SubscribeRequest(after=journal_pb2.Position(number=after))
        stub = journal_pb2_grpc.JournalServiceStub(channel)
        shown = (DataFolder(system.data).peers_secret).read_text().strip()
        pages = stub.Subscribe(
            request, metadata=((peers.METADATA, shown),), timeout=CALL_SECONDS_MAX
        )
        for page in pages:
            events += page.events
            if events and events[-1].position >= through:
                pages.cancel()
                break
    return [each for each in events if each.position <= through]
