import hashlib
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from statistics import mean
from zoneinfo import ZoneInfo

import pytest

from services.cli.simulator import STORES, TOUCHPOINTS, quarter
from services.cli.simulator.retailer import QUARTER_END_MS, QUARTER_START_MS
from services.cli.simulator.stories import SALE_ENDS_MS
from touchledger.v1 import events_pb2 as pb

DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?")
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TOUCHPOINT_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
# Of quarter(seed=1, customers=20). Changes only when the model is changed on purpose.
KNOWN_FINGERPRINT = "768e7658f80cd6c65928d97f60b738676b38ee2735af3af77d235f1f3257865c"
FINGERPRINT = """
import hashlib
from services.cli.simulator import quarter
sha = hashlib.sha256()
for event in quarter():
    sha.update(event.SerializeToString(deterministic=True))
print(sha.hexdigest())
"""

# Which system publishes, by the first part of the touchpoint.
SOURCES: dict[str, str] = {
    "store": "pos",
    "call": "call-center",
    "chat": "call-center",
    "social": "social",
    "advert": "web",
    "web": "web",
    "app": "web",
    "delivery": "web",
    "product": "web",
    "loyalty": "web",
}


def source_of(event: pb.Event) -> str:
    # Only what is known of the staff is of no touchpoint.
    return SOURCES[event.touchpoint.partition(".")[0]] if event.touchpoint else "staff"


@pytest.fixture(scope="module")
def events() -> list[pb.Event]:
    return list(quarter())


@pytest.fixture(scope="module")
def by_id(events: list[pb.Event]) -> dict[str, pb.Event]:
    return {event.event_id: event for event in events}


def fingerprint(events: Iterable[pb.Event]) -> str:
    sha = hashlib.sha256()
    for event in events:
        sha.update(event.SerializeToString(deterministic=True))
    return sha.hexdigest()


def body(event: pb.Event) -> str:
    return event.WhichOneof("body") or ""


def of(events: Iterable[pb.Event], *bodies: str) -> list[pb.Event]:
    return [event for event in events if body(event) in bodies]


def occurred_ms(event: pb.Event) -> int:
    return event.occurred_at.seconds * 1_000 + event.occurred_at.nanos // 1_000_000


def signals_of(event: pb.Event) -> list[pb.Signal]:
    """The event's signals, whatever its body, those of a correction included."""
    holder = event.correction if event.HasField("correction") else event
    signals = list(holder.feedback_received.signals)
    if holder.expectation.HasField("signal"):
        signals.append(holder.expectation.signal)
    signals += holder.assessment.signals
    if holder.front_line.HasField("pulse"):
        signals.append(holder.front_line.pulse)
    if holder.service_claim.HasField("claimed"):
        signals.append(holder.service_claim.claimed)
    if holder.public_post.HasField("sentiment"):
        signals.append(holder.public_post.sentiment)
    return signals


def satisfaction(events: Iterable[pb.Event]) -> list[float]:
    """The answers about the whole, read out of no words, from 0 (worst) to 1 (best)."""
    answers = []
    for event in of(events, "feedback_received"):
        for signal in event.feedback_received.signals:
            if signal.dimension or signal.model:
                continue
            low, high = Decimal(signal.scale_min), Decimal(signal.scale_max)
            share = float((Decimal(signal.value) - low) / (high - low))
            upwards = signal.direction == pb.DIRECTION_HIGHER_IS_BETTER
            answers.append(share if upwards else 1 - share)
    return answers


# ------------------------------------------------------------------------ repeatable


