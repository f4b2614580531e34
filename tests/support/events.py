"""Builders of good events; a test changes the one thing that it is about."""

from touchledger import event_json
from touchledger.v1 import events_pb2 as pb

OCCURRED_AT = "2026-08-03T10:15:30Z"


def event(**fields: object) -> pb.Event:
    """An interaction at store.checkout, with these fields of the envelope set otherwise."""
    given: dict[str, object] = {
        "event_id": "event-1",
        "occurred_at": OCCURRED_AT,
        "touchpoint": "store.checkout",
    }
    if not BODIES & fields.keys():
        given["interaction"] = {"stage": "STAGE_PURCHASE", "channel": "CHANNEL_STORE"}
    return event_json.read(given | fields)


def csat(value: str, **fields: str) -> dict[str, str]:
    """A CSAT signal on the scale 1 to 5."""
    return {
        "metric": "METRIC_CSAT",
        "value": value,
        "scale_min": "1",
        "scale_max": "5",
        "direction": "DIRECTION_HIGHER_IS_BETTER",
    } | fields


def nps(value: str) -> dict[str, str]:
    """An NPS signal."""
    return csat(value, metric="METRIC_NPS", scale_min="0", scale_max="10")


def feedback(*signals: dict[str, str], **fields: object) -> pb.Event:
    """Feedback at store.checkout with these signals."""
    body = {"stage": "STAGE_PURCHASE", "channel": "CHANNEL_STORE", "signals": list(signals)}
    return event(feedback_received=body, **fields)


def of_every_body() -> dict[str, pb.Event]:
    """One full event for each body: every field that a source may set is set."""
    bodies: dict[str, object] = {
        "interaction": {
            "stage": "STAGE_PURCHASE",
            "channel": "CHANNEL_STORE",
            "service_mode": "SERVICE_MODE_ADVISED",
            "outcome": "OUTCOME_COMPLETED",
            "duration": "125.500s",
            "wait": "30s",
            "amount": {"amount": "129.90", "currency": "EUR"},
            "options_presented": 3,
            "script": "will_take_care",
            "moment_of_truth": True,
        },
        "feedback_requested": {
            "stage": "STAGE_PURCHASE",
            "channel": "CHANNEL_STORE",
            "asked_via": "CHANNEL_EMAIL",
            "survey": "after-sale/2",
            "service_mode": "SERVICE_MODE_ASSISTED",
        },
        "feedback_suppressed": {
            "stage": "STAGE_PURCHASE",
            "channel": "CHANNEL_STORE",
            "reason": "opt_out",
            "survey": "after-sale/2",
            "service_mode": "SERVICE_MODE_SELF",
        },
        "feedback_received": {
            "stage": "STAGE_PURCHASE",
            "channel": "CHANNEL_STORE",
            "signals": [
                csat("4"),
                csat("3", dimension="empathy", question="q2"),
                csat("-0.5", metric="METRIC_SENTIMENT", scale_min="-1", scale_max="1", model="m/3"),
            ],
            "kind": "FEEDBACK_KIND_COMPLAINT",
            "request_id": "event-0",
            "answered_via": "CHANNEL_EMAIL",
            "survey": "after-sale/2",
            "service_mode": "SERVICE_MODE_ADVISED",
            "about": {"source": "till", "event_id": "event-0"},
        },
        "expectation": {
            "basis": "EXPECTATION_BASIS_PROMISE",
            "dimension": "delivery",
            "due_at": "2026-08-05T18:00:00Z",
        },
        "public_post": {
            "platform": "mastodon",
            "reach": 1200,
            "sentiment": csat("-0.8", metric="METRIC_SENTIMENT", scale_min="-1", scale_max="1"),
            "post_id": "post-9",
            "reply_to_post_id": "post-8",
            "by_company": True,
        },
        "failure": {
            "stage": "STAGE_DELIVERY",
            "channel": "CHANNEL_POST",
            "severity": "SEVERITY_MAJOR",
            "issue_code": "late",
        },
        "remedy": {"kind": "REMEDY_KIND_REFUND", "cost": {"amount": "12.5", "currency": "EUR"}},
        "goodwill": {"kind": "voucher", "value": {"amount": "10", "currency": "EUR"}},
        "recovery_closed": {"result": "RECOVERY_RESULT_ACCEPTED"},
        "recognition": {"given_by": "customer", "interaction_id": "event-0"},
        "customer_profile": {
            "birth_year_from": 1980,
            "birth_year_to": 1984,
            "segments": {"status": "gold"},
        },
        "staff_profile": {
            "group": "checkout.cologne",
            "cohort": "2026.spring",
            "job_design": "generalist",
        },
        "assessment": {
            "assessor": "quality",
            "signals": [csat("4", dimension="understood"), csat("2", dimension="acknowledged")],
            "within_sla": True,
            "about": {"source": "till", "event_id": "event-0"},
        },
        "reason_stated": {"issue_code": "late", "reason_code": "gift"},
        "insight": {
            "insight_id": "insight-3",
            "step": "INSIGHT_STEP_APPLIED",
            "about": {"event_id": "event-0"},
        },
        "advice": {"options": [{"item": "kettle-1"}, {"item": "kettle-2"}], "chosen": "kettle-2"},
        "product_follow_up": {"item": "kettle-2", "kept": True, "usable": False, "happy": True},
        "public_post_removed": {"platform": "mastodon", "post_id": "post-9"},
        "service_claim": {"claimed": csat("4.8")},
        "front_line": {
            "step": "FRONT_LINE_STEP_PULSE",
            "kind": "weekly",
            "pulse": csat("4", dimension="passion"),
            "group": "checkout.cologne",
        },
        "identity": {"same_as": "card 4711", "relation": "IDENTITY_RELATION_SAME"},
        "scenario": {
            "name": "loss.15",
            "loss_percent": "15",
            "competitor_percent": "80",
            "revenue": {"amount": "1000000", "currency": "EUR"},
            "margin_percent": "30",
            "discount_percent": "8.5",
            "years": 5,
        },
    }
    amends = {"source": "till", "event_id": "event-0"}
    full: dict[str, object] = {
        "customer": "customer 17",
        "correlation_id": "journey-1",
        "causation_id": "event-0",
        "place": {
            "store": "cologne",
            "gln": "4012345000009",
            "device": "till-3",
            "business_date": "2026-08-03",
            "time_zone": "Europe/Berlin",
        },
        "staff": "staff-7",
        "attributes": {"campaign": "summer", "aisle": "4"},
        "personal": {
            "comment": "Nobody was there.\nTwice.",
            "contact": "someone@example.com",
            "attributes": {"name_on_card": "A. Example"},
        },
    }
    made = {kind: event(**full, **{kind: body}) for kind, body in bodies.items()}
    correction = {"reason": "wrong key", "interaction": bodies["interaction"]}
    made["correction"] = event(**full, amends=amends, correction=correction)
    made["retraction"] = event(**full, amends=amends, retraction={"reason": "test sale"})
    return made


BODIES = {each.name for each in pb.Event.DESCRIPTOR.oneofs_by_name["body"].fields}
