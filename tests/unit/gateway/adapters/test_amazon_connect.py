"""A contact of Amazon Connect that is over becomes one interaction, and what customers answered feedback."""

import json
from typing import Any

import pytest

from services.chassis.errors import Malformed, Unauthenticated
from services.gateway.adapters.amazon_connect import ADAPTER
from services.gateway.checks import problem_of
from tests.unit.gateway.adapters.golden_payloads import delivery, golden
from touchledger import event_json
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.events_pb2 import Event
from touchledger.v1.problem_pb2 import Problem

SECRET = "a long shared secret"
INSTANCE = "arn:aws:connect:eu-central-1:111122223333:instance/0b5c"
CSAT = {
    "from": "csat",
    "metric": "METRIC_CSAT",
    "scale_min": "1",
    "scale_max": "5",
    "direction": "DIRECTION_HIGHER_IS_BETTER",
}
SPEED = CSAT | {"from": "speed", "dimension": "speed", "scale_max": "7"}
CONFIG = {"answers": [CSAT, SPEED], "touchpoints": {"queue-7": "call.billing"}}

EVENT: dict[str, Any] = json.loads(golden("amazon_connect_disconnected.json").body)
RECORD: dict[str, Any] = json.loads(golden("amazon_connect_record.json").body)


def read(document: object, config: dict[str, Any] = CONFIG) -> list[Event | Problem]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return ADAPTER.read(delivery(body), config)


def events(document: object, config: dict[str, Any] = CONFIG) -> list[Event]:
    found = []
    for event in read(document, config):
        assert isinstance(event, Event), event
        assert problem_of(event) is None
        found.append(event)
    return found


def detail(**changes: object) -> dict[str, Any]:
    """The contact event with other details; None takes one away."""
    changed = EVENT["detail"] | changes
    return EVENT | {"detail": {name: value for name, value in changed.items() if value is not None}}


def record(**changes: object) -> dict[str, Any]:
    return RECORD | changes


def test_a_contact_that_is_over_is_one_interaction() -> None:
    expected = event_json.read(
        {
            "event_id": "contact:c-2",
            "occurred_at": "2026-08-03T10:15:30.250Z",
            "touchpoint": "call.billing",
            "correlation_id": "c-1",
            "staff": "agent-4",
            "attributes": {"queue": "queue-7"},
            "interaction": {
                "stage": "STAGE_SERVICE",
                "channel": "CHANNEL_PHONE",
                "service_mode": "SERVICE_MODE_ASSISTED",
                "duration": "270.250s",
                "wait": "39.500s",
            },
        }
    )
    assert [expected] == events(EVENT)


def test_disconnected_and_completed_tell_the_same_event() -> None:
    agent = EVENT["detail"]["agentInfo"] | {"afterContactWorkDuration": 60}
    assert events(EVENT) == events(detail(eventType="COMPLETED", agentInfo=agent))


@pytest.mark.parametrize(
    "kind",
    [
        *("INITIATED", "CONNECTED_TO_SYSTEM", "CONTACT_DATA_UPDATED", "QUEUED"),
        *("CONNECTED_TO_AGENT", "AMD_DISABLED", "AN_EVENT_OF_TOMORROW"),
    ],
)
def test_other_event_types_are_left_alone(kind: str) -> None:
    assert [] == read(detail(eventType=kind))


def test_other_events_of_the_bus_are_left_alone() -> None:
    assert [] == read({"detail-type": "Contact Lens Post Call Rules Matched", "detail": {"a": 1}})


def test_names_with_a_capital_are_read_as_well() -> None:
    told = dict(EVENT["detail"])
    agent = told.pop("agentInfo")
    told["AgentInfo"] = {
        "AgentArn": agent["agentArn"],
        "connectedToAgentTimestamp": agent["connectedToAgentTimestamp"],
    }
    assert events(EVENT) == events(EVENT | {"detail": told | {"channel": "Voice"}})


