"""What is taken for one event in protobuf JSON, and what a refusal says."""

import contextlib
import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from touchledger import event_json
from touchledger.event_json import EventJsonError
from touchledger.v1 import events_pb2, problem_pb2

FEEDBACK: dict[str, Any] = {
    "eventId": "e-1",
    "occurredAt": "2026-03-01T12:00:00.5-03:00",
    "touchpoint": "store.checkout",
    "attributes": {"till": "3"},
    "feedbackReceived": {
        "channel": "CHANNEL_STORE",
        "signals": [
            {
                "metric": "METRIC_CSAT",
                "value": "4",
                "scaleMin": "1",
                "scaleMax": "5",
                "direction": "DIRECTION_HIGHER_IS_BETTER",
            }
        ],
    },
}


def problem_of(text: str | bytes) -> problem_pb2.Problem:
    with pytest.raises(EventJsonError) as refused:
        event_json.parse(text)
    return refused.value.problem


def refusal(text: str | bytes) -> tuple[str, str, str, str]:
    problem = problem_of(text)
    return problem.code, problem.field, problem.got, problem.want


def test_an_event_is_read_as_googles_library_reads_it() -> None:
    text = json.dumps(FEEDBACK)
    assert json_format.Parse(text, events_pb2.Event()) == event_json.parse(text)
    assert event_json.parse(text) == event_json.parse(text.encode())


def test_both_names_of_a_field_are_known() -> None:
    assert event_json.parse('{"eventId": "a"}') == event_json.parse('{"event_id": "a"}')


def test_what_is_written_is_one_line_in_camel_case() -> None:
    event = events_pb2.Event(event_id="a\nb\u2028", personal={"comment": "ótimo"})
    text = event_json.to_json(event)
    assert ("eventId" in text, len(text.splitlines())) == (True, 1)
    assert event == event_json.parse(text)


def test_null_is_a_field_that_is_not_set() -> None:
    text = '{"eventId": "a", "interaction": null, "retraction": {}, "place": null}'
    assert events_pb2.Event(event_id="a", retraction={}) == event_json.parse(text)


def test_midnight_of_1970_is_a_time() -> None:
    event = event_json.parse('{"occurredAt": "1970-01-01T00:00:00Z"}')
    assert event.HasField("occurred_at")


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [
        ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799, 999_999_999),
        ("1969-12-31T23:59:59.25Z", -1, 250_000_000),
        ("2000-02-29T01:00:00+01:00", 951_782_400, 0),
    ],
)
def test_times_are_exact(text: str, seconds: int, nanos: int) -> None:
    time = event_json.parse(json.dumps({"occurredAt": text})).occurred_at
    assert (seconds, nanos) == (time.seconds, time.nanos)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-03-01 12:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:00:60Z",
        "2026-03-01T12:00:00+99:00",
        "2026-03-01T12:00:00.1234567890Z",
        "0001-01-01T00:00:00+05:00",
        "２026-03-01T12:00:00Z",
        "yesterday",
        "",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    problem = problem_of(json.dumps({"occurredAt": text}))
    assert (problem.code, problem.field) == ("INVALID_TIME", "occurred_at")


