"""Amazon Connect: contact events from EventBridge, and contact records.

A contact that is over is one interaction: from the contact event DISCONNECTED or COMPLETED, whichever comes,
or from the contact record. Of them only that is taken which is settled when the customer is gone, so that the
second of the events, and each later copy of the record, is the same event. An answer that a later copy adds
is an event of its own. One that a later copy changes is told as a conflict and does not count: copies come in
no certain order, so which of two is right is for a person to say, with a correction.

Event types and fields that are not known are left alone, as AWS asks. The secret comes in the header that the
EventBridge connection names. The configuration:

    {"interactions": "contact_events",
     "touchpoint": "call.service", "touchpoints": {"QUEUE ID": "call.billing"},
     "answers": [{"from": "csat", "metric": "METRIC_CSAT", "scale_min": "1", "scale_max": "5",
                  "direction": "DIRECTION_HIGHER_IS_BETTER"}], "header": "x-api-key"}

`interactions` says which of the two make interactions where both arrive: "contact_events" or
"contact_records". `answers` are the record's attributes that hold a customer's answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import Malformed
from services.gateway.adapters.adapter import (
    Adapter,
    Config,
    Delivery,
    Part,
    Unreadable,
    customer,
    document,
    kind_of,
    refuse_other_settings,
    touchpoint_of,
)
from services.gateway.adapters.answers import check_answers, decimal_text, signal
from services.gateway.adapters.named_touchpoints import check_touchpoints, named_touchpoint
from services.gateway.adapters.shared_secret import check_header_setting, check_secret
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.problem_pb2 import Problem

SETTINGS = {"interactions", "touchpoint", "touchpoints", "answers", "header"}
CONTACT_EVENTS, CONTACT_RECORDS = "contact_events", "contact_records"
CONTACT_EVENT = "Amazon Connect Contact Event"
OVER = {"DISCONNECTED", "COMPLETED"}
RECORD_VERSION = "AWSContactTraceRecordFormatVersion"

CHANNELS = {
    "VOICE": pb.CHANNEL_PHONE,
    "CHAT": pb.CHANNEL_CHAT,
    "EMAIL": pb.CHANNEL_EMAIL,
}
TOUCHPOINTS = {"CHAT": "chat.service", "EMAIL": "email.service"}
# Work for agents, in which no customer takes part.
TASK = "TASK"
# The company calls: until the customer answers, nobody has met.
OUTWARD = {"OUTBOUND", "CALLBACK", "API", "EXTERNAL_OUTBOUND"}
# No reason is told in contact events.
GAVE_UP = {"", "CUSTOMER_DISCONNECT"}
BROKE_OFF = {"TELECOM_PROBLEM", "TELECOM_TIMEOUT", "TELECOM_NUMBER_INVALID"}
# Contact Lens scores a conversation from -5 to 5.
SENTIMENT_MIN, SENTIMENT_MAX = "-5", "5"
MODEL = "contact-lens"


def verify(delivery: Delivery, secret: str, config: Config) -> None:
    check_secret(delivery, secret, config)


def read(delivery: Delivery, config: Config) -> list[pb.Event | Problem]:
    try:
        body = document(delivery.body)
        if RECORD_VERSION in body.value:
            return _record(body, config)
        if body.required("detail-type") != CONTACT_EVENT:
            return []
        detail = body.part("detail")
        if detail.required("eventType") not in OVER or not _wanted(CONTACT_EVENTS, config):
            return []
        return _interaction(_of_event(detail), config)
    except Unreadable as error:
        return [error.problem]


def check_config(config: Config) -> None:
    refuse_other_settings(config, SETTINGS)
    check_header_setting(config)
    chosen = config.get("interactions", CONTACT_EVENTS)
    if chosen not in (CONTACT_EVENTS, CONTACT_RECORDS):
        want = f"{CONTACT_EVENTS} or {CONTACT_RECORDS}"
        raise Malformed(want, field="config.interactions", got=kind_of(chosen))
    touchpoint_of(config, "touchpoint", "unset")
    check_touchpoints(config, "touchpoints")
    check_answers(config.get("answers", []), "config.answers")


def _wanted(kind: str, config: Config) -> bool:
    return bool(config.get("interactions", kind) == kind)


@dataclass(frozen=True, slots=True)
class _Contact:
    """What events and records tell alike of a contact that is over."""

    contact_id: str
    initial_id: str
    channel: str
    method: str
    queue: str
    agent: str
    began: Timestamp | None
    customer_there: Timestamp | None
    queued: Timestamp | None
    agent_there: Timestamp | None
    over: Timestamp
    reason: str
    handed_on: bool
    customer: str
    # A telephone number or an address; "" where `customer` is it already.
    endpoint: str


def _of_event(detail: Part) -> _Contact:
    # AWS's own examples write some names with a capital.
    queue, agent = _either(detail, "queueInfo"), _either(detail, "agentInfo")
    contact_id = detail.required("contactId")
    return _Contact(
        contact_id=contact_id,
        initial_id=detail.text("initialContactId") or contact_id,
        channel=detail.text("channel").upper(),
        method=detail.text("initiationMethod").upper(),
        queue=_last(queue.text("queueArn") or queue.text("QueueArn")),
        agent=_last(agent.text("agentArn") or agent.text("AgentArn")),
        began=_moment(detail, "initiationTimestamp"),
        customer_there=_moment(detail, "connectedToSystemTimestamp"),
        queued=_moment(queue, "enqueueTimestamp"),
        agent_there=_moment(agent, "connectedToAgentTimestamp"),
        over=detail.moment("disconnectTimestamp"),
        reason=detail.text("disconnectReason").upper(),
        handed_on=False,
        customer=customer(detail.text("customerId")),
        endpoint="",
    )


def _of_record(record: Part) -> _Contact:
    queue, agent = record.part("Queue"), record.part("Agent")
    contact_id = record.required("ContactId")
    reference = customer(record.text("CustomerId"))
    endpoint = customer(record.part("CustomerEndpoint").text("Address"))
    return _Contact(
        contact_id=contact_id,
        initial_id=record.text("InitialContactId") or contact_id,
        channel=record.text("Channel").upper(),
        method=record.text("InitiationMethod").upper(),
        queue=_last(queue.text("ARN")),
        agent=_last(agent.text("ARN")),
        began=_moment(record, "InitiationTimestamp"),
        customer_there=_moment(record, "ConnectedToSystemTimestamp"),
        queued=_moment(queue, "EnqueueTimestamp"),
        agent_there=_moment(agent, "ConnectedToAgentTimestamp"),
        over=record.moment("DisconnectTimestamp"),
        reason=record.text("DisconnectReason").upper(),
        handed_on=bool(record.text("NextContactId") or record.value.get("TransferredToEndpoint")),
        customer=reference or endpoint,
        endpoint=endpoint if reference else "",
    )


def _either(part: Part, name: str) -> Part:
    capital = name[0].upper() + name[1:]
    return part.part(name if name in part.value else capital)


def _last(arn: str) -> str:
    """The id at an ARN's end. A whole ARN can be longer than a field may be, and says the account."""
    return arn.rpartition("/")[2]


