"""Segment: track, page, screen and identify messages, as its libraries and its webhooks send them.

A message's own id is the event id; none is made up, since a message that is sent again would get another. Of
traits and properties nothing is taken but what the configuration names, and of the context nothing that tells
a person or a machine: they hold anything, and mostly what is personal. The configuration, all of it optional:

    {"touchpoints": {"Order Completed": "web.checkout", "Chat Opened": "chat.sales"},
     "pages": {"Home": "web.home"},
     "segments": ["plan"],
     "surveys": {"Survey Answered": {
         "touchpoint": "web.checkout", "survey": "after-sale/2", "comment": "text",
         "answers": [{"from": "score", "metric": "METRIC_NPS", "scale_min": "0", "scale_max": "10",
                      "direction": "DIRECTION_HIGHER_IS_BETTER"}]}}}

An event or page that is not named there gets a touchpoint of its own name, such as web.order_completed.
"""

import hmac
import re
import unicodedata
from typing import Any, NoReturn

from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import Malformed
from services.gateway.adapters.adapter import (
    Adapter,
    Config,
    Delivery,
    Part,
    Unreadable,
    check_signature,
    clean,
    customer,
    document,
    kind_of,
    refuse_other_settings,
    touchpoint_of,
)
from services.gateway.adapters.answers import check_answers, decimal_text, signal
from services.gateway.adapters.named_touchpoints import check_touchpoints, named_touchpoint
from services.gateway.checks import ENTRIES_MAX, MAP_KEY_CHARACTERS_MAX
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.problem_pb2 import Problem

NAME = "segment.v1"
SIGNATURE = "x-signature"
SETTINGS = {"touchpoints", "pages", "segments", "surveys"}
SURVEY_SETTINGS = {"touchpoint", "survey", "comment", "answers"}

# Where on the journey the events of Segment's e-commerce specification are.
STAGES = {
    **dict.fromkeys(
        ("Promotion Viewed", "Promotion Clicked"),
        pb.STAGE_AWARENESS,
    ),
    **dict.fromkeys(
        ("Products Searched", "Product List Viewed", "Product List Filtered", "Product Clicked"),
        pb.STAGE_CONSIDERATION,
    ),
    **dict.fromkeys(
        ("Product Viewed", "Product Added", "Product Removed", "Cart Viewed"),
        pb.STAGE_SELECTION,
    ),
    **dict.fromkeys(
        (
            *("Checkout Started", "Checkout Step Viewed", "Checkout Step Completed"),
            *("Payment Info Entered", "Order Completed", "Order Cancelled", "Order Refunded"),
        ),
        pb.STAGE_PURCHASE,
    ),
}
OUTCOMES = {"Order Completed": pb.OUTCOME_COMPLETED, "Order Refunded": pb.OUTCOME_RETURNED}
# What a name may not have in a touchpoint.
OTHER_CHARACTERS = re.compile(r"[^a-z0-9.:/-]+", re.ASCII)


def verify(delivery: Delivery, secret: str, config: Config) -> None:
    """Of a webhook, which is one message. Of a batch Segment signs the first message alone: it is refused."""
    digest = hmac.digest(secret.encode(), delivery.body, "sha1")
    check_signature(delivery, SIGNATURE, digest.hex())


def read(delivery: Delivery, config: Config) -> list[pb.Event | Problem]:
    try:
        event = event_of(document(delivery.body), config)
    except Unreadable as error:
        return [error.problem]
    return [event] if event else []


def check_config(config: Config) -> None:
    refuse_other_settings(config, SETTINGS)
    check_touchpoints(config, "touchpoints")
    check_touchpoints(config, "pages")
    segments = config.get("segments", [])
    if not isinstance(segments, list) or len(segments) > ENTRIES_MAX:
        _refuse(f"a list of at most {ENTRIES_MAX} traits", "config.segments", segments)
    for index, trait in enumerate(segments):
        if not isinstance(trait, str) or not 1 <= len(trait) <= MAP_KEY_CHARACTERS_MAX:
            want = f"a name of 1 to {MAP_KEY_CHARACTERS_MAX} characters"
            _refuse(want, f"config.segments[{index}]", trait)
    for event, survey in _object(config.get("surveys", {}), "config.surveys").items():
        at = f"config.surveys.{event}"
        refuse_other_settings(_object(survey, at), SURVEY_SETTINGS)
        touchpoint_of(survey, "touchpoint", "unset")
        for name in ("survey", "comment"):
            if not isinstance(survey.get(name, ""), str):
                _refuse("a text", f"{at}.{name}", survey[name])
        check_answers(survey.get("answers", []), f"{at}.answers")