@pytest.mark.parametrize("text", ["1", "1_0s", " 1s", "١s", "+1s", "1.s", "1e3s", "999999999999s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    problem = problem_of(json.dumps({"interaction": {"wait": text}}))
    assert (problem.code, problem.field) == ("INVALID_DURATION", "interaction.wait")


def test_a_negative_duration_keeps_its_sign_in_both_parts() -> None:
    wait = event_json.parse('{"interaction": {"wait": "-1.5s"}}').interaction.wait
    assert (wait.seconds, wait.nanos) == (-1, -500_000_000)


def test_an_unknown_field_is_named_with_its_path_and_the_nearest_names() -> None:
    assert refusal('{"feedbackReceived": {"sginals": []}}') == (
        "UNKNOWN_FIELD",
        "feedback_received.sginals",
        'a field "sginals"',
        "signals",
    )


def test_an_unknown_field_like_no_other_is_answered_with_all_names() -> None:
    problem = problem_of('{"place": {"zzzzzz": 1}}')
    assert problem.want == "one of store, gln, device, business_date, time_zone"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    text = '{"feedbackReceived": {"signals": [{}, {"metric": "csat"}]}}'
    assert refusal(text) == (
        "INVALID_NAME",
        "feedback_received.signals[1].metric",
        '"csat"',
        "METRIC_CSAT",
    )


@pytest.mark.parametrize("value", ["99", '"1"', "1.5", "true"])
def test_an_enum_is_a_known_name_or_number(value: str) -> None:
    assert problem_of(f'{{"interaction": {{"stage": {value}}}}}').field == "interaction.stage"
    assert event_json.parse('{"interaction": {"stage": 4}}').interaction.stage == 4


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"eventId": "a", "eventId": "a"}', "eventId"),
        ('{"place": {"store": "a", "store": "b"}}', "place.store"),
        ('{"attributes": {"a": "1", "a": "2"}}', "attributes"),
        ('{"eventId": "a", "event_id": "a"}', "event_id"),
        ('{"event_id": null, "eventId": "a"}', "event_id"),
    ],
)
def test_a_key_given_twice_is_refused(text: str, field: str) -> None:
    problem = problem_of(text)
    assert (problem.code, problem.field) == ("DUPLICATE_KEY", field)


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [("{", "}", ""), ('{"attributes": {', "}}", "attributes"), ('{"place": {', "}}", "place")],
)
@pytest.mark.parametrize("last", ['"b": ""', '"a0": ""'])
def test_of_an_object_with_more_keys_than_any_event_nobody_looks_at_the_keys(
    before: str, after: str, field: str, last: str
) -> None:
    keys = ", ".join(f'"a{number}": ""' for number in range(event_json.KEYS_MAX))
    problem = problem_of(f"{before}{keys}, {last}{after}")
    assert (problem.code, problem.field) == ("TOO_LARGE", field)


def test_an_object_of_as_many_keys_as_may_be_is_looked_at() -> None:
    keys = ", ".join(f'"a{number}": ""' for number in range(event_json.KEYS_MAX))
    assert event_json.KEYS_MAX == len(event_json.parse(f'{{"attributes": {{{keys}}}}}').attributes)
    assert "UNKNOWN_FIELD" == problem_of(f"{{{keys}}}").code


def test_two_bodies_are_refused() -> None:
    assert refusal('{"interaction": {}, "goodwill": {}}') == (
        "DUPLICATE_KEY",
        "goodwill",
        'both "interaction" and "goodwill"',
        "one of the two",
    )


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 5000, "-1", "0.5"]
)
def test_what_is_no_whole_number_is_refused(value: str) -> None:
    problem = problem_of(f'{{"publicPost": {{"reach": {value}}}}}')
    assert (problem.code, problem.field) == ("INVALID_NUMBER", "public_post.reach")
    assert len(problem.got) < 120


@pytest.mark.parametrize("value", ["18446744073709551615", '"18446744073709551615"'])
def test_a_large_whole_number_may_be_text(value: str) -> None:
    event = event_json.parse(f'{{"publicPost": {{"reach": {value}}}}}')
    assert event.public_post.reach == 2**64 - 1


@pytest.mark.parametrize("value", ["1_000", "١", " 1", "0x10", "", "1.0"])
def test_what_python_alone_takes_for_a_number_is_refused(value: str) -> None:
    assert problem_of(json.dumps({"publicPost": {"reach": value}})).code == "INVALID_NUMBER"


def test_a_number_is_no_text_and_the_problem_shows_it() -> None:
    text = '{"feedbackReceived": {"signals": [{"value": 4}]}}'
    assert refusal(text) == (
        "WRONG_TYPE",
        "feedback_received.signals[0].value",
        "the number 4",
        "text in quotation marks",
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"customer": 5511999}',
        '{"personal": {"contact": 5511999}}',
        '{"identity": {"sameAs": 5511999}}',
        '{"personal": {"attributes": {"phone": 5511999}}}',
        '{"sealedPersonal": {"data": "5511999!"}}',
    ],
)
def test_a_problem_shows_nothing_personal(text: str) -> None:
    problem = problem_of(text)
    assert "5511999" not in str(problem)


def test_what_came_is_shortened_and_harmless_to_a_terminal() -> None:
    problem = problem_of(json.dumps({"\x1b[31m" + "x" * 1000: 1, "occurredAt": 1}))
    assert (problem.field[:8], len(problem.got) < 120) == ("\\x1b[31m", True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (r'"a\u0000b"', "NUL"),
        (r'"\ud83d"', "INVALID_TEXT"),
        (r'"\ude00\ud83d"', "INVALID_TEXT"),
    ],
)
@pytest.mark.parametrize("template", ['{"eventId": %s}', '{"personal": {"attributes": {%s: "v"}}}'])
def test_text_that_cannot_be_stored_is_refused(text: str, code: str, template: str) -> None:
    assert code == problem_of(template % text).code