@pytest.mark.parametrize(
    ("channel", "expected", "touchpoint"),
    [
        ("VOICE", "CHANNEL_PHONE", "call.service"),
        ("CHAT", "CHANNEL_CHAT", "chat.service"),
        ("EMAIL", "CHANNEL_EMAIL", "email.service"),
        ("TELEPATHY", "CHANNEL_UNSPECIFIED", "call.service"),
    ],
)
def test_the_channel_is_told_and_an_unknown_one_is_none(
    channel: str, expected: str, touchpoint: str
) -> None:
    [event] = events(detail(channel=channel), {})
    assert (expected, touchpoint) == (pb.Channel.Name(event.interaction.channel), event.touchpoint)


def test_a_task_is_work_without_a_customer() -> None:
    assert [] == read(detail(channel="TASK"))


@pytest.mark.parametrize("method", ["OUTBOUND", "CALLBACK", "API"])
def test_a_call_that_no_customer_took_is_no_interaction(method: str) -> None:
    assert [] == read(detail(initiationMethod=method, connectedToSystemTimestamp=None))
    assert 1 == len(events(detail(initiationMethod=method)))


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "OUTCOME_UNSPECIFIED"),
        ({"Agent": None}, "OUTCOME_ABANDONED"),
        # The flow hung up, since the line was closed: nobody gave up.
        ({"Agent": None, "DisconnectReason": "CONTACT_FLOW_DISCONNECT"}, "OUTCOME_UNSPECIFIED"),
        ({"Agent": None, "InitiationMethod": "CALLBACK"}, "OUTCOME_UNSPECIFIED"),
        # Served by the machine alone.
        ({"Agent": None, "Queue": None}, "OUTCOME_UNSPECIFIED"),
        ({"DisconnectReason": "TELECOM_PROBLEM"}, "OUTCOME_FAILED"),
        ({"NextContactId": "c-3"}, "OUTCOME_TRANSFERRED"),
        ({"TransferredToEndpoint": {"Address": "+4930555"}}, "OUTCOME_TRANSFERRED"),
    ],
)
def test_an_outcome_is_told_only_where_the_record_tells_it(
    changes: dict[str, Any], outcome: str
) -> None:
    assert outcome == pb.Outcome.Name(events(record(**changes))[0].interaction.outcome)


def test_who_gave_up_waited_until_the_end_and_was_served_by_nobody() -> None:
    interaction = events(detail(agentInfo=None))[0].interaction
    assert (309_750, 330_250, "SERVICE_MODE_SELF", "OUTCOME_ABANDONED") == (
        interaction.wait.ToMilliseconds(),
        interaction.duration.ToMilliseconds(),
        pb.ServiceMode.Name(interaction.service_mode),
        pb.Outcome.Name(interaction.outcome),
    )


def test_a_wait_that_would_be_negative_is_not_told() -> None:
    queue = EVENT["detail"]["queueInfo"] | {"enqueueTimestamp": "2026-08-03T10:12:00Z"}
    assert not events(detail(queueInfo=queue))[0].interaction.HasField("wait")


def test_a_record_tells_interaction_and_answers_of_one_contact() -> None:
    interaction, answer = events(RECORD)
    assert ("contact:c-2", "contact:c-2:answer:csat") == (interaction.event_id, answer.event_id)
    assert (interaction.occurred_at, "c-1", "agent-4", "call.billing") == (
        answer.occurred_at,
        answer.correlation_id,
        answer.staff,
        answer.touchpoint,
    )
    [signal] = answer.feedback_received.signals
    expected = event_json.read(
        {
            "feedback_received": {
                "signals": [
                    {key: value for key, value in CSAT.items() if key != "from"} | {"value": "4"}
                ]
            }
        }
    )
    assert expected.feedback_received.signals[0] == signal


def test_a_record_that_comes_again_tells_the_same_events() -> None:
    assert events(RECORD) == events(
        record(LastUpdateTimestamp="2026-08-04T09:00:00Z", Recordings=[{"Status": "AVAILABLE"}])
    )