def _object(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse("an object", field, value)
    return value


def _refuse(want: str, field: str, value: Any) -> NoReturn:
    raise Malformed(want, field=field, got=kind_of(value))


def event_of(message: Part, config: Config) -> pb.Event | None:
    """The event that a message tells; None when the configuration wants nothing of it. Raises Unreadable."""
    match message.text("type"):
        case "track":
            return _track(message, config)
        case "page" | "screen" as kind:
            return _page(kind, message, config)
        case "identify":
            return _identify(message, config)
        case _:
            # group and alias would say who is whom, which no event can.
            raise Unreadable(
                "UNSUPPORTED",
                message.at("type"),
                got="another" if message.text("type") else "nothing",
                want="track, page, screen or identify",
            )


def _track(message: Part, config: Config) -> pb.Event:
    name = message.required("event")
    if name in config.get("surveys", {}):
        return _answered(name, message, config)
    event = _event(message)
    channel = _channel(message)
    event.touchpoint = _touchpoint("touchpoints", name, "event", channel, message, config)
    event.interaction.channel = channel
    event.interaction.stage = STAGES.get(name, pb.STAGE_UNSPECIFIED)
    event.interaction.outcome = OUTCOMES.get(name, pb.OUTCOME_UNSPECIFIED)
    if name in OUTCOMES:
        _pay(event, message.part("properties"))
    return event


def _page(kind: str, message: Part, config: Config) -> pb.Event:
    event = _event(message)
    channel = _channel(message)
    # An address of a page may hold who looks at it; its name may not.
    name = message.text("name")
    if name:
        event.touchpoint = _touchpoint("pages", name, "name", channel, message, config)
    else:
        event.touchpoint = f"{_prefix(channel)}.{kind}"
    event.interaction.channel = channel
    return event


def _identify(message: Part, config: Config) -> pb.Event | None:
    traits = message.part("traits")
    segments = {
        trait: text
        for trait in config.get("segments", ())
        if (text := _segment(traits.value.get(trait), traits.at(trait)))
    }
    if not segments:
        return None
    event = _event(message)
    event.customer_profile.segments.update(segments)
    return event


def _answered(name: str, message: Part, config: Config) -> pb.Event:
    survey = config["surveys"][name]
    properties = message.part("properties")
    event = _event(message)
    channel = _channel(message)
    event.touchpoint = (
        touchpoint_of(survey, "touchpoint", "")
        if "touchpoint" in survey
        else _touchpoint("touchpoints", name, "event", channel, message, config)
    )
    feedback = event.feedback_received
    feedback.channel = feedback.answered_via = channel
    feedback.survey = survey.get("survey", "")
    for declared in survey.get("answers", ()):
        given = declared["from"]
        answer = signal(declared, properties.value.get(given), properties.at(given))
        if answer:
            feedback.signals.append(answer)
    if comment := properties.text(survey["comment"]) if "comment" in survey else "":
        event.personal.comment = comment
    if not feedback.signals and not comment:
        raise Unreadable(
            "MISSING", properties.path, got="nothing", want="an answer that config.surveys names"
        )
    return event


def _event(message: Part) -> pb.Event:
    user = customer(message.text("userId"))
    return pb.Event(
        event_id=message.text("messageId"),
        occurred_at=_occurred_at(message),
        customer=user or customer(message.text("anonymousId")),
        correlation_id=message.part("context").text("sessionId"),
    )


def _occurred_at(message: Part) -> Timestamp | None:
    """By the customer's clock; None when it is not told, since the server's would differ on every repeat.

    Segment itself has put `timestamp` right by the time that a message leaves it, and added receivedAt. A
    library's clock is put right by the gateway, from sentAt.
    """
    first, second = "originalTimestamp", "timestamp"
    if "receivedAt" in message.value:
        first, second = second, first
    for name in (first, second):
        if message.text(name):
            return message.moment(name)
    return None


def _channel(message: Part) -> pb.Channel:
    library = message.part("context").part("library").text("name").lower()
    mobile = ("ios", "android", "kotlin", "swift", "react-native", "flutter")
    if message.text("type") == "screen" or message.text("channel") == "mobile":
        return pb.CHANNEL_APP
    if any(each in library for each in mobile):
        return pb.CHANNEL_APP
    return pb.CHANNEL_WEB


def _prefix(channel: pb.Channel) -> str:
    return "app" if channel == pb.CHANNEL_APP else "web"


def _touchpoint(
    setting: str,
    name: str,
    field: str,
    channel: pb.Channel,
    message: Part,
    config: Config,
) -> str:
    if named := named_touchpoint(config, setting, name):
        return named
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    plain = OTHER_CHARACTERS.sub("_", plain).strip("_")
    if not plain:
        # Nothing is left of a name in another script, and all of them would be one touchpoint.
        raise Unreadable(
            "BAD_NAME", message.at(field), got="other letters", want=f"a name in config.{setting}"
        )
    return f"{_prefix(channel)}.{plain}"


def _segment(value: Any, field: str) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return decimal_text(value)
        case str():
            return clean(value, field).strip()
        case _:
            return ""


def _pay(event: pb.Event, properties: Part) -> None:
    """The total of an order, where its currency is told; an amount alone would be a guess."""
    total, currency = properties.value.get("total"), properties.text("currency")
    if isinstance(total, bool) or not isinstance(total, int | float | str) or not currency:
        return
    text = decimal_text(total) if not isinstance(total, str) else clean(total, "total").strip()
    refunded = event.interaction.outcome == pb.OUTCOME_RETURNED and not text.startswith("-")
    event.interaction.amount.amount = f"-{text}" if refunded else text
    event.interaction.amount.currency = currency


ADAPTER = Adapter(name=NAME, verify=verify, read=read, check_config=check_config)
