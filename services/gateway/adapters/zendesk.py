"""Zendesk: tickets that were solved, from event webhooks, and satisfaction ratings.

An event webhook tells each change of a ticket; the one to SOLVED is the end of an interaction, and a ticket
that is opened and solved again was two. A trigger's webhook has the body that its author wrote: one with a
rating in the shape of the Satisfaction Ratings API, {"satisfaction_rating": {…}}, is read here; for any
other, the adapter mapped.v1 takes a mapping.
"""

import base64
import hmac
from datetime import datetime, timedelta

from services.chassis.errors import Unauthenticated
from services.gateway.adapters.adapter import (
    Adapter,
    Config,
    Delivery,
    Part,
    Unreadable,
    check_signature,
    customer,
    document,
    refuse_other_settings,
    touchpoint_of,
)
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.problem_pb2 import Problem

SIGNATURE = "x-zendesk-webhook-signature"
SIGNED_AT = "x-zendesk-webhook-signature-timestamp"
# Who taps a delivery can't send it again later; a clock that is off by less does no harm.
SIGNED_WITHIN = timedelta(minutes=5)
STATUS_CHANGED = "zen:event-type:ticket.status_changed"
SOLVED = "SOLVED"
# offered and unoffered say that somebody was or was not asked: no answer.
THUMBS = {"good": "1", "bad": "0"}
UNANSWERED = {"offered", "unoffered"}
CHANNELS = {
    **dict.fromkeys(("email",), pb.CHANNEL_EMAIL),
    **dict.fromkeys(("web", "web_form", "web_widget", "help_center"), pb.CHANNEL_WEB),
    **dict.fromkeys(("chat", "messaging", "native_messaging"), pb.CHANNEL_CHAT),
    **dict.fromkeys(("voice", "phone"), pb.CHANNEL_PHONE),
    **dict.fromkeys(("mobile", "mobile_sdk"), pb.CHANNEL_APP),
    **dict.fromkeys(("facebook", "twitter", "instagram_dm"), pb.CHANNEL_SOCIAL),
}
SETTINGS = {"touchpoint"}
TOUCHPOINT = "support.ticket"


def verify(delivery: Delivery, secret: str, config: Config) -> None:
    signed_at = delivery.headers.get(SIGNED_AT, "")
    signed = signed_at.encode("utf-8", "replace") + delivery.body
    digest = hmac.digest(secret.encode(), signed, "sha256")
    check_signature(delivery, SIGNATURE, base64.b64encode(digest).decode())
    try:
        off = abs(delivery.received_at - datetime.fromisoformat(signed_at))
    except (ValueError, TypeError, OverflowError):
        off = timedelta.max
    if off > SIGNED_WITHIN:
        raise Unauthenticated(
            f"a delivery signed within {SIGNED_WITHIN.seconds // 60} minutes",
            field=SIGNED_AT,
            got="another time",
        )


def read(delivery: Delivery, config: Config) -> list[pb.Event | Problem]:
    try:
        body = document(delivery.body)
        if "satisfaction_rating" in body.value:
            return _rating(body.part("satisfaction_rating"), config)
        if body.required("type") == STATUS_CHANGED:
            return _status(body, config)
    except Unreadable as error:
        return [error.problem]
    return []


def check_config(config: Config) -> None:
    refuse_other_settings(config, SETTINGS)
    touchpoint_of(config, "touchpoint", TOUCHPOINT)


def _status(body: Part, config: Config) -> list[pb.Event | Problem]:
    # Upper case in events, lower case in tickets.
    if body.part("event").required("current").upper() != SOLVED:
        return []
    ticket = body.part("detail")
    via = ticket.part("via").text("channel")
    event = _event("event", body, ticket.required("id"), ticket, config)
    event.occurred_at.CopyFrom(body.moment("time"))
    event.interaction.stage = pb.STAGE_SERVICE
    event.interaction.channel = CHANNELS.get(via, pb.CHANNEL_UNSPECIFIED)
    event.interaction.outcome = pb.OUTCOME_RESOLVED
    return [event]


def _rating(rating: Part, config: Config) -> list[pb.Event | Problem]:
    score = rating.required("score").lower()
    if score in UNANSWERED:
        return []
    if score not in THUMBS:
        raise Unreadable("UNKNOWN_VALUE", rating.at("score"), got="another", want="good or bad")
    event = _event("rating", rating, rating.required("ticket_id"), rating, config)
    # A customer who thinks again changes the rating: another answer, at another time.
    at = rating.moment("updated_at")
    event.event_id = f"{event.event_id}:{at.ToMilliseconds()}"
    event.occurred_at.CopyFrom(at)
    event.feedback_received.stage = pb.STAGE_SERVICE
    event.feedback_received.signals.append(
        pb.Signal(
            metric=pb.METRIC_THUMBS,
            value=THUMBS[score],
            scale_min="0",
            scale_max="1",
            direction=pb.DIRECTION_HIGHER_IS_BETTER,
        )
    )
    if comment := rating.text("comment"):
        event.personal.comment = comment
    return [event]


def _event(kind: str, named: Part, ticket: str, people: Part, config: Config) -> pb.Event:
    return pb.Event(
        event_id=f"{kind}:{named.required('id')}",
        touchpoint=touchpoint_of(config, "touchpoint", TOUCHPOINT),
        customer=customer(people.text("requester_id")),
        correlation_id=f"ticket:{ticket}",
        staff=people.text("assignee_id"),
    )


ADAPTER = Adapter(name="zendesk.v1", verify=verify, read=read, check_config=check_config)
