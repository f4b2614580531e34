"""Who is asked, who answers, when and in which words; and who is recognised for it."""

from typing import Any

from services.cli.simulator import retailer
from services.cli.simulator.journey import Journey, Meeting, signal
from services.cli.simulator.retailer import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Question
from touchledger.v1 import events_pb2 as pb

# Nobody is asked twice within this time, save about an expectation that he stated or about a recovery.
QUIET_MS = 2 * DAY_MS
# Most answers come within minutes or hours, all but the very late ones within three days.
ANSWERS_WITHIN_MS = 3 * DAY_MS
# This share of the answers lay around for two to six weeks.
VERY_LATE_SHARE = 0.06
VERY_LATE_MS = (14 * DAY_MS, 28 * DAY_MS)

# Shares of the answers that carry words, of those with words that say how to reach the customer, and of the
# questions about a dimension that are not skipped.
COMMENT_SHARE = 0.30
CONTACT_SHARE = 0.04
DIMENSION_SHARE = 0.6
# Below it customers complain, above it they praise.
COMPLAINS_BELOW = 0.35
PRAISES_ABOVE = 0.80

KNOWS_ABOUT_SHARE = 0.7
# Shares of the compliments passed on to the person meant, and of the good meetings that colleagues notice.
COMPLIMENT_PASSED_ON_SHARE = 0.6
NOTICED_SHARE = 0.02

HEARD = ("understood", "acknowledged")
AFTER_RECOVERY_SURVEY = "after-recovery-v1"
AFTER_RECOVERY_ANSWERED = 0.55


def ask(journey: Journey, meeting: Meeting, *, surely: bool = False) -> None:
    """Asks about a meeting, or says why not. surely: a stated expectation waits for its answer."""
    touchpoint = meeting.touchpoint
    if not touchpoint.questions:
        return
    at_ms = meeting.ended_ms + _soon(journey, 20 * MINUTE_MS)
    reason = _reason_not_to_ask(journey, meeting, at_ms, surely)
    if reason:
        suppressed = pb.FeedbackSuppressed(
            stage=touchpoint.stage,
            channel=touchpoint.channel,
            reason=reason,
            survey=touchpoint.survey,
            service_mode=touchpoint.mode,
        )
        journey.write(
            touchpoint,
            at_ms,
            cause=meeting.event_id,
            store=meeting.store,
            staff=meeting.staff,
            feedback_suppressed=suppressed,
        )
        return
    request_id = _request(journey, meeting, at_ms, touchpoint.survey)
    # Those who feel strongly answer more often than those who shrug.
    eager = 0.8 + 1.6 * abs(meeting.felt - 0.5)
    if journey.chance(touchpoint.answered * journey.customer.generation.answers * eager):
        _answer(journey, meeting, request_id, at_ms, touchpoint.survey, touchpoint.questions)


def ask_after_recovery(journey: Journey, affair: Meeting) -> None:
    """Asks how the whole affair went, in a survey of its own at the touchpoint that failed."""
    if journey.customer.opted_out:
        return
    at_ms = affair.ended_ms + HOUR_MS
    request_id = _request(journey, affair, at_ms, AFTER_RECOVERY_SURVEY)
    if journey.chance(AFTER_RECOVERY_ANSWERED):
        questions = (retailer.CSAT, retailer.NPS)
        _answer(journey, affair, request_id, at_ms, AFTER_RECOVERY_SURVEY, questions)


def notice(journey: Journey, meeting: Meeting) -> None:
    """Colleagues and managers see good work too."""
    if meeting.staff and meeting.felt > 0.6 and journey.chance(NOTICED_SHARE):
        given_by = journey.dice.choice(("colleague", "manager"))
        _recognise(journey, meeting, given_by, meeting.event_id, meeting.ended_ms + 4 * HOUR_MS)


def assess(journey: Journey, meeting: Meeting) -> None:
    """The company looks at its own work: whether the service level was kept, and how staff listened."""
    if not meeting.staff:
        return
    group = retailer.job_of(meeting.staff, meeting.ended_ms).group
    if journey.chance(retailer.SLA_LOOKED_AT_SHARE):
        kept = retailer.WITHIN_SLA_SHARE.get(group, retailer.WITHIN_SLA_SHARE_OF_OTHERS)
        _assess(journey, meeting, "system", within_sla=journey.chance(kept))
    listened = [each for each in meeting.touchpoint.questions if each.dimension in HEARD]
    if listened and journey.chance(retailer.QUALITY_LISTENED_SHARE):
        # Quality hears that the words were right.
        signals = [signal(each, 0.75 + each.lean / 2) for each in listened]
        _assess(journey, meeting, "quality", signals=signals)


