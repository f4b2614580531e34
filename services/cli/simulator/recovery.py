"""How the company fails a customer, what it does about it, and what the customer says of it in public."""

from typing import Any

from services.cli.simulator import retailer
from services.cli.simulator.diary import money
from services.cli.simulator.feedback import COMPLAINS_BELOW, ask_after_recovery
from services.cli.simulator.journey import Journey, Meeting, signal
from services.cli.simulator.retailer import DAY_MS, HOUR_MS, MINUTE_MS, QUARTER_END_MS, Issue
from touchledger.v1 import events_pb2 as pb

# What is felt about the whole affair when it ends, by what the company did. The model's claim: a gesture on
# top of the remedy restores what the remedy alone does not.
FELT_AFTER_NOTHING = 0.15
FELT_AFTER_REMEDY = 0.52
FELT_AFTER_GOODWILL = 0.84
SEVERITY_COSTS = {pb.SEVERITY_MINOR: 0.0, pb.SEVERITY_MAJOR: 0.06, pb.SEVERITY_CRITICAL: 0.14}
# Shares of failures where nothing is done, of remedies with a gesture, of closings without an answer.
NOTHING_SHARE = 0.2
GOODWILL_SHARE = 0.45
NO_ANSWER_SHARE = 0.15

COMPLAINT_SHARE = 0.4
REASON_SHARE = 0.6
COMPLAINT_CONTACT_SHARE = 0.3
# Of the complaints by mail, so many are read by a model.
COMPLAINT_READ_SHARE = 0.5

ANGRY_POST_SHARE = 0.35
DELIGHTED_POST_SHARE = 0.25
POST_ANSWERED_SHARE = 0.6
# A post reaches this many people divided by luck squared: most reach hundreds, a few hundreds of thousands.
REACH = 40
REACH_LUCK_MIN = 0.0001
# In the last days of the quarter one angry post goes round the world, and is taken down two days later.
VIRAL_FROM_MS, VIRAL_TO_MS = QUARTER_END_MS - 14 * DAY_MS, QUARTER_END_MS - 3 * DAY_MS
VIRAL_REACH = 2_400_000
POST_REMOVED_SHARE = 0.12
POST_REMOVED_MS = 2 * DAY_MS


def fail_and_settle(
    journey: Journey, meeting: Meeting, issue: Issue, *, at_once: bool = False
) -> None:
    settle(journey, meeting, issue, fail(journey, meeting, issue), at_once=at_once)


def fail(journey: Journey, meeting: Meeting, issue: Issue) -> str:
    """The company fails the customer in this meeting. Gives the failure's id, "" after an earlier failure."""
    if journey.failed:
        return ""
    journey.failed = True
    touchpoint = meeting.touchpoint
    journey.now_ms += MINUTE_MS
    failure = pb.Failure(
        stage=touchpoint.stage,
        channel=touchpoint.channel,
        severity=issue.severity,
        issue_code=issue.code,
    )
    journey.cause = meeting.event_id
    failure_id = _write(journey, meeting, failure=failure)
    if journey.chance(REASON_SHARE):
        reason = journey.dice.choice(retailer.REASONS[issue.code])
        stated = pb.ReasonStated(issue_code=issue.code, reason_code=reason)
        journey.write(touchpoint, journey.now_ms, cause=failure_id, reason_stated=stated)
    if journey.chance(COMPLAINT_SHARE):
        _complain(journey, meeting, issue)
    return failure_id


def settle(
    journey: Journey, meeting: Meeting, issue: Issue, failure_id: str, *, at_once: bool = False
) -> None:
    """What the company does about a failure, if anything: within days, or at once within hours."""
    if not failure_id:
        return
    journey.cause = failure_id
    if journey.chance(NOTHING_SHARE):
        journey.customer.memories.append(FELT_AFTER_NOTHING)
        if journey.chance(ANGRY_POST_SHARE):
            journey.after(DAY_MS, 5 * DAY_MS)
            post(journey, FELT_AFTER_NOTHING, (*retailer.ANGRY_POSTS, *issue.words))
        return
    agent = meeting.staff or journey.dice.choice(retailer.AGENTS["call.support"])
    days_ms = HOUR_MS if at_once else DAY_MS
    _put_right(journey, meeting, issue, agent, days_ms)
    felt = FELT_AFTER_REMEDY
    generous = journey.chance(GOODWILL_SHARE)
    if generous:
        felt = FELT_AFTER_GOODWILL
        _give(journey, meeting, agent, days_ms)
    felt = journey.mood(felt - SEVERITY_COSTS[issue.severity])
    _close(journey, meeting, felt, days_ms)
    if generous and journey.chance(DELIGHTED_POST_SHARE):
        post(journey, 0.9, retailer.DELIGHTED_POSTS)
    elif felt < COMPLAINS_BELOW and journey.chance(ANGRY_POST_SHARE):
        post(journey, FELT_AFTER_NOTHING, retailer.ANGRY_POSTS)


def _write(journey: Journey, meeting: Meeting, **fields: Any) -> str:
    """Writes the affair's next event, at the touchpoint that failed, caused by the one before."""
    journey.cause = journey.write(
        meeting.touchpoint, journey.now_ms, cause=journey.cause, store=meeting.store, **fields
    )
    return journey.cause