def test_same_seed_gives_the_same_bytes_in_another_process(events: list[pb.Event]) -> None:
    other = subprocess.run(
        [sys.executable, "-c", FINGERPRINT],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert fingerprint(events) == other.stdout.strip()


def test_known_seed_gives_the_same_bytes_in_every_python() -> None:
    assert fingerprint(quarter(seed=1, customers=20)) == KNOWN_FINGERPRINT


def test_other_seed_gives_other_events() -> None:
    assert fingerprint(quarter(seed=1, customers=20)) != fingerprint(quarter(seed=2, customers=20))


def test_a_quarter_has_25_000_to_35_000_events(events: list[pb.Event]) -> None:
    assert 25_000 <= len(events) <= 35_000


def test_twice_the_customers_give_twice_the_events() -> None:
    few = sum(1 for _ in quarter(customers=400))
    many = sum(1 for _ in quarter(customers=800))

    assert 1.8 < many / few < 2.2


def test_without_customers_there_is_only_what_the_company_says_of_itself() -> None:
    of_itself = {"staff_profile", "front_line", "insight", "service_claim", "scenario"}
    assert of_itself == {body(event) for event in quarter(customers=0)}


# ------------------------------------------------------------------------ the wire contract


def test_ids_are_unique(events: list[pb.Event], by_id: dict[str, pb.Event]) -> None:
    assert len(events) == len(by_id)


def test_ids_are_uuid7_with_the_time_of_the_event(events: list[pb.Event]) -> None:
    for event in events:
        assert UUID7.fullmatch(event.event_id)
        assert occurred_ms(event) == int(event.event_id.replace("-", "")[:12], 16)


def test_every_event_occurred_in_the_quarter(events: list[pb.Event]) -> None:
    assert all(QUARTER_START_MS <= occurred_ms(event) < QUARTER_END_MS for event in events)


def test_every_event_has_a_body_a_touchpoint_and_a_short_envelope(events: list[pb.Event]) -> None:
    for event in events:
        assert body(event)
        nowhere = body(event) in {"staff_profile", "front_line", "insight", "scenario"}
        assert TOUCHPOINT_NAME.fullmatch(event.touchpoint) or nowhere
        assert max(len(event.correlation_id), len(event.staff), len(event.customer)) <= 128
        assert not event.HasField("sealed_personal")
        assert event.ByteSize() <= 64 * 1024


def test_bodies_have_what_they_require(events: list[pb.Event]) -> None:
    for event in events:
        match body(event):
            case "feedback_suppressed":
                assert event.feedback_suppressed.reason in {"opt_out", "sampling", "asked_lately"}
            case "public_post":
                assert event.public_post.platform
            case "goodwill":
                assert event.goodwill.kind
            case "recognition":
                assert event.staff
                assert event.recognition.given_by
            case "customer_profile":
                profile = event.customer_profile
                unknown = profile.birth_year_from == profile.birth_year_to == 0
                assert event.customer
                assert unknown or 1900 <= profile.birth_year_from <= profile.birth_year_to <= 2100
            case "staff_profile":
                job = event.staff_profile
                assert event.staff
                assert all((job.group, job.cohort, job.job_design))
            case "expectation":
                assert event.expectation.WhichOneof("expected")


def test_every_signal_lies_within_its_scale(events: list[pb.Event]) -> None:
    signals = [signal for event in events for signal in signals_of(event)]

    for signal in signals:
        for text in (signal.value, signal.scale_min, signal.scale_max):
            assert DECIMAL.fullmatch(text)
        assert Decimal(signal.scale_min) < Decimal(signal.scale_max)
        assert Decimal(signal.scale_min) <= Decimal(signal.value) <= Decimal(signal.scale_max)
        assert signal.metric != pb.METRIC_UNSPECIFIED
        assert signal.direction != pb.DIRECTION_UNSPECIFIED
        assert bool(signal.model) == (signal.metric == pb.METRIC_SENTIMENT)
    scales = {(signal.metric, signal.scale_min, signal.scale_max) for signal in signals}
    assert scales == {
        (pb.METRIC_CSAT, "1", "5"),
        (pb.METRIC_CSAT, "0", "10"),
        (pb.METRIC_NPS, "0", "10"),
        (pb.METRIC_CES, "1", "7"),
        (pb.METRIC_CES, "1", "5"),
        (pb.METRIC_RATING, "1", "5"),
        (pb.METRIC_RATING, "1", "10"),
        (pb.METRIC_THUMBS, "0", "1"),
        (pb.METRIC_SENTIMENT, "-1", "1"),
        (pb.METRIC_COMPARISON, "-3", "3"),
        (pb.METRIC_PREMIUM, "0", "100"),
    }


def test_effort_is_asked_in_both_directions(events: list[pb.Event]) -> None:
    signals = [signal for event in events for signal in signals_of(event)]

    # CES 2.0 and CES 1.0.
    assert {("7", pb.DIRECTION_HIGHER_IS_BETTER), ("5", pb.DIRECTION_LOWER_IS_BETTER)} == {
        (signal.scale_max, signal.direction) for signal in signals if signal.metric == pb.METRIC_CES
    }


def test_words_are_read_by_more_than_one_model(events: list[pb.Event]) -> None:
    models = {signal.model for event in events for signal in signals_of(event)}

    assert {"", "mood-2.1", "street-1.4"} == models


def test_amounts_are_exact_euros_and_negative_for_returns(events: list[pb.Event]) -> None:
    paid = [e.interaction for e in of(events, "interaction") if e.interaction.HasField("amount")]

    assert paid
    for interaction in paid:
        assert re.fullmatch(r"-?[0-9]+\.[0-9]{2}", interaction.amount.amount)
        assert interaction.amount.currency == "EUR"
        went_back = interaction.outcome == pb.OUTCOME_RETURNED
        assert went_back == interaction.amount.amount.startswith("-")


def test_gln_has_a_valid_check_digit() -> None:
    for store in STORES:
        digits = [int(digit) for digit in store.gln]
        assert len(digits) == 13
        assert (sum(digits[0::2]) + 3 * sum(digits[1::2])) % 10 == 0


def test_zone_of_a_store_has_the_offset_that_the_model_uses_all_quarter(
    events: list[pb.Event],
) -> None:
    offsets = {store.name: store.utc_offset_ms for store in STORES}

    for event in events:
        if event.HasField("place"):
            local = event.occurred_at.ToDatetime(tzinfo=ZoneInfo(event.place.time_zone))
            offset = local.utcoffset()
            assert offset is not None
            assert offsets[event.place.store] == offset.total_seconds() * 1_000


def test_sale_after_midnight_is_booked_to_the_day_before(events: list[pb.Event]) -> None:
    night_sales = [
        event
        for event in of(events, "interaction")
        if event.place.device
        and event.occurred_at.ToDatetime(tzinfo=ZoneInfo(event.place.time_zone)).hour < 3
    ]

    assert night_sales
    for event in night_sales:
        local = event.occurred_at.ToDatetime(tzinfo=ZoneInfo(event.place.time_zone))
        assert event.place.business_date < local.date().isoformat()


def test_contacts_are_reserved_addresses_and_rare(events: list[pb.Event]) -> None:
    contacts = [event.personal.contact for event in events if event.personal.contact]

    assert 0 < len(contacts) < len(events) / 100
    assert all(re.fullmatch(r"reader[0-9]+@example\.(com|net)", contact) for contact in contacts)


# ------------------------------------------------------------------------ references


def test_causes_requests_and_recognised_interactions_exist(
    events: list[pb.Event], by_id: dict[str, pb.Event]
) -> None:
    for event in events:
        if event.causation_id:
            cause = by_id[event.causation_id]
            assert occurred_ms(cause) <= occurred_ms(event)
            assert cause.correlation_id == event.correlation_id
        if event.feedback_received.request_id:
            request = by_id[event.feedback_received.request_id]
            assert body(request) == "feedback_requested"
            assert source_of(request) == source_of(event)
        if event.recognition.interaction_id:
            interaction = by_id[event.recognition.interaction_id]
            assert body(interaction) == "interaction"
            assert (interaction.staff, source_of(interaction)) == (event.staff, source_of(event))


def test_amendments_point_to_events_of_their_source_some_of_which_come_later(
    events: list[pb.Event], by_id: dict[str, pb.Event]
) -> None:
    position = {event.event_id: number for number, event in enumerate(events)}
    amendments = of(events, "correction", "retraction")

    for amendment in amendments:
        assert amendment.amends.source == ""
        target = by_id[amendment.amends.event_id]
        assert source_of(target) == source_of(amendment)
        assert not target.HasField("amends")
    early = [a for a in amendments if position[a.event_id] < position[a.amends.event_id]]
    assert early
    assert len(early) < len(amendments)
    assert {"correction", "retraction"} == {body(amendment) for amendment in amendments}


def test_only_amendments_amend(events: list[pb.Event]) -> None:
    for event in events:
        assert event.HasField("amends") == (body(event) in {"correction", "retraction"})


def test_correction_carries_the_whole_event_with_another_body_of_the_same_kind(
    events: list[pb.Event], by_id: dict[str, pb.Event]
) -> None:
    for correction in of(events, "correction"):
        target = by_id[correction.amends.event_id]
        kind = correction.correction.WhichOneof("body")
        assert kind == body(target)
        assert getattr(correction.correction, kind) != getattr(target, kind)
        assert correction.correction.reason
        right = pb.Event()
        right.CopyFrom(correction)
        right.ClearField("amends")
        right.event_id = target.event_id
        getattr(right, kind).CopyFrom(getattr(target, kind))
        assert right == target


def test_events_come_in_order_but_for_offline_tills_and_corrections(
    events: list[pb.Event],
) -> None:
    latest_ms = 0
    stores_behind = set()
    for event in events:
        if event.HasField("correction"):
            continue
        if occurred_ms(event) < latest_ms:
            assert event.place.device
            stores_behind.add(event.place.store)
        else:
            latest_ms = occurred_ms(event)

    assert stores_behind == {store.name for store in STORES if store.offline_ms[1]}


# ------------------------------------------------------------------------ the whole journey


def test_all_stages_modes_outcomes_and_sources_are_present(events: list[pb.Event]) -> None:
    interactions = [event.interaction for event in of(events, "interaction")]

    assert set(pb.Stage.values()) - {0} == {i.stage for i in interactions}
    assert set(pb.ServiceMode.values()) == {i.service_mode for i in interactions}
    assert set(pb.Outcome.values()) - {0} == {i.outcome for i in interactions}
    assert set(pb.Channel.values()) - {0} == {i.channel for i in interactions}
    assert {*SOURCES.values(), "staff"} == {source_of(event) for event in events}


def test_who_did_the_work_is_said_of_what_is_asked_about_it(events: list[pb.Event]) -> None:
    modes = {touchpoint.name: touchpoint.mode for touchpoint in TOUCHPOINTS}
    seen = set()
    for event in of(events, "feedback_requested", "feedback_suppressed", "feedback_received"):
        asked = getattr(event, body(event))
        assert modes[event.touchpoint] == asked.service_mode
        seen.add((body(event), asked.service_mode))

    assert 9 == len(seen)


def test_all_bodies_are_present(events: list[pb.Event]) -> None:
    bodies = {field.name for field in pb.Event.DESCRIPTOR.oneofs_by_name["body"].fields}

    assert bodies == {body(event) for event in events}


def test_every_touchpoint_has_interactions(events: list[pb.Event]) -> None:
    met = Counter(event.touchpoint for event in of(events, "interaction"))

    assert {touchpoint.name for touchpoint in TOUCHPOINTS} == set(met)
    assert min(met.values()) >= 20


def test_some_touchpoints_are_never_asked_about(events: list[pb.Event]) -> None:
    asked = {event.touchpoint for event in of(events, "feedback_requested", "feedback_suppressed")}

    never = {touchpoint.name for touchpoint in TOUCHPOINTS} - asked
    assert never == {"advert.tv", "advert.newsletter", "web.search", "social.public"}


def test_an_expectation_precedes_its_experience(events: list[pb.Event]) -> None:
    position = {event.event_id: number for number, event in enumerate(events)}
    met: defaultdict[tuple[str, str], list[pb.Event]] = defaultdict(list)
    for event in of(events, "interaction"):
        met[event.correlation_id, event.touchpoint].append(event)
    expectations = of(events, "expectation")
    kept = 0
    seen = set()
    for expectation in expectations:
        key = (expectation.correlation_id, expectation.touchpoint)
        later = [e for e in met[key] if occurred_ms(e) > occurred_ms(expectation)]
        if key not in seen:
            assert later == met[key]
            seen.add(key)
        if later:
            kept += 1
            assert position[expectation.event_id] < min(position[e.event_id] for e in later)

    assert {e.expectation.basis for e in expectations} == set(pb.ExpectationBasis.values()) - {0}
    # The others wait for a parcel that comes after the quarter.
    assert kept > 0.95 * len(expectations)


def test_some_parcels_come_after_the_promised_day_and_most_before(events: list[pb.Event]) -> None:
    due = {
        event.correlation_id: event.expectation.due_at.seconds
        for event in of(events, "expectation")
        if event.touchpoint == "delivery.parcel"
    }
    arrivals = [e for e in of(events, "interaction") if e.touchpoint == "delivery.parcel"]
    late = [e for e in arrivals if e.occurred_at.seconds > due[e.correlation_id]]

    assert 0.05 < len(late) / len(arrivals) < 0.25


def test_some_answers_come_weeks_late_and_most_never(
    events: list[pb.Event], by_id: dict[str, pb.Event]
) -> None:
    requests = of(events, "feedback_requested")
    answers = [e for e in of(events, "feedback_received") if e.feedback_received.request_id]
    delays_ms = [
        occurred_ms(e) - occurred_ms(by_id[e.feedback_received.request_id]) for e in answers
    ]

    assert all(delay_ms > 0 for delay_ms in delays_ms)
    assert sum(delay_ms > 14 * 86_400_000 for delay_ms in delays_ms) >= 20
    assert 0.2 < len(answers) / len(requests) < 0.6


def test_some_customers_stay_anonymous_and_all_others_have_a_profile(
    events: list[pb.Event],
) -> None:
    profiled = {event.customer for event in of(events, "customer_profile")}

    strangers = {event.customer for event in of(events, "interaction")} - profiled
    # Whoever is known by a cookie alone has no card, or is not known to have one.
    assert "" in strangers
    assert all(each.startswith("visitor-") for each in strangers - {""})


def test_whoever_serves_has_a_profile_before(events: list[pb.Event]) -> None:
    position = {event.event_id: number for number, event in enumerate(events)}
    profiled = dict[str, int]()
    for event in of(events, "staff_profile"):
        profiled.setdefault(event.staff, position[event.event_id])
    for event in events:
        if event.staff:
            assert profiled[event.staff] <= position[event.event_id]


def test_some_staff_change_their_group_and_job(events: list[pb.Event]) -> None:
    jobs = defaultdict[str, list[pb.StaffProfile]](list)
    for event in of(events, "staff_profile"):
        jobs[event.staff].append(event.staff_profile)
    changed = [each for each in jobs.values() if len(each) > 1]

    assert 5 == len(changed)
    for before, after in changed:
        assert (before.group, before.job_design) != (after.group, after.job_design)
        assert before.cohort == after.cohort


def test_a_journey_has_one_failure_at_most_and_its_recovery_shares_the_correlation(
    events: list[pb.Event],
) -> None:
    failures = of(events, "failure")
    failed_at = {event.correlation_id: occurred_ms(event) for event in failures}
    assert len(failures) == len(failed_at)

    for event in of(events, "remedy", "goodwill", "recovery_closed"):
        assert failed_at[event.correlation_id] < occurred_ms(event)


def test_the_company_replies_to_posts_that_exist(events: list[pb.Event]) -> None:
    posts = [event.public_post for event in of(events, "public_post")]
    said = {post.post_id for post in posts if not post.by_company}
    replies = [post for post in posts if post.by_company]

    assert replies
    assert all(post.reply_to_post_id in said for post in replies)
    assert all(post.HasField("sentiment") for post in posts if not post.by_company)


# ------------------------------------------------------------------------ stories


def test_billing_calls_are_clearly_the_worst_touchpoint(events: list[pb.Event]) -> None:
    scores = {
        touchpoint.name: mean(satisfaction(e for e in events if e.touchpoint == touchpoint.name))
        for touchpoint in TOUCHPOINTS
        if touchpoint.questions
    }
    worst, second = sorted(scores, key=scores.__getitem__)[:2]

    assert worst == "call.billing"
    assert scores[second] - scores[worst] > 0.2


def test_one_store_has_a_bad_august_and_recovers(events: list[pb.Event]) -> None:
    def score(month: str) -> float:
        return mean(
            satisfaction(
                event
                for event in events
                if event.place.store == "cologne-arcades"
                and event.place.business_date.startswith(month)
            )
        )

    assert score("2026-08") < score("2026-07") - 0.2
    assert score("2026-08") < score("2026-09") - 0.1


def test_who_may_decide_satisfies_better_and_newcomers_less(events: list[pb.Event]) -> None:
    latest = dict[str, pb.StaffProfile]()
    of_design, of_cohort = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for event in events:
        if event.HasField("staff_profile"):
            latest[event.staff] = event.staff_profile
        # Of one touchpoint, since the others differ in much else.
        elif event.staff and event.touchpoint == "call.support":
            of_design[latest[event.staff].job_design] += satisfaction([event])
            of_cohort[latest[event.staff].cohort] += satisfaction([event])

    assert mean(of_design["may_decide"]) > mean(of_design["by_the_book"])
    assert mean(of_cohort["2026.summer"]) < mean(of_cohort["2023.spring"])


def test_goodwill_on_top_of_a_remedy_restores_more_than_the_remedy(events: list[pb.Event]) -> None:
    generous = {event.correlation_id for event in of(events, "goodwill")}
    after = [
        event
        for event in of(events, "feedback_received")
        if event.feedback_received.survey == "after-recovery-v1"
    ]
    with_gesture = satisfaction(event for event in after if event.correlation_id in generous)
    without = satisfaction(event for event in after if event.correlation_id not in generous)

    assert mean(with_gesture) > mean(without) + 0.2


def test_self_service_suits_the_young_better_than_the_old(events: list[pb.Event]) -> None:
    itself = {t.name for t in TOUCHPOINTS if t.mode == pb.SERVICE_MODE_SELF}
    born = {
        event.customer: event.customer_profile.birth_year_from
        for event in of(events, "customer_profile")
    }
    served = [e for e in of(events, "feedback_received") if e.touchpoint in itself]
    young = satisfaction(e for e in served if born.get(e.customer, 0) >= 1981)
    old = satisfaction(e for e in served if 0 < born.get(e.customer, 0) < 1965)

    assert mean(young) > mean(old) + 0.1


def test_customers_with_a_bad_journey_come_back_less_often(events: list[pb.Event]) -> None:
    journeys: defaultdict[str, list[str]] = defaultdict(list)
    for event in of(events, "interaction"):
        if event.customer and event.correlation_id not in journeys[event.customer]:
            journeys[event.customer].append(event.correlation_id)
    # Not those of the sale, which are put right at once, as it is meant to be.
    failed = {
        event.correlation_id
        for event in of(events, "failure")
        if occurred_ms(event) >= SALE_ENDS_MS
    }
    first = {customer: ids[0] for customer, ids in journeys.items()}
    again_after_failure = [
        len(journeys[c]) > 1 for c, journey in first.items() if journey in failed
    ]
    again = [len(journeys[c]) > 1 for c, journey in first.items() if journey not in failed]

    assert mean(again_after_failure) < mean(again)