def test_a_surrogate_pair_is_one_character() -> None:
    assert event_json.parse(r'{"personal": {"comment": "\ud83d\ude00"}}').personal.comment == "😀"


@pytest.mark.parametrize("text", ["[]", '"text"', "1", "null", "true", "[{}]"])
def test_what_is_no_object_is_refused(text: str) -> None:
    problem = problem_of(text)
    assert (problem.code, problem.field, problem.want) == ("WRONG_TYPE", "", "an object")


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "nothing"),
        (" \n", "nothing"),
        ('{"eventId": "a"', "Expecting ',' delimiter at line 1 column 16"),
        ('{"eventId": "a"} {}', "Extra data at line 1 column 18"),
        (b'{"eventId": "\xff"}', "a byte at offset 13 that is not UTF-8"),
        ("\ufeff{}", "Unexpected UTF-8 BOM (decode using utf-8-sig) at line 1 column 1"),
    ],
)
def test_what_is_no_json_is_told_by_its_place(text: str | bytes, got: str) -> None:
    assert refusal(text) == ("MALFORMED_JSON", "", got, "one JSON object")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"attributes": ' + "[" * 40 + "]" * 40 + "}",
        '"\\"' * 10 + "[" * 100_000,
    ],
)
def test_deep_nesting_is_refused_without_recursion(text: str) -> None:
    assert problem_of(text).code in ("TOO_DEEP", "MALFORMED_JSON")


def test_brackets_in_text_are_no_nesting() -> None:
    comment = '[{"\\' * 10_000
    event = event_json.parse(json.dumps({"personal": {"comment": comment}}))
    assert comment == event.personal.comment


def test_a_list_of_events_is_read_one_by_one() -> None:
    values = event_json.decode(json.dumps([FEEDBACK] * 500))
    assert [event_json.read(value).event_id for value in values] == ["e-1"] * 500


def test_every_field_of_every_message_can_be_read() -> None:
    kinds = [events_pb2.Event.DESCRIPTOR]
    for kind in kinds:
        event_json._fields(kind)
        inner = (field.message_type for field in kind.fields if field.message_type)
        kinds += [each for each in inner if each.file == kind.file and each not in kinds]
    assert len(kinds) > 20


def messages(kind: Any, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Messages as Google's library takes them as arguments, of any fields but one per oneof."""
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
    scalars: dict[int, st.SearchStrategy[Any]] = {
        9: text,
        8: st.booleans(),
        12: st.binary(max_size=20),
        13: st.integers(0, 2**32 - 1),
        4: st.integers(0, 2**64 - 1),
    }

    def values(field: Any) -> st.SearchStrategy[Any]:
        if field.enum_type is not None:
            return st.sampled_from([each.number for each in field.enum_type.values])
        if field.message_type is None:
            return scalars[field.type]
        if field.message_type.GetOptions().map_entry:
            return st.dictionaries(text, text, max_size=3)
        if field.message_type.name == "Timestamp":
            seconds = st.integers(-62_135_596_800, 253_402_300_799)
            return st.fixed_dictionaries({"seconds": seconds, "nanos": st.integers(0, 999_999_999)})
        if field.message_type.name == "Duration":
            return st.fixed_dictionaries(
                {"seconds": st.integers(0, 10**11), "nanos": st.integers(0, 999_999_999)}
            )
        return messages(field.message_type, depth + 1)

    def one(field: Any) -> st.SearchStrategy[Any]:
        repeated = field.is_repeated and not (
            field.message_type and field.message_type.GetOptions().map_entry
        )
        return st.lists(values(field), max_size=2) if repeated else values(field)

    plain = {field.name: one(field) for field in kind.fields if field.containing_oneof is None}
    base = st.fixed_dictionaries({}, optional=plain)
    for oneof in kind.oneofs:
        choices = [st.fixed_dictionaries({field.name: one(field)}) for field in oneof.fields]
        choice = st.one_of([st.just({}), *choices])
        base = st.builds(lambda some, more: {**some, **more}, base, choice)
    return base


@given(messages(events_pb2.Event.DESCRIPTOR), st.booleans())
def test_whatever_googles_library_writes_is_read_back(fields: dict[str, Any], names: bool) -> None:
    event = events_pb2.Event(**fields)
    text = json_format.MessageToJson(event, preserving_proto_field_name=names)
    assert event == event_json.parse(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.text() | st.sampled_from(["eventId", "place", "personal"]), inner)
        ),
    )
)
def test_anything_else_is_refused_and_no_crash(value: Any) -> None:
    with contextlib.suppress(EventJsonError):
        event_json.parse(json.dumps(value))