def test_an_answer_that_a_later_copy_adds_is_an_event_of_its_own() -> None:
    later = record(
        LastUpdateTimestamp="2026-08-03T12:00:00Z", Attributes={"csat": "4", "speed": "7"}
    )
    assert events(RECORD) == events(later)[:2]
    assert "contact:c-2:answer:speed" == events(later)[2].event_id


@pytest.mark.parametrize("value", ["", " ", None, "null", "N/A", "No response", "undefined"])
def test_a_question_that_was_left_out_is_no_answer(value: object) -> None:
    assert 1 == len(events(record(Attributes={"csat": value})))


@pytest.mark.parametrize(
    ("value", "code"),
    [("6", "VALUE_OUTSIDE_SCALE"), ("good", "BAD_DECIMAL"), ("0", "VALUE_OUTSIDE_SCALE")],
)
def test_an_answer_off_its_scale_is_told_and_never_bent(value: str, code: str) -> None:
    _, answer = read(record(Attributes={"csat": value}))
    assert isinstance(answer, Event)
    found = problem_of(answer)
    assert found is not None
    assert code == found.code


@pytest.mark.parametrize(("value", "expected"), [(4, "4"), (4.5, "4.5"), (True, "1"), (" 3 ", "3")])
def test_an_answer_may_be_a_number(value: object, expected: str) -> None:
    _, answer = events(record(Attributes={"csat": value}))
    assert expected == answer.feedback_received.signals[0].value


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"Attributes": {"csat": ["4"]}}, "Attributes.csat"),
        (
            {
                "Attributes": {},
                "ConversationCharacteristics": {
                    "Sentiment": {"OverallSentiment": {"CUSTOMER": "good"}}
                },
            },
            "ConversationCharacteristics.Sentiment.OverallSentiment.CUSTOMER",
        ),
    ],
)
def test_an_answer_of_another_type_harms_nothing_beside_it(
    changes: dict[str, Any], field: str
) -> None:
    interaction, problem = read(record(**changes))
    assert [interaction] == events(record(Attributes={}))
    assert isinstance(problem, Problem)
    assert ("WRONG_TYPE", field) == (problem.code, problem.field)


def test_the_telephone_number_is_the_customer_or_the_contact_and_nothing_else() -> None:
    by_number = events(RECORD)[0]
    assert ("+4915550000001", "") == (by_number.customer, by_number.personal.contact)
    known = events(record(CustomerId="crm-17"))[0]
    assert ("crm-17", "+4915550000001") == (known.customer, known.personal.contact)
    known.ClearField("personal")
    by_number.ClearField("customer")
    assert "4915550000001" not in f"{known}{by_number}"


@pytest.mark.parametrize("number", ["anonymous", "Unknown", "", None])
def test_a_withheld_number_is_no_customer(number: str | None) -> None:
    assert "" == events(record(CustomerEndpoint={"Address": number}))[0].customer


def test_the_sentiment_is_a_signal_of_its_model() -> None:
    analysis = {"Sentiment": {"OverallSentiment": {"AGENT": 0, "CUSTOMER": -3.1}}}
    sentiment = events(record(ConversationCharacteristics=analysis, Version="1.1.0"))[-1]
    [signal] = sentiment.feedback_received.signals
    assert ("contact:c-2:sentiment", "-3.1", "-5", "5", "contact-lens/1.1.0") == (
        sentiment.event_id,
        signal.value,
        signal.scale_min,
        signal.scale_max,
        signal.model,
    )


def test_of_events_and_records_only_the_chosen_one_makes_interactions() -> None:
    by_records = CONFIG | {"interactions": "contact_records"}
    assert [] == read(EVENT, by_records)
    assert 2 == len(events(RECORD, by_records))
    by_events = CONFIG | {"interactions": "contact_events"}
    assert 1 == len(events(EVENT, by_events))
    assert ["contact:c-2:answer:csat"] == [each.event_id for each in events(RECORD, by_events)]