def _moment(part: Part, name: str) -> Timestamp | None:
    return part.moment(name) if part.text(name) else None


def _record(record: Part, config: Config) -> list[pb.Event | Problem]:
    """The interaction and what the customer answered; one that can't be read harms none of the others."""
    contact = _of_record(record)
    events: list[pb.Event | Problem] = []
    if _wanted(CONTACT_RECORDS, config):
        events.extend(_interaction(contact, config))
    for declared in config.get("answers", ()):
        try:
            events.extend(_answer(record, contact, declared, config))
        except Unreadable as error:
            events.append(error.problem)
    try:
        events.extend(_sentiment(record, contact, config))
    except Unreadable as error:
        events.append(error.problem)
    return events


def _interaction(contact: _Contact, config: Config) -> list[pb.Event | Problem]:
    never_met = contact.method in OUTWARD and contact.customer_there is None
    if contact.channel == TASK or never_met:
        return []
    event = _event(contact, "", config)
    body = event.interaction
    body.stage = pb.STAGE_SERVICE
    body.channel = CHANNELS.get(contact.channel, pb.CHANNEL_UNSPECIFIED)
    body.service_mode = pb.SERVICE_MODE_ASSISTED if contact.agent_there else pb.SERVICE_MODE_SELF
    # That a contact ended does not say that the customer got what it was for.
    body.outcome = _outcome(contact)
    since = contact.agent_there or contact.customer_there or contact.began
    if since and (took := _nanoseconds(since, contact.over)) >= 0:
        body.duration.FromNanoseconds(took)
    if contact.queued:
        waited = _nanoseconds(contact.queued, contact.agent_there or contact.over)
        if waited >= 0:
            body.wait.FromNanoseconds(waited)
    return [event]