def remark(journey: Journey, meeting: Meeting, share: float) -> None:
    """The customer speaks of it unasked."""
    if not journey.chance(share):
        return
    touchpoint = meeting.touchpoint
    comment, kind = retailer.COMPLIMENTS[0], pb.FEEDBACK_KIND_COMPLIMENT
    if meeting.felt < COMPLAINS_BELOW:
        comment, kind = retailer.COMPLAINTS[0], pb.FEEDBACK_KIND_COMPLAINT
    said = pb.FeedbackReceived(
        stage=touchpoint.stage,
        channel=touchpoint.channel,
        kind=kind,
        answered_via=pb.CHANNEL_EMAIL,
        service_mode=touchpoint.mode,
        about=pb.EventReference(event_id=meeting.event_id),
    )
    journey.write(
        touchpoint,
        meeting.ended_ms + _soon(journey, DAY_MS),
        cause=meeting.event_id,
        store=meeting.store,
        staff=meeting.staff,
        comment=comment,
        feedback_received=said,
    )


def _assess(journey: Journey, meeting: Meeting, assessor: str, **said: Any) -> None:
    journey.write(
        meeting.touchpoint,
        meeting.ended_ms + HOUR_MS,
        cause=meeting.event_id,
        store=meeting.store,
        staff=meeting.staff,
        assessment=pb.Assessment(
            assessor=assessor, about=pb.EventReference(event_id=meeting.event_id), **said
        ),
    )


def _soon(journey: Journey, longest_ms: int) -> int:
    luck = journey.dice.random()
    return 30 * SECOND_MS + int(luck * luck * luck * longest_ms)


def _reason_not_to_ask(journey: Journey, meeting: Meeting, at_ms: int, surely: bool) -> str:
    customer = journey.customer
    if customer.opted_out:
        return "opt_out"
    if surely:
        return ""
    if customer.reference and customer.asked_ms and at_ms - customer.asked_ms < QUIET_MS:
        return "asked_lately"
    return "" if journey.chance(meeting.touchpoint.sampled) else "sampling"


def _request(journey: Journey, meeting: Meeting, at_ms: int, survey: str) -> str:
    touchpoint = meeting.touchpoint
    journey.customer.asked_ms = at_ms
    request = pb.FeedbackRequested(
        stage=touchpoint.stage,
        channel=touchpoint.channel,
        asked_via=touchpoint.asked_via,
        survey=survey,
        service_mode=touchpoint.mode,
    )
    return journey.write(
        touchpoint,
        at_ms,
        cause=meeting.event_id,
        store=meeting.store,
        staff=meeting.staff,
        feedback_requested=request,
    )


def _answer(
    journey: Journey,
    meeting: Meeting,
    request_id: str,
    asked_ms: int,
    survey: str,
    questions: tuple[Question, ...],
) -> None:
    touchpoint = meeting.touchpoint
    at_ms = asked_ms + _soon(journey, ANSWERS_WITHIN_MS)
    if journey.chance(VERY_LATE_SHARE):
        shortest_ms, spread_ms = VERY_LATE_MS
        at_ms += shortest_ms + _soon(journey, spread_ms)
    comment, kind = _words(journey, meeting.felt)
    contact = ""
    if comment and journey.chance(CONTACT_SHARE):
        contact = f"reader{journey.customer.number}@example.com"
    # Most survey tools know which interaction they ask about.
    knows = survey == touchpoint.survey and journey.chance(KNOWS_ABOUT_SHARE)
    about = pb.EventReference(event_id=meeting.event_id)
    answer = pb.FeedbackReceived(
        about=about if knows else None,
        stage=touchpoint.stage,
        channel=touchpoint.channel,
        signals=[
            signal(question, meeting.felt + question.lean)
            for question in questions
            if not question.dimension or journey.chance(DIMENSION_SHARE)
        ],
        kind=kind,
        request_id=request_id,
        answered_via=touchpoint.asked_via,
        survey=survey,
        service_mode=touchpoint.mode,
    )
    event_id = journey.write(
        touchpoint,
        at_ms,
        cause=request_id,
        store=meeting.store,
        staff=meeting.staff,
        comment=comment,
        contact=contact,
        amendable=True,
        feedback_received=answer,
    )
    praised = kind == pb.FEEDBACK_KIND_COMPLIMENT and meeting.staff
    if praised and journey.chance(COMPLIMENT_PASSED_ON_SHARE):
        _recognise(journey, meeting, "customer", event_id, at_ms + HOUR_MS)


def _words(journey: Journey, felt: float) -> tuple[str, pb.FeedbackKind]:
    """A comment and its kind. Sources classify words only: without a comment there is no kind."""
    if not journey.chance(COMMENT_SHARE):
        return "", pb.FEEDBACK_KIND_UNSPECIFIED
    if felt < COMPLAINS_BELOW:
        return journey.dice.choice(retailer.COMPLAINTS), pb.FEEDBACK_KIND_COMPLAINT
    if felt > PRAISES_ABOVE:
        return journey.dice.choice(retailer.COMPLIMENTS), pb.FEEDBACK_KIND_COMPLIMENT
    return journey.dice.choice(retailer.COMMENTS), pb.FEEDBACK_KIND_COMMENT


def _recognise(journey: Journey, meeting: Meeting, given_by: str, cause: str, at_ms: int) -> None:
    journey.write(
        meeting.touchpoint,
        at_ms,
        cause=cause,
        store=meeting.store,
        staff=meeting.staff,
        recognition=pb.Recognition(given_by=given_by, interaction_id=meeting.event_id),
    )