def test_both_of_a_contact_have_one_id_so_that_it_never_counts_twice() -> None:
    assert events(EVENT)[0].event_id == events(RECORD)[0].event_id


def test_an_id_of_an_arn_fits_in_its_field() -> None:
    long = "arn:aws-us-gov:connect:us-gov-west-1:111122223333:instance/" + "0" * 36
    agent = EVENT["detail"]["agentInfo"] | {"agentArn": f"{long}/agent/{'1' * 36}"}
    assert "1" * 36 == events(detail(agentInfo=agent))[0].staff


@pytest.mark.parametrize(
    ("document", "code", "field"),
    [
        (b"", "MALFORMED_JSON", ""),
        (b"\xff", "MALFORMED_JSON", ""),
        ([EVENT], "WRONG_TYPE", ""),
        ({}, "MISSING", "detail-type"),
        (EVENT | {"detail": "x"}, "WRONG_TYPE", "detail"),
        (EVENT | {"detail": None}, "MISSING", "detail.eventType"),
        (detail(contactId=None), "MISSING", "detail.contactId"),
        (detail(disconnectTimestamp=None), "MISSING", "detail.disconnectTimestamp"),
        (detail(disconnectTimestamp="yesterday"), "BAD_TIME", "detail.disconnectTimestamp"),
        (
            detail(initiationTimestamp="2026-08-03T10:10:00"),
            "BAD_TIME",
            "detail.initiationTimestamp",
        ),
        (detail(queueInfo=[]), "WRONG_TYPE", "detail.queueInfo"),
        (detail(channel="\ud800"), "INVALID_TEXT", "detail.channel"),
        (record(ContactId=None), "MISSING", "ContactId"),
    ],
)
def test_anything_else_is_told_by_its_place(document: object, code: str, field: str) -> None:
    [problem] = read(document)
    assert isinstance(problem, Problem)
    assert (code, field) == (problem.code, problem.field)


def test_the_secret_comes_in_the_header_of_the_connection() -> None:
    ADAPTER.verify(delivery(b"", {"x-api-key": SECRET}), SECRET, {})
    with pytest.raises(Unauthenticated):
        ADAPTER.verify(delivery(b"", {"x-api-key": "another"}), SECRET, {})
    with pytest.raises(Unauthenticated):
        ADAPTER.verify(delivery(b"", {}), SECRET, {})


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"interactions": "both"}, "config.interactions"),
        ({"touchpoints": {"q": "two words"}}, "config.touchpoints.q"),
        ({"touchpoints": "x"}, "config.touchpoints"),
        ({"answers": {}}, "config.answers"),
        ({"answers": ["csat"]}, "config.answers[0]"),
        ({"answers": [CSAT, CSAT]}, "config.answers[1].from"),
        ({"answers": [CSAT | {"from": ""}]}, "config.answers[0].from"),
        ({"answers": [CSAT | {"scale_max": "1"}]}, "config.answers[0].scale_max"),
        ({"answers": [CSAT | {"metric": "CSAT"}]}, "config.answers[0].metric"),
        ({"answers": [CSAT | {"scale_min": 1}]}, "config.answers[0].scale_min"),
        ({"answers": [CSAT | {"scale": "5"}]}, "config.answers[0].scale"),
        ({"answers": [{"from": "csat"}]}, "config.answers[0].metric"),
        ({"answers": [CSAT | {"metric": "METRIC_NPS"}]}, "config.answers[0].scale_min"),
        ({"csat": "csat"}, "config"),
    ],
)
def test_a_configuration_that_does_not_work_is_refused(config: dict[str, Any], field: str) -> None:
    with pytest.raises(Malformed) as refusal:
        ADAPTER.check_config(config)
    assert field == refusal.value.problem.field


def test_a_configuration_that_works_is_taken() -> None:
    ADAPTER.check_config(CONFIG | {"interactions": "contact_events", "touchpoint": "call.any"})