def _outcome(contact: _Contact) -> pb.Outcome:
    if contact.handed_on:
        return pb.OUTCOME_TRANSFERRED
    if contact.reason in BROKE_OFF:
        return pb.OUTCOME_FAILED
    waiting = contact.queued is not None and contact.agent_there is None
    if waiting and contact.reason in GAVE_UP and contact.method not in OUTWARD:
        return pb.OUTCOME_ABANDONED
    return pb.OUTCOME_UNSPECIFIED


def _nanoseconds(first: Timestamp, last: Timestamp) -> int:
    return last.ToNanoseconds() - first.ToNanoseconds()


def _answer(
    record: Part, contact: _Contact, declared: Mapping[str, Any], config: Config
) -> list[pb.Event]:
    attributes, name = record.part("Attributes"), declared["from"]
    answer = signal(declared, attributes.value.get(name), attributes.at(name))
    return [_feedback(contact, f"answer:{name}", answer, config)] if answer else []


def _sentiment(record: Part, contact: _Contact, config: Config) -> list[pb.Event]:
    """The customer's, where the analysis of Contact Lens was put into the record, in its own shape."""
    analysis = record.part("ConversationCharacteristics").part("Sentiment").part("OverallSentiment")
    score, version = analysis.value.get("CUSTOMER"), record.text("Version")
    if score is None:
        return []
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise Unreadable("WRONG_TYPE", analysis.at("CUSTOMER"), got=kind_of(score), want="a number")
    answer = pb.Signal(
        metric=pb.METRIC_SENTIMENT,
        value=decimal_text(score),
        scale_min=SENTIMENT_MIN,
        scale_max=SENTIMENT_MAX,
        direction=pb.DIRECTION_HIGHER_IS_BETTER,
        model=f"{MODEL}/{version}" if version else MODEL,
    )
    return [_feedback(contact, "sentiment", answer, config)]


def _feedback(contact: _Contact, suffix: str, answer: pb.Signal, config: Config) -> pb.Event:
    event = _event(contact, f":{suffix}", config)
    event.feedback_received.stage = pb.STAGE_SERVICE
    event.feedback_received.channel = CHANNELS.get(contact.channel, pb.CHANNEL_UNSPECIFIED)
    event.feedback_received.signals.append(answer)
    return event


def _event(contact: _Contact, suffix: str, config: Config) -> pb.Event:
    event = pb.Event(
        event_id=f"contact:{contact.contact_id}{suffix}",
        occurred_at=contact.over,
        touchpoint=_touchpoint(contact, config),
        # The gateway keeps no telephone number: it stores a pseudonym in the place of `customer`.
        customer=contact.customer,
        correlation_id=contact.initial_id,
        staff=contact.agent,
    )
    if contact.queue:
        event.attributes["queue"] = contact.queue
    if contact.endpoint:
        event.personal.contact = contact.endpoint
    return event


def _touchpoint(contact: _Contact, config: Config) -> str:
    default = TOUCHPOINTS.get(contact.channel, "call.service")
    named = named_touchpoint(config, "touchpoints", contact.queue)
    return named or touchpoint_of(config, "touchpoint", default)


ADAPTER = Adapter(name="amazon_connect.v1", verify=verify, read=read, check_config=check_config)
