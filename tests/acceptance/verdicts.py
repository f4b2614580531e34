"""The table of verdicts: bad and odd inputs as data, and what becomes of each, whichever way it comes.

An input is an event as JSON, as the text of one (what JSON alone can say), or as bytes (what protobuf alone
can say). A row names the disposition, and code and field of the problem; a good event has neither.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.events import OCCURRED_AT, csat, event, feedback, nps, of_every_body
from touchledger import event_json
from touchledger.v1 import events_pb2

RECORDED, QUARANTINED, REJECTED = "RECORDED", "QUARANTINED", "REJECTED"
# Ways that an event can come.
GRPC, JSON, LINES, CLOUDEVENTS, CLOUDEVENTS_PROTOBUF = (
    *("gRPC", "JSON", "lines"),
    *("CloudEvents", "CloudEvents with protobuf"),
)
EVERY_WAY = (GRPC, JSON, LINES, CLOUDEVENTS, CLOUDEVENTS_PROTOBUF)
JSON_WAYS = (JSON, LINES, CLOUDEVENTS)
PROTOBUF_WAYS = (GRPC, CLOUDEVENTS_PROTOBUF)


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    # JSON as an object or as text, or a serialised Event.
    given: dict[str, Any] | str | bytes = field(repr=False)
    disposition: str
    code: str = ""
    at: str = ""
    ways: tuple[str, ...] = EVERY_WAY


def as_dict(good: events_pb2.Event) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(event_json.to_json(good))
    return fields


FULL = {kind: as_dict(each) for kind, each in of_every_body().items()}
PLAIN = as_dict(event())
ANSWER = as_dict(feedback(csat("4")))


def changed(given: dict[str, Any], **at: Any) -> dict[str, Any]:
    """A copy with these set: "place__store" is a field inside, "signals__0" an element; ... takes it out."""
    copied = copy.deepcopy(given)
    for path, value in at.items():
        *outer, last = path.split("__")
        inner: Any = copied
        for name in outer:
            inner = inner[int(name)] if name.isdigit() else inner.setdefault(name, {})
        if value is ...:
            inner.pop(last, None)
        else:
            inner[last] = value
    return copied


def answer(**signal: Any) -> dict[str, Any]:
    return changed(
        ANSWER, **{f"feedbackReceived__signals__0__{name}": value for name, value in signal.items()}
    )


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def block(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


SIGNAL = "feedback_received.signals[0]"


def rows() -> Iterator[Row]:
    yield from odd_but_good()
    yield from missing()
    yield from texts()
    yield from entries()
    yield from names_places_and_times()
    yield from signals()
    yield from other_bodies()
    yield from judged_and_chosen()
    yield from of_staff_and_posts()
    yield from who_is_who()
    yield from assumed()
    yield from json_alone()
    yield from protobuf_alone()


def odd_but_good() -> Iterator[Row]:
    for kind, full in FULL.items():
        yield Row(f"every field of {kind}", full, RECORDED)
    longest = {
        "correlationId": 128,
        "causationId": 128,
        "customer": 256,
        "staff": 128,
        "touchpoint": 128,
        "place__store": 128,
        "personal__comment": 16_384,
        "personal__contact": 512,
    }
    for path, most in longest.items():
        yield Row(f"{path} as long as it may be", changed(PLAIN, **{path: "x" * most}), RECORDED)
    odd_texts = {
        "emoji with a joiner": "👩\u200d🚀 👍🏽",
        "text from right to left": "שלום \u202eabc",
        "combining characters": "Z̷̢a̶l̵g̴o̸",
        "a character that is none": "\uffff\ufffe",
        "zero width": "a\u200bb\ufeffc",
        "beyond the first plane": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
        "SQL": "'; DROP TABLE journal.stored_events; --",
        "a formula": "=cmd|' /C calc'!A0",
        "a script": "<script>alert(1)</script>",
        "a lookup": "${jndi:ldap://127.0.0.1/a}",
        "a format string": "%s%n{0}{{",
        "a path": "../../etc/passwd",
        "the word null": "null",
        "only spaces": "   ",
        "a backslash and quotes": "\\\"'`",
    }
    for name, text in odd_texts.items():
        yield Row(f"{name} in a reference", changed(PLAIN, staff=text), RECORDED)
        yield Row(f"{name} in a comment", changed(PLAIN, personal__comment=text), RECORDED)
    yield Row("lines in a comment", changed(PLAIN, personal__comment="a\r\nb\tc\x1b[31m"), RECORDED)
    times = {
        "the first moment": "1900-01-01T00:00:00Z",
        "the last moment": "2999-12-31T23:59:59.999999999Z",
        "before the epoch": "1969-12-31T23:59:59.5Z",
        "of next year": "2027-11-23T00:00:00Z",
        "with an offset": "2026-08-03T12:15:30+02:00",
        "on a leap day": "2024-02-29T12:00:00Z",
    }
    for name, time in times.items():
        yield Row(f"a time {name}", changed(PLAIN, occurredAt=time), RECORDED)
    for value in ("0004", "4.000000", "-0"):
        yield Row(
            f"the value {value}",
            answer(value=value, scaleMin="-1", scaleMax="999999999999999.999999"),
            RECORDED,
        )
    yield Row(
        "fifty signals",
        changed(ANSWER, feedbackReceived__signals=ANSWER["feedbackReceived"]["signals"] * 50),
        RECORDED,
    )
    yield Row("no signals", changed(ANSWER, feedbackReceived__signals=[]), RECORDED)
    yield Row("an empty body", changed(PLAIN, interaction={}), RECORDED)
    yield Row("the longest wait", changed(PLAIN, interaction__wait="31622400s"), RECORDED)
    full = {f"key {number}": "x" * 100 for number in range(64)}
    yield Row("sixty-four attributes", changed(PLAIN, attributes=full), RECORDED)


def missing() -> Iterator[Row]:
    # Without an id a repeat can't be told from a second event. A CloudEvent always has one.
    yield Row(
        "no event id", changed(PLAIN, eventId=...), REJECTED, "MISSING", "event_id", (GRPC, JSON)
    )
    yield Row("no time", changed(PLAIN, occurredAt=...), QUARANTINED, "MISSING", "occurred_at")
    yield Row("no body", changed(PLAIN, interaction=...), QUARANTINED, "MISSING", "body")
    kinds = (
        *("interaction", "feedback_requested", "feedback_suppressed", "feedback_received"),
        *("expectation", "failure", "remedy", "goodwill", "recovery_closed", "correction"),
        *("assessment", "reason_stated", "advice", "service_claim"),
    )
    for kind in kinds:
        given = changed(FULL[kind], touchpoint=...)
        yield Row(f"{kind} without a touchpoint", given, QUARANTINED, "MISSING", "touchpoint")
    needed = {
        ("recognition", "staff"): "staff",
        ("customer_profile", "customer"): "customer",
        ("staff_profile", "staff"): "staff",
        ("insight", "staff"): "staff",
        ("identity", "customer"): "customer",
        ("assessment", "assessment__assessor"): "assessment.assessor",
        ("assessment", "assessment__about__eventId"): "assessment.about.event_id",
        ("reason_stated", "reasonStated__issueCode"): "reason_stated.issue_code",
        ("reason_stated", "reasonStated__reasonCode"): "reason_stated.reason_code",
        ("insight", "insight__insightId"): "insight.insight_id",
        ("insight", "insight__step"): "insight.step",
        ("advice", "advice__options"): "advice.options",
        ("advice", "advice__options__1__item"): "advice.options[1].item",
        ("product_follow_up", "productFollowUp__item"): "product_follow_up.item",
        ("public_post_removed", "publicPostRemoved__platform"): "public_post_removed.platform",
        ("public_post_removed", "publicPostRemoved__postId"): "public_post_removed.post_id",
        ("service_claim", "serviceClaim__claimed"): "service_claim.claimed",
        ("front_line", "frontLine__step"): "front_line.step",
        ("front_line", "frontLine__pulse"): "front_line.pulse",
        ("identity", "identity__sameAs"): "identity.same_as",
        ("identity", "identity__relation"): "identity.relation",
        ("scenario", "scenario__name"): "scenario.name",
        ("scenario", "scenario__lossPercent"): "scenario.loss_percent",
        ("feedback_suppressed", "feedbackSuppressed__reason"): "feedback_suppressed.reason",
        ("goodwill", "goodwill__kind"): "goodwill.kind",
        ("recognition", "recognition__givenBy"): "recognition.given_by",
        ("public_post", "publicPost__platform"): "public_post.platform",
        ("expectation", "expectation__dueAt"): "expectation.expected",
        ("correction", "amends"): "amends.event_id",
        ("retraction", "amends"): "amends.event_id",
        ("correction", "amends__eventId"): "amends.event_id",
        ("correction", "correction__interaction"): "correction.body",
    }
    for (kind, path), at in needed.items():
        given = changed(FULL[kind], **{path: ...})
        yield Row(f"{kind} without {path}", given, QUARANTINED, "MISSING", at)
    for name in ("metric", "value", "scaleMin", "scaleMax", "direction"):
        at = {"scaleMin": "scale_min", "scaleMax": "scale_max"}.get(name, name)
        yield Row(
            f"a signal without {name}",
            answer(**{name: ...}),
            *(QUARANTINED, "MISSING", f"{SIGNAL}.{at}"),
        )


def texts() -> Iterator[Row]:
    long = {
        "correlationId": ("correlation_id", 129),
        "causationId": ("causation_id", 129),
        "customer": ("customer", 257),
        "staff": ("staff", 129),
        "place__store": ("place.store", 129),
        "place__device": ("place.device", 129),
        "personal__comment": ("personal.comment", 16_385),
        "personal__contact": ("personal.contact", 513),
    }
    for path, (at, size) in long.items():
        # Two bytes each: characters are counted, not bytes.
        given = changed(PLAIN, **{path: "é" * size})
        yield Row(f"{path} a character too long", given, QUARANTINED, "TOO_LONG", at)
    yield Row(
        "an event id a character too long",
        changed(PLAIN, eventId="x" * 129),
        *(REJECTED, "TOO_LONG", "event_id"),
    )
    yield Row(
        "an event id of two lines",
        changed(PLAIN, eventId="two\nlines"),
        *(REJECTED, "CONTROL_CHARACTER", "event_id"),
    )
    for name, character in {
        "line feed": "\n",
        "tab": "\t",
        "escape": "\x1b",
        "delete": "\x7f",
        "next line": "\x85",
    }.items():
        given = changed(PLAIN, staff=f"a{character}b")
        yield Row(f"a {name} in a reference", given, QUARANTINED, "CONTROL_CHARACTER", "staff")
    nul = {
        "eventId": "event_id",
        "customer": "customer",
        "staff": "staff",
        "correlationId": "correlation_id",
        "touchpoint": "touchpoint",
        "place__store": "place.store",
        "place__businessDate": "place.business_date",
        "place__timeZone": "place.time_zone",
        "personal__comment": "personal.comment",
        "personal__contact": "personal.contact",
    }
    for path, at in nul.items():
        # A NUL in the id of a CloudEvent would be another fault.
        ways = (GRPC, JSON, LINES) if path == "eventId" else EVERY_WAY
        yield Row(f"NUL in {path}", changed(PLAIN, **{path: "a\0b"}), REJECTED, "NUL", at, ways)
    yield Row("NUL in a value", answer(value="4\0"), REJECTED, "NUL", f"{SIGNAL}.value")


def entries() -> Iterator[Row]:
    for path, at in {
        "attributes": "attributes",
        "personal__attributes": "personal.attributes",
    }.items():
        cases = {
            "too many": ({f"k{n}": "v" for n in range(65)}, QUARANTINED, "TOO_MANY", at),
            "an empty key": ({"": "v"}, QUARANTINED, "BAD_KEY", at),
            "a long key": ({"k" * 65: "v"}, QUARANTINED, "BAD_KEY", at),
            "a key of two lines": ({"a\nb": "v"}, QUARANTINED, "BAD_KEY", at),
            "a long value": ({"k": "v" * 1025}, QUARANTINED, "TOO_LONG", f"{at}[k]"),
            "NUL in a key": ({"a\0": "v"}, REJECTED, "NUL", at),
            "NUL in a value": ({"a": "v\0"}, REJECTED, "NUL", f"{at}[a]"),
        }
        for name, (given, disposition, code, where) in cases.items():
            yield Row(
                f"{name} in {path}", changed(PLAIN, **{path: given}), disposition, code, where
            )
    segment = changed(FULL["customer_profile"], customerProfile__segments={"k": "v" * 129})
    yield Row("a long segment", segment, QUARANTINED, "TOO_LONG", "customer_profile.segments[k]")
    for name, at in {"group": "group", "cohort": "cohort", "jobDesign": "job_design"}.items():
        team = changed(FULL["staff_profile"], **{f"staffProfile__{name}": "x" * 129})
        yield Row(f"a long {at}", team, QUARANTINED, "TOO_LONG", f"staff_profile.{at}")
    # 64 attributes of 1024 are as much as an event may be.
    large = changed(PLAIN, attributes={f"k{n:02}": "v" * 1024 for n in range(64)})
    yield Row("an event above 64 KiB", large, REJECTED, "TOO_LARGE", "")


def names_places_and_times() -> Iterator[Row]:
    for name in ("a b", "a;b", "straße", "a\n", "👍", "x" * 129, "a\\b", "a%b"):
        given = changed(PLAIN, touchpoint=name)
        yield Row(f"the touchpoint {name[:9]!r}", given, QUARANTINED, "BAD_NAME", "touchpoint")
    days = ("2026-13-01", "2026-02-30", "20260803", "2026-8-3", "2026-08-03T00:00:00Z", "today")
    for day in days:
        given = changed(PLAIN, place__businessDate=day)
        yield Row(f"the day {day}", given, QUARANTINED, "BAD_DATE", "place.business_date")
    for zone in ("Mars/Base", "+02:00", "localtime", "europe/berlin", "CEST", "../etc/passwd"):
        given = changed(PLAIN, place__timeZone=zone)
        yield Row(f"the zone {zone}", given, QUARANTINED, "BAD_ZONE", "place.time_zone")
    for gln in ("123", "4012345000008", "401234500000X", "٤٠١٢٣٤٥٠٠٠٠٠٩", "40123450000090"):
        yield Row(
            f"the GLN {gln}", changed(PLAIN, place__gln=gln), QUARANTINED, "BAD_GLN", "place.gln"
        )
    for time in ("0001-01-01T00:00:00Z", "1899-12-31T23:59:59Z", "3000-01-01T00:00:00Z"):
        given = changed(PLAIN, occurredAt=time)
        yield Row(f"the time {time}", given, QUARANTINED, "BAD_TIME", "occurred_at")
    for path, duration in {"wait": "-1s", "duration": "31622401s"}.items():
        given = changed(PLAIN, **{f"interaction__{path}": duration})
        at = f"interaction.{path}"
        yield Row(f"{path} of {duration}", given, QUARANTINED, "BAD_DURATION", at)
    for name in ("sealedPersonal", "intake"):
        inside = {"keyId": 1, "data": "AAAA"} if name == "sealedPersonal" else {"late": True}
        at = {"sealedPersonal": "sealed_personal"}.get(name, name)
        yield Row(
            f"{name} from outside", changed(PLAIN, **{name: inside}), REJECTED, "SET_BY_SERVER", at
        )
    amends = {"eventId": "event-0"}
    yield Row(
        "a fact that amends", changed(PLAIN, amends=amends), QUARANTINED, "NOT_ALLOWED", "amends"
    )
    for kind in ("correction", "retraction"):
        own = changed(FULL[kind], eventId="own", amends={"eventId": "own"})
        yield Row(f"a {kind} of itself", own, QUARANTINED, "NOT_ALLOWED", "amends.event_id")
    far = changed(FULL["correction"], amends__source="s" * 129)
    yield Row("an amended source too long", far, QUARANTINED, "TOO_LONG", "amends.source")


def signals() -> Iterator[Row]:
    numbers = (
        *("four", " 4", "4 ", "+4", "4.", ".5", "1e3", "٤", "1,5", "0x4", "NaN", "Infinity", "--4"),
        *("1234567890123456", "1.1234567", "4_0", "½", "4%"),
    )
    for number in numbers:
        at = f"{SIGNAL}.value"
        yield Row(f"the value {number!r}", answer(value=number), QUARANTINED, "BAD_DECIMAL", at)
    yield Row(
        "a scale in words",
        answer(scaleMax="five"),
        QUARANTINED,
        "BAD_DECIMAL",
        f"{SIGNAL}.scale_max",
    )
    outside: dict[str, dict[str, Any]] = {
        "above": answer(value="6"),
        "below": answer(value="0"),
        "a hair above": answer(value="5.000001"),
        "above in NPS": ANSWER | changed_signal(nps("11")),
    }
    for name, given in outside.items():
        at = f"{SIGNAL}.value"
        yield Row(f"a value {name} its scale", given, QUARANTINED, "VALUE_OUTSIDE_SCALE", at)
    for low, high in (("5", "5"), ("5", "1"), ("1", "-1")):
        yield Row(
            f"a scale from {low} to {high}",
            answer(scaleMin=low, scaleMax=high, value=low),
            *(QUARANTINED, "BAD_SCALE", f"{SIGNAL}.scale_max"),
        )
    wrong_scale = {
        "NPS from 1": csat("7", metric="METRIC_NPS", scale_min="1", scale_max="10"),
        "NPS to 5": csat("4", metric="METRIC_NPS", scale_min="0", scale_max="5"),
        "thumbs to 5": csat("1", metric="METRIC_THUMBS", scale_min="0", scale_max="5"),
    }
    for name, signal in wrong_scale.items():
        at = f"{SIGNAL}.scale_min"
        yield Row(name, ANSWER | changed_signal(signal), QUARANTINED, "WRONG_SCALE", at)
    yield Row(
        "NPS where less is better",
        ANSWER | changed_signal(nps("3") | {"direction": "DIRECTION_LOWER_IS_BETTER"}),
        *(QUARANTINED, "WRONG_DIRECTION", f"{SIGNAL}.direction"),
    )
    yield Row(
        "a model of an answer",
        answer(model="m/1"),
        *(QUARANTINED, "NOT_ALLOWED", f"{SIGNAL}.model"),
    )
    yield Row(
        "fifty-one signals",
        changed(ANSWER, feedbackReceived__signals=ANSWER["feedbackReceived"]["signals"] * 51),
        *(QUARANTINED, "TOO_MANY", "feedback_received.signals"),
    )
    yield Row(
        "the second signal is bad",
        changed(
            ANSWER,
            feedbackReceived__signals=[
                *ANSWER["feedbackReceived"]["signals"],
                answer(value="9")["feedbackReceived"]["signals"][0],
            ],
        ),
        *(QUARANTINED, "VALUE_OUTSIDE_SCALE", "feedback_received.signals[1].value"),
    )


def changed_signal(signal: dict[str, str]) -> dict[str, Any]:
    camel = {"scale_min": "scaleMin", "scale_max": "scaleMax"}
    named = {camel.get(name, name): value for name, value in signal.items()}
    return {"feedbackReceived": ANSWER["feedbackReceived"] | {"signals": [named]}}


def other_bodies() -> Iterator[Row]:
    for amount in ("", "12,50", "EUR 5", "1.1234567", "1e2"):
        given = changed(
            FULL["interaction"], interaction__amount={"amount": amount, "currency": "EUR"}
        )
        at = "interaction.amount.amount"
        yield Row(f"the amount {amount!r}", given, QUARANTINED, "BAD_DECIMAL", at)
    for kind, path in {"remedy": "cost", "goodwill": "value"}.items():
        given = changed(FULL[kind], **{f"{kind}__{path}": {"amount": "-5", "currency": "EUR"}})
        at = f"{kind}.{path}.amount"
        yield Row(f"a {kind} below nothing", given, QUARANTINED, "BAD_DECIMAL", at)
    refund = changed(PLAIN, interaction__amount={"amount": "-5", "currency": "EUR"})
    yield Row("money that went back", refund, RECORDED)
    for currency in ("", "eur", "EURO", "E1R", "€"):
        money = {"amount": "5", "currency": currency}
        given = changed(FULL["remedy"], remedy__cost=money)
        yield Row(
            f"the currency {currency!r}", given, QUARANTINED, "BAD_CURRENCY", "remedy.cost.currency"
        )
    for first, last in ((1899, 1990), (1990, 1980), (1990, 0), (0, 1990), (1990, 2101)):
        given = changed(
            FULL["customer_profile"],
            customerProfile__birthYearFrom=first,
            customerProfile__birthYearTo=last,
        )
        at = "customer_profile.birth_year_from"
        yield Row(f"born from {first} to {last}", given, QUARANTINED, "BAD_BAND", at)
    sentiment = ANSWER["feedbackReceived"]["signals"][0]
    yield Row(
        "a post with an answer in place of a sentiment",
        changed(FULL["public_post"], publicPost__sentiment=sentiment),
        *(QUARANTINED, "WRONG_METRIC", "public_post.sentiment.metric"),
    )
    within = changed(FULL["expectation"], expectation={"within": "31622401s"})
    yield Row(
        "an expectation of more than a year",
        within,
        QUARANTINED,
        "BAD_DURATION",
        "expectation.within",
    )
    due = changed(FULL["expectation"], expectation__dueAt="1800-01-01T00:00:00Z")
    yield Row(
        "an expectation of two centuries ago", due, QUARANTINED, "BAD_TIME", "expectation.due_at"
    )
    corrected = changed(FULL["correction"], correction=changed_signal(csat("9")))
    yield Row(
        "a correction to a value outside its scale",
        corrected,
        *(QUARANTINED, "VALUE_OUTSIDE_SCALE", "correction.feedback_received.signals[0].value"),
    )
    for kind in ("correction", "retraction"):
        long = changed(FULL[kind], **{f"{kind}__reason": "r" * 257})
        yield Row(f"a long reason of a {kind}", long, QUARANTINED, "TOO_LONG", f"{kind}.reason")


def judged_and_chosen() -> Iterator[Row]:
    """Assessment, ReasonStated, Advice, ProductFollowUp, ServiceClaim."""
    assessment, advice = FULL["assessment"], FULL["advice"]
    signal = ANSWER["feedbackReceived"]["signals"][0]
    yield Row(
        "an assessment without answers",
        changed(assessment, assessment={"assessor": "system", "withinSla": False}),
        RECORDED,
    )
    yield Row(
        "an assessment that says nothing",
        changed(assessment, assessment={"assessor": "system"}),
        *(QUARANTINED, "MISSING", "assessment.signals"),
    )
    yield Row(
        "an assessment with fifty-one answers",
        changed(assessment, assessment__signals=[signal] * 51),
        *(QUARANTINED, "TOO_MANY", "assessment.signals"),
    )
    yield Row(
        "an assessment outside its scale",
        changed(assessment, assessment__signals__1__value="9"),
        *(QUARANTINED, "VALUE_OUTSIDE_SCALE", "assessment.signals[1].value"),
    )
    yield Row(
        "a reason of two lines",
        changed(FULL["reason_stated"], reasonStated__reasonCode="a\nb"),
        *(QUARANTINED, "CONTROL_CHARACTER", "reason_stated.reason_code"),
    )
    options = [{"item": f"item-{number}"} for number in range(64)]
    yield Row(
        "sixty-four options and none chosen",
        changed(advice, advice={"options": options}),
        RECORDED,
    )
    cases: dict[str, tuple[dict[str, Any], str, str]] = {
        "sixty-five options": ({"options": [*options, {"item": "x"}]}, "TOO_MANY", "options"),
        "an option twice": (
            {"options": [{"item": "a"}, {"item": "b"}, {"item": "a"}]},
            *("NOT_ALLOWED", "options[2].item"),
        ),
        "a choice that was no option": (
            {"options": [{"item": "a"}], "chosen": "b"},
            *("NOT_ALLOWED", "chosen"),
        ),
        "an option with a long name": (
            {"options": [{"item": "x" * 129}]},
            *("TOO_LONG", "options[0].item"),
        ),
    }
    for name, (given, code, at) in cases.items():
        yield Row(name, changed(advice, advice=given), QUARANTINED, code, f"advice.{at}")
    follow_up = FULL["product_follow_up"]
    for name in ("kept", "usable", "happy"):
        told = {"item": "kettle-2", name: False}
        yield Row(
            f"a product that is not {name}", changed(follow_up, productFollowUp=told), RECORDED
        )
    yield Row(
        "a follow-up that says nothing",
        changed(follow_up, productFollowUp={"item": "kettle-2"}),
        *(QUARANTINED, "MISSING", "product_follow_up.kept"),
    )
    yield Row(
        "a claim outside its scale",
        changed(FULL["service_claim"], serviceClaim__claimed__value="5.1"),
        *(QUARANTINED, "VALUE_OUTSIDE_SCALE", "service_claim.claimed.value"),
    )


def of_staff_and_posts() -> Iterator[Row]:
    """Insight, FrontLine, PublicPostRemoved."""
    yield Row(
        "an insight about nothing",
        changed(FULL["insight"], insight__about={}),
        *(QUARANTINED, "MISSING", "insight.about.event_id"),
    )
    yield Row(
        "an insight with a long id",
        changed(FULL["insight"], insight__insightId="x" * 129),
        *(QUARANTINED, "TOO_LONG", "insight.insight_id"),
    )
    yield Row(
        "a removed post with a long id",
        changed(FULL["public_post_removed"], publicPostRemoved__postId="x" * 257),
        *(QUARANTINED, "TOO_LONG", "public_post_removed.post_id"),
    )
    line = FULL["front_line"]
    money = {"amount": "20", "currency": "EUR"}
    decision = {"step": "FRONT_LINE_STEP_DECISION", "value": money, "approvalNeeded": True}
    training = {"step": "FRONT_LINE_STEP_TRAINING", "kind": "listening"}
    yield Row("a decision", changed(line, frontLine=decision), RECORDED)
    yield Row("a training", changed(line, frontLine=training), RECORDED)
    yield Row("a pulse of a group without a name", changed(line, staff=...), RECORDED)
    cases: dict[str, tuple[dict[str, Any], str, str]] = {
        "a training with an answer": (
            changed(line, frontLine__step="FRONT_LINE_STEP_TRAINING"),
            *("NOT_ALLOWED", "front_line.pulse"),
        ),
        "a training with a value": (
            changed(line, frontLine=training | {"value": money}),
            *("NOT_ALLOWED", "front_line.value"),
        ),
        "a decision worth less than nothing": (
            changed(line, frontLine=decision | {"value": money | {"amount": "-20"}}),
            *("BAD_DECIMAL", "front_line.value.amount"),
        ),
        "a training that needed approval": (
            changed(line, frontLine=training | {"approvalNeeded": True}),
            *("NOT_ALLOWED", "front_line.approval_needed"),
        ),
        "a decision of nobody": (changed(line, staff=..., frontLine=decision), "MISSING", "staff"),
        "a pulse outside its scale": (
            changed(line, frontLine__pulse__value="0"),
            *("VALUE_OUTSIDE_SCALE", "front_line.pulse.value"),
        ),
    }
    for name, (given, code, at) in cases.items():
        yield Row(name, given, QUARANTINED, code, at)
    # A correction has the rules of what it corrects to.
    corrected = changed(FULL["correction"], correction={"frontLine": training}, staff=...)
    yield Row("a correction to a training of nobody", corrected, QUARANTINED, "MISSING", "staff")


def who_is_who() -> Iterator[Row]:
    identity = FULL["identity"]
    other = "IDENTITY_RELATION_DIFFERENT"
    yield Row("two customers told apart", changed(identity, identity__relation=other), RECORDED)
    yield Row(
        "the longest other reference", changed(identity, identity__sameAs="x" * 256), RECORDED
    )
    for relation in ("IDENTITY_RELATION_SAME", other):
        given = changed(identity, identity={"sameAs": identity["customer"], "relation": relation})
        yield Row(
            f"a customer and the same one, {relation}",
            given,
            *(QUARANTINED, "NOT_ALLOWED", "identity.same_as"),
        )
    yield Row(
        "another reference that is too long",
        changed(identity, identity__sameAs="x" * 257),
        *(QUARANTINED, "TOO_LONG", "identity.same_as"),
    )
    yield Row(
        "another reference of two lines",
        changed(identity, identity__sameAs="card\n4711"),
        *(QUARANTINED, "CONTROL_CHARACTER", "identity.same_as"),
    )
    yield Row(
        "NUL in another reference",
        changed(identity, identity__sameAs="card\x00"),
        *(REJECTED, "NUL", "identity.same_as"),
    )


def assumed() -> Iterator[Row]:
    scenario = FULL["scenario"]
    least = {"name": "none leave", "lossPercent": "0"}
    most = dict.fromkeys(
        ("lossPercent", "competitorPercent", "marginPercent", "discountPercent"), "100"
    )
    yield Row("a scenario in which nobody leaves", changed(scenario, scenario=least), RECORDED)
    yield Row(
        "a scenario of all there is",
        changed(scenario, scenario=least | most | {"years": 100}),
        RECORDED,
    )
    names = {
        "lossPercent": "loss_percent",
        "competitorPercent": "competitor_percent",
        "marginPercent": "margin_percent",
        "discountPercent": "discount_percent",
    }
    for path, at in names.items():
        for percent in ("100.000001", "101", "-1", "15 %", "1e2", "NaN", "\u0661"):
            yield Row(
                f"{at} of {percent}",
                changed(scenario, **{f"scenario__{path}": percent}),
                *(QUARANTINED, "BAD_DECIMAL", f"scenario.{at}"),
            )
    yield Row(
        "a revenue below nothing",
        changed(scenario, scenario__revenue__amount="-0.01"),
        *(QUARANTINED, "BAD_DECIMAL", "scenario.revenue.amount"),
    )
    yield Row(
        "a revenue in no currency",
        changed(scenario, scenario__revenue__currency=...),
        *(QUARANTINED, "BAD_CURRENCY", "scenario.revenue.currency"),
    )
    yield Row(
        "more than a hundred years",
        changed(scenario, scenario__years=101),
        *(QUARANTINED, "TOO_MANY", "scenario.years"),
    )


def json_alone() -> Iterator[Row]:
    """What only JSON can say."""

    def row(
        name: str,
        given: Any,
        disposition: str,
        code: str = "",
        at: str = "",
        ways: tuple[str, ...] = JSON_WAYS,
    ) -> Row:
        return Row(name, given, disposition, code, at, ways)

    yield row("a whole number as text", changed(PLAIN, interaction__optionsPresented="3"), RECORDED)
    yield row(
        "a whole number with a point", changed(PLAIN, interaction__optionsPresented=3.0), RECORDED
    )
    yield row("null for what is not set", changed(PLAIN, staff=None), RECORDED)
    snake = {"event_id": "", "occurred_at": OCCURRED_AT, "touchpoint": "a", "interaction": {}}
    yield row("names of the protos", snake, RECORDED)
    for key in ("touchpiont", "__proto__", "constructor", "", "event id", "a" * 1000):
        shown = key if len(key) <= 80 else key[:79] + "…"
        yield row(f"the key {key[:12]!r}", PLAIN | {key: {}}, REJECTED, "UNKNOWN_FIELD", shown)
    yield row(
        "an unknown key inside", answer(scale="5"), REJECTED, "UNKNOWN_FIELD", f"{SIGNAL}.scale"
    )
    yield row(
        "a hundred thousand keys",
        json.dumps(PLAIN)[:-1] + "".join(f',"k{n}":0' for n in range(100_000)) + "}",
        *(REJECTED, "TOO_LARGE", ""),
    )
    text = json.dumps(PLAIN)
    twice = {
        "a key twice": (text[:-1] + ',"staff":"a","staff":"b"}', "staff"),
        "a key under both names": (
            text[:-1] + ',"correlationId":"a","correlation_id":"a"}',
            "correlation_id",
        ),
        "two bodies": (text[:-1] + ',"goodwill":{"kind":"voucher"}}', "goodwill"),
        "an attribute twice": (text[:-1] + ',"attributes":{"a":"1","a":"2"}}', "attributes"),
    }
    for name, (doubled, at) in twice.items():
        yield row(name, doubled, REJECTED, "DUPLICATE_KEY", at)
    types: dict[str, tuple[Any, str]] = {
        "touchpoint": (7, "touchpoint"),
        "staff": (True, "staff"),
        "place": ("here", "place"),
        "attributes": (["a"], "attributes"),
        "attributes__a": (1, "attributes[a]"),
        "personal": ([], "personal"),
        "occurredAt": (1_785_752_130, "occurred_at"),
        "interaction__duration": (125, "interaction.duration"),
        "interaction": ([], "interaction"),
        "interaction__stage": (True, "interaction.stage"),
        "interaction__optionsPresented": (True, "interaction.options_presented"),
        "customer": ({}, "customer"),
    }
    for path, (value, at) in types.items():
        yield row(
            f"{path} of another type",
            changed(PLAIN, **{path: value}),
            QUARANTINED,
            "WRONG_TYPE",
            at,
        )
    yield row(
        "an event id that is a number",
        PLAIN | {"eventId": 4711},
        REJECTED,
        "WRONG_TYPE",
        "event_id",
    )
    for name, value in {
        "an object": {},
        "a text": "",
        "a number": 0,
        "a full object": {"0": {}},
    }.items():
        yield row(
            f"{name} in place of an array",
            changed(ANSWER, feedbackReceived__signals=value),
            *(QUARANTINED, "WRONG_TYPE", "feedback_received.signals"),
        )
    others = {"null": "null", "an array": "[]", "a text": '"a"', "a number": "7"}
    for kind, other in others.items():
        yield row(f"{kind} for an event", other, REJECTED, "WRONG_TYPE", "", ways=(JSON, LINES))
    times = (
        *("2026-08-03T10:15:30", "2026-08-03", "2026-02-30T10:00:00Z", "2026-08-03 10:15:30Z"),
        *("2026-08-03t10:15:30z", "2026-08-03T24:00:00Z", "2026-08-03T10:15:60Z", " now "),
        *(
            "2026-08-03T10:15:30+25:00",
            "2026-08-03T10:15:30.1234567890Z",
            "",
            "٢٠٢٦-08-03T10:15:30Z",
        ),
        *("0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"),
    )
    for time in times:
        given = changed(PLAIN, occurredAt=time)
        yield row(f"the time {time!r}", given, QUARANTINED, "INVALID_TIME", "occurred_at")
    for wait in ("12.5", "PT5M", "1_0s", "s", "5 s", "9999999999999s", "1e3s"):
        given = changed(PLAIN, interaction__wait=wait)
        yield row(f"the wait {wait!r}", given, QUARANTINED, "INVALID_DURATION", "interaction.wait")
    for channel in ("store", "CHANNEL_STORES", 99, -1):
        given = changed(PLAIN, interaction__channel=channel)
        yield row(
            f"the channel {channel!r}", given, QUARANTINED, "INVALID_NAME", "interaction.channel"
        )
    at = "interaction.options_presented"
    for number in (-1, 1.5, 2**32, "three", "1e2", 10**30):
        given = changed(PLAIN, interaction__optionsPresented=number)
        yield row(f"{str(number)[:9]} options", given, QUARANTINED, "INVALID_NUMBER", at)
    for number in ("NaN", "Infinity", "-Infinity", "1e400", "9" * 5000):
        odd = json.dumps(changed(PLAIN, interaction__optionsPresented=0)).replace(
            '"optionsPresented": 0', f'"optionsPresented": {number}'
        )
        yield row(f"the number {number[:9]}", odd, QUARANTINED, "INVALID_NUMBER", at)
    for kind, path in (("insight", "step"), ("identity", "relation"), ("front_line", "step")):
        name = {"front_line": "frontLine"}.get(kind, kind)
        given = changed(FULL[kind], **{f"{name}__{path}": "APPLIED"})
        at = f"{kind}.{path}"
        yield row(f"{at} by another name", given, QUARANTINED, "INVALID_NAME", at)
    for years in (-1, 2**32, "five"):
        given = changed(FULL["scenario"], scenario__years=years)
        yield row(f"{years} years", given, QUARANTINED, "INVALID_NUMBER", "scenario.years")
    for name, value, at in (
        ("scenario__lossPercent", 15, "scenario.loss_percent"),
        ("scenario__name", 15, "scenario.name"),
    ):
        given = changed(FULL["scenario"], **{name: value})
        yield row(f"{at} as a number", given, QUARANTINED, "WRONG_TYPE", at)
    kept = changed(FULL["product_follow_up"], productFollowUp__kept="yes")
    yield row("kept in a word", kept, QUARANTINED, "WRONG_TYPE", "product_follow_up.kept")
    merged = changed(FULL["correction"], correction={"identity": {"sameAs": "card 4711"}})
    yield row(
        "a correction of an identity", merged, REJECTED, "UNKNOWN_FIELD", "correction.identity"
    )
    for reach in (2**64, -1):
        given = changed(FULL["public_post"], publicPost__reach=reach)
        yield row(f"a reach of {reach}", given, QUARANTINED, "INVALID_NUMBER", "public_post.reach")
    surrogate = text[:-1] + ',"staff":"\\ud83d"}'
    yield row("half a surrogate pair", surrogate, REJECTED, "INVALID_TEXT", "staff")
    deep = text[:-1] + ',"place":' + "[" * 100 + "]" * 100 + "}"
    yield row("a hundred levels", deep, REJECTED, "TOO_DEEP", "", ways=(LINES,))
    for name, line in {
        "a cut line": text[:-5],
        "two objects in a line": text + text,
        "single quotes": text.replace('"', "'"),
        "a comma too many": text[:-1] + ",}",
        "a byte order mark": "\ufeff" + text,
    }.items():
        yield row(name, line, REJECTED, "MALFORMED_JSON", "", ways=(LINES,))


def protobuf_alone() -> Iterator[Row]:
    """What only protobuf can say."""
    for row in _protobuf_alone():
        yield Row(row.name, row.given, row.disposition, row.code, row.at, PROTOBUF_WAYS)


def _protobuf_alone() -> Iterator[Row]:
    newer = varint(99 << 3) + b"\x07"
    plain = event().SerializeToString()
    yield Row("an unknown number", plain + newer, REJECTED, "UNKNOWN_FIELD", "99")
    yield Row("an unknown block", plain + block(99, b"x" * 100), REJECTED, "UNKNOWN_FIELD", "99")
    group = varint(99 << 3 | 3) + varint(1 << 3) + b"\x01" + varint(99 << 3 | 4)
    yield Row("an unknown group", plain + group, REJECTED, "UNKNOWN_FIELD", "99")
    yield Row(
        "a known number of another wire type",
        plain + varint(8 << 3) + b"\x07",
        *(REJECTED, "UNKNOWN_FIELD", "8"),
    )
    yield Row(
        "an unknown number in the body",
        plain + block(20, newer),
        REJECTED,
        "UNKNOWN_FIELD",
        "interaction.99",
    )
    yield Row(
        "an unknown number in the place",
        plain + block(7, newer),
        REJECTED,
        "UNKNOWN_FIELD",
        "place.99",
    )
    # Numbers may be packed where they are repeated, and these are not.
    of_another_type = {
        "a text for a number": (20, block(1, b"\x03"), "interaction.1"),
        "no text for a number": (20, block(10, b""), "interaction.10"),
        "a text that is no number for one": (20, block(1, b"\xff"), "interaction.1"),
        "a text for seconds": (2, block(1, b"\x05"), "occurred_at.1"),
        "a text that is no number for nanoseconds": (2, block(2, b"\xff"), "occurred_at.2"),
        "a number for a text": (7, varint(1 << 3) + b"\x01", "place.1"),
        "an attribute with a number for a key": (9, varint(1 << 3) + b"\x01", "9"),
        "an attribute of three": (9, block(1, b"a") + block(2, b"b") + block(3, b""), "9"),
    }
    for name, (number, content, at) in of_another_type.items():
        yield Row(name, plain + block(number, content), REJECTED, "UNKNOWN_FIELD", at)
    yield Row("an attribute without a value", plain + block(9, block(1, b"a")), RECORDED)
    yield Row(
        "an attribute without a key", plain + block(9, b""), QUARANTINED, "BAD_KEY", "attributes"
    )
    yield Row(
        "an attribute twice in bytes",
        plain + block(9, block(1, b"a") + block(2, b"b")) * 2,
        RECORDED,
    )
    for kind, number, at in (("insight", 2, "insight.step"), ("identity", 2, "identity.relation")):
        body = events_pb2.Event.DESCRIPTOR.fields_by_name[kind].number
        full = event_json.read(FULL[kind]).SerializeToString()
        newer = full + block(body, varint(number << 3) + varint(99))
        yield Row(f"{at} of number 99", newer, QUARANTINED, "UNKNOWN_VALUE", at)
    # Three bytes each, 300 KB: too large is said before anybody looks at what it is.
    many = plain + (varint(1000 << 3) + b"\x01") * 100_000
    yield Row("a hundred thousand unknown fields", many, REJECTED, "TOO_LARGE", "")
    few = plain + (varint(1000 << 3) + b"\x01") * 20_000
    yield Row("twenty thousand unknown fields", few, REJECTED, "UNKNOWN_FIELD", "1000")
    channel = plain + block(20, varint(2 << 3) + varint(99))
    yield Row(
        "a channel of number 99", channel, QUARANTINED, "UNKNOWN_VALUE", "interaction.channel"
    )
    negative = plain + block(20, varint(2 << 3) + b"\xff" * 9 + b"\x01")
    yield Row(
        "a channel of number -1", negative, QUARANTINED, "UNKNOWN_VALUE", "interaction.channel"
    )
    times = {
        "negative nanoseconds": (0, -1),
        "a second of nanoseconds": (0, 1_000_000_000),
        "the last second": (2**63 - 1, 0),
        "the first second": (-(2**63), 0),
    }
    for name, (seconds, nanos) in times.items():
        odd = event()
        odd.occurred_at.seconds, odd.occurred_at.nanos = seconds, nanos
        yield Row(
            f"a time with {name}", odd.SerializeToString(), QUARANTINED, "BAD_TIME", "occurred_at"
        )
    odd = event()
    odd.interaction.wait.seconds, odd.interaction.wait.nanos = 5, -5
    yield Row(
        "a duration of two signs",
        odd.SerializeToString(),
        *(QUARANTINED, "BAD_DURATION", "interaction.wait"),
    )
    # The last body counts, as protobuf has it.
    yield Row("two bodies in bytes", plain + block(29, b""), RECORDED)
    # The same field again: the last one counts.
    yield Row("a touchpoint twice", plain + block(3, b"web.shop"), RECORDED)
    overlong = plain + varint(20 << 3 | 2) + b"\x82\x00" + b"\x08\x01"
    yield Row("a length of more bytes than it needs", overlong, RECORDED)