def _complain(journey: Journey, meeting: Meeting, issue: Issue) -> None:
    """Feedback that nobody asked for: words, out of which a model may read the mood."""
    journey.after(10 * MINUTE_MS, 10 * HOUR_MS)
    read = journey.chance(COMPLAINT_READ_SHARE)
    complaint = pb.FeedbackReceived(
        stage=meeting.touchpoint.stage,
        channel=meeting.touchpoint.channel,
        signals=[signal(retailer.MOOD, meeting.felt / 2)] if read else [],
        kind=pb.FEEDBACK_KIND_COMPLAINT,
        answered_via=pb.CHANNEL_EMAIL,
        service_mode=meeting.touchpoint.mode,
    )
    contact = ""
    if journey.chance(COMPLAINT_CONTACT_SHARE):
        contact = f"reader{journey.customer.number}@example.net"
    words = journey.dice.choice(issue.words)
    _write(journey, meeting, comment=words, contact=contact, feedback_received=complaint)


def _put_right(journey: Journey, meeting: Meeting, issue: Issue, agent: str, days_ms: int) -> None:
    journey.after(days_ms // 12, 4 * days_ms)
    cost = money(issue.cost_cents) if issue.cost_cents else None
    _write(journey, meeting, staff=agent, remedy=pb.Remedy(kind=issue.remedy, cost=cost))


def _give(journey: Journey, meeting: Meeting, agent: str, days_ms: int) -> None:
    journey.after(10 * MINUTE_MS, days_ms)
    kind, cents = journey.dice.choice(retailer.GOODWILL)
    _write(journey, meeting, staff=agent, goodwill=pb.Goodwill(kind=kind, value=money(cents)))
    by_the_book = retailer.job_of(agent, journey.now_ms).job_design == retailer.BY_THE_BOOK
    decided = pb.FrontLine(
        step=pb.FRONT_LINE_STEP_DECISION,
        kind="goodwill",
        value=money(cents),
        approval_needed=by_the_book,
    )
    journey.diary.write(at_ms=journey.now_ms, staff=agent, front_line=decided)


def _close(journey: Journey, meeting: Meeting, felt: float, days_ms: int) -> None:
    journey.after(days_ms, 4 * days_ms)
    result = pb.RECOVERY_RESULT_ACCEPTED
    if journey.chance(NO_ANSWER_SHARE):
        result = pb.RECOVERY_RESULT_NO_ANSWER
    elif felt < COMPLAINS_BELOW:
        result = pb.RECOVERY_RESULT_REFUSED
    closed_id = _write(journey, meeting, recovery_closed=pb.RecoveryClosed(result=result))
    journey.customer.memories.append(felt)
    if result != pb.RECOVERY_RESULT_NO_ANSWER:
        affair = Meeting(
            touchpoint=meeting.touchpoint,
            event_id=closed_id,
            ended_ms=journey.now_ms,
            felt=felt,
            store=meeting.store,
            staff="",
            long_wait=False,
        )
        ask_after_recovery(journey, affair)


def post(journey: Journey, felt: float, words: tuple[str, ...]) -> None:
    """The customer speaks in public, to a few people or to very many; the company may reply."""
    dice = journey.dice
    platform = dice.choice(retailer.PLATFORMS)
    luck = dice.random()
    reach = int(REACH / (luck * luck + REACH_LUCK_MIN))
    angry = felt < COMPLAINS_BELOW
    may_go_viral = VIRAL_FROM_MS <= journey.now_ms < VIRAL_TO_MS
    if angry and may_go_viral and not journey.diary.went_viral:
        journey.diary.went_viral = True
        reach = VIRAL_REACH
    said = pb.PublicPost(
        platform=platform,
        reach=reach,
        sentiment=signal(retailer.PUBLIC_MOOD, felt + (dice.random() - 0.5) * 0.2),
        post_id=f"{platform}-{dice.getrandbits(48):012x}",
    )
    journey.cause = journey.write(
        retailer.SOCIAL_PUBLIC,
        journey.now_ms,
        cause=journey.cause,
        comment=dice.choice(words),
        public_post=said,
    )
    if angry and (reach == VIRAL_REACH or journey.chance(POST_REMOVED_SHARE)):
        journey.write(
            retailer.SOCIAL_PUBLIC,
            journey.now_ms + POST_REMOVED_MS,
            public_post_removed=pb.PublicPostRemoved(platform=platform, post_id=said.post_id),
        )
    if not journey.chance(POST_ANSWERED_SHARE):
        return
    journey.after(5 * MINUTE_MS, 10 * HOUR_MS)
    talk = journey.meet(retailer.SOCIAL_PUBLIC)
    reply = pb.PublicPost(
        platform=platform,
        reach=reach // 3,
        post_id=f"{platform}-{dice.getrandbits(48):012x}",
        reply_to_post_id=said.post_id,
        by_company=True,
    )
    journey.cause = journey.write(
        retailer.SOCIAL_PUBLIC,
        journey.now_ms,
        cause=journey.cause,
        staff=talk.staff,
        comment=dice.choice(retailer.REPLY_POSTS),
        public_post=reply,
    )
