"""A journey: its clock, the meetings on it with what was felt, and what was expected before."""

from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration

from services.cli.simulator import retailer
from services.cli.simulator.customers import Customer
from services.cli.simulator.diary import Diary, hundredths, money, timestamp
from services.cli.simulator.retailer import (
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    Question,
    Store,
    Touchpoint,
)
from touchledger.v1 import events_pb2 as pb

# The spread of what different people feel at the same touchpoint: the sum of three dice, times this.
MOOD_SPREAD = 0.4
# Each further usual wait costs this much satisfaction, but not more than the maximum.
WAITING_COSTS = 0.05
WAITING_COSTS_MAX = 0.25
# Waiting more than this many times the usual wait is a failure of its own.
LONG_WAIT_TIMES = 5
# This share of the meetings falls into a rush, with three times the wait.
RUSH_SHARE = 0.04
RUSH_WAITS = 3
# What people say they would pay more, in percent, from the discontented to the delighted.
WOULD_PAY_MORE = (0, 0, 5, 10, 15, 20, 25)
# More options than a person can weigh.
OPTIONS_MAX = 3
TOO_MANY_OPTIONS_COST = 0.18


@dataclass(frozen=True, slots=True)
class Meeting:
    """An interaction, and what the customer felt, from 0 (awful) to 1 (delighted)."""

    touchpoint: Touchpoint
    event_id: str
    ended_ms: int
    felt: float
    store: Store | None
    staff: str
    long_wait: bool


class Journey:
    """One customer's way through the touchpoints. now_ms only moves on; cause is the event that led here."""

    def __init__(self, diary: Diary, customer: Customer, now_ms: int) -> None:
        self.diary = diary
        self.dice = diary.dice
        self.customer = customer
        self.now_ms = now_ms
        self.correlation = f"journey-{customer.number}-{now_ms:x}"
        self.cause = ""
        # As whom the customer is known just now, by the source that publishes.
        self.reference = customer.reference
        # What was bought, when, how many options it was chosen from, and what became of it.
        self.item = ""
        self.bought_ms = 0
        self.advised_options = 0
        self.advised = False
        self.given_back = False
        # correlation_id must tell one recovery from the next, so a journey has one failure at most.
        self.failed = False
        customer.memories.clear()

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def after(self, shortest_ms: int, longest_ms: int) -> None:
        """Lets time pass; short times are likelier than long ones."""
        luck = self.dice.random()
        self.now_ms += shortest_ms + int(luck * luck * (longest_ms - shortest_ms))

    def write(self, touchpoint: Touchpoint, at_ms: int, **fields: Any) -> str:
        """Writes an event of this journey (see Diary.write) and gives its id."""
        return self.diary.write(
            at_ms=at_ms,
            touchpoint=touchpoint,
            customer=self.reference,
            correlation=self.correlation,
            **fields,
        ).event_id

    def profile(self) -> None:
        """What the retailer knows of the customer: published when first known, and when it changes."""
        customer = self.customer
        if not customer.reference:
            return
        customer.known = True
        first, last = customer.generation.birth_years if customer.age_known else (0, 0)
        profile = pb.CustomerProfile(
            birth_year_from=first,
            birth_year_to=last,
            segments={"status": customer.status, "kind": customer.kind},
        )
        self.write(retailer.LOYALTY_PROGRAM, self.now_ms, customer_profile=profile)

    # ------------------------------------------------------------------------ identity

    def as_stranger(self, kind: str) -> None:
        """From now on the source knows the customer by another reference, such as a cookie."""
        if self.customer.reference:
            self.reference = f"{kind}-{self.customer.number}-{self.now_ms:x}"

    def recognised(self, touchpoint: Touchpoint) -> None:
        """Whoever the source knew by another reference turns out to hold a card."""
        stranger, self.reference = self.reference, self.customer.reference
        if stranger != self.reference:
            self._say_identity(touchpoint, stranger, pb.IDENTITY_RELATION_SAME)

    def mistaken(self, touchpoint: Touchpoint) -> None:
        """A neighbour's card is taken for this customer's, until somebody sees the mistake."""
        neighbour = f"neighbour-of-{self.customer.number}"
        self._say_identity(touchpoint, neighbour, pb.IDENTITY_RELATION_SAME)
        self.now_ms += HOUR_MS
        self._say_identity(touchpoint, neighbour, pb.IDENTITY_RELATION_DIFFERENT)

    def _say_identity(
        self, touchpoint: Touchpoint, same_as: str, relation: pb.IdentityRelation
    ) -> None:
        said = pb.Identity(same_as=same_as, relation=relation)
        self.write(touchpoint, self.now_ms, identity=said)
        self.now_ms += SECOND_MS

    # ------------------------------------------------------------------------ meetings

    def meet(
        self,
        touchpoint: Touchpoint,
        *,
        store: Store | None = None,
        device: str = "",
        outcome: pb.Outcome = pb.OUTCOME_COMPLETED,
        cents: int | None = None,
        options: int | None = None,
        # Felt on top of what is usual there.
        extra: float = 0.0,
        # For what has taken its time already when it is met, such as a parcel.
        took_s: int | None = None,
        attributes: dict[str, str] | None = None,
        script: str = "",
        moment_of_truth: bool = False,
    ) -> Meeting:
        """Customer and company meet now; afterwards, now is the end of it."""
        wait_s, waits = self._wait(touchpoint, store)
        self.now_ms += wait_s * SECOND_MS
        began_ms = self.now_ms
        if took_s is None:
            took_s = int(touchpoint.duration_s * (0.4 + 1.2 * self.dice.random()))
            self.now_ms += took_s * SECOND_MS
        interaction = pb.Interaction(
            stage=touchpoint.stage,
            channel=touchpoint.channel,
            service_mode=touchpoint.mode,
            outcome=outcome,
            duration=Duration(seconds=took_s),
            wait=Duration(seconds=wait_s) if touchpoint.wait_s else None,
            amount=None if cents is None else money(cents),
            options_presented=options,
            script=script,
            moment_of_truth=moment_of_truth,
        )
        if store is not None and not device:
            device = f"{store.name}-till-{self.dice.randrange(store.tills) + 1}"
        staff = self._staff(touchpoint, store)
        event_id = self.write(
            touchpoint,
            began_ms,
            cause=self.cause,
            store=store,
            device=device,
            staff=staff,
            attributes=attributes,
            # Mistakes are noticed where people book and where money moves.
            amendable=cents is not None or bool(staff),
            interaction=interaction,
        )
        extra -= min(WAITING_COSTS_MAX, WAITING_COSTS * max(0.0, waits - 1.0))
        if options is not None and options > OPTIONS_MAX:
            extra -= TOO_MANY_OPTIONS_COST
        felt = self._felt(touchpoint, store, staff, began_ms, extra)
        self.customer.memories.append(felt)
        self.cause = event_id
        long_wait = waits > LONG_WAIT_TIMES
        return Meeting(touchpoint, event_id, self.now_ms, felt, store, staff, long_wait)

    def _wait(self, touchpoint: Touchpoint, store: Store | None) -> tuple[int, float]:
        """How long the customer waits, in seconds and in usual waits."""
        if not touchpoint.wait_s:
            return 0, 0.0
        luck = self.dice.random()
        waits = 3.0 * luck * luck
        if store is not None and store.understaffed(self.now_ms):
            waits *= retailer.UNDERSTAFFED_WAITS
        elif self.chance(RUSH_SHARE):
            waits *= RUSH_WAITS
        return 1 + int(touchpoint.wait_s * waits), waits

    def _felt(
        self, touchpoint: Touchpoint, store: Store | None, staff: str, at_ms: int, extra: float
    ) -> float:
        felt = touchpoint.quality + extra
        if staff:
            felt += retailer.job_adds(staff, at_ms)
        if touchpoint.mode == pb.SERVICE_MODE_SELF:
            felt += self.customer.generation.self_service
        elif touchpoint.mode == pb.SERVICE_MODE_ADVISED:
            felt += self.customer.generation.advice
        if store is not None and store.understaffed(at_ms):
            felt -= retailer.UNDERSTAFFED_COSTS
        return self.mood(felt)

    def mood(self, usual: float) -> float:
        """What this customer feels today where the average customer feels the usual."""
        dice = self.dice
        luck = dice.random() + dice.random() + dice.random() - 1.5
        return min(1.0, max(0.0, usual + self.customer.disposition + luck * MOOD_SPREAD))

    def _staff(self, touchpoint: Touchpoint, store: Store | None) -> str:
        if touchpoint.mode == pb.SERVICE_MODE_SELF:
            return ""
        if store is not None:
            return self.dice.choice(store.staff)
        agents = retailer.AGENTS.get(touchpoint.name)
        return self.dice.choice(agents) if agents else ""

    # ------------------------------------------------------------------------ expectations

    def expect_done_by(self, touchpoint: Touchpoint, due_ms: int, dimension: str) -> None:
        """The company promises, now."""
        expectation = pb.Expectation(
            basis=pb.EXPECTATION_BASIS_PROMISE, dimension=dimension, due_at=timestamp(due_ms)
        )
        self.write(touchpoint, self.now_ms, cause=self.cause, expectation=expectation)
        self.now_ms += MINUTE_MS

    def expect_within(self, touchpoint: Touchpoint, within_s: int) -> None:
        """The service level that runs from now on."""
        expectation = pb.Expectation(
            basis=pb.EXPECTATION_BASIS_SLA, dimension="speed", within=Duration(seconds=within_s)
        )
        self.write(touchpoint, self.now_ms, cause=self.cause, expectation=expectation)
        self.now_ms += SECOND_MS

    def expect_answer(self, touchpoint: Touchpoint, store: Store | None = None) -> None:
        """The customer says what he expects, on the scale of the later question. Older ones expect more."""
        scales = [asked for asked in touchpoint.questions if asked.metric == pb.METRIC_CSAT]
        question = self.dice.choice(scales)
        expectation = pb.Expectation(
            basis=pb.EXPECTATION_BASIS_SURVEY,
            dimension=question.dimension,
            signal=signal(question, self.mood(0.75 + self.customer.generation.advice)),
        )
        self.write(touchpoint, self.now_ms, cause=self.cause, store=store, expectation=expectation)
        self.after(5 * MINUTE_MS, 30 * MINUTE_MS)


def signal(question: Question, felt: float) -> pb.Signal:
    """What a customer who feels so answers on the question's scale."""
    felt = min(1.0, max(0.0, felt))
    if question.metric == pb.METRIC_SENTIMENT:
        value = hundredths(int(felt * 200) - 100)
    elif question.metric == pb.METRIC_PREMIUM:
        value = str(WOULD_PAY_MORE[min(len(WOULD_PAY_MORE) - 1, int(felt * len(WOULD_PAY_MORE)))])
    else:
        steps = question.high - question.low
        step = min(steps, int(felt * (steps + 1)))
        upwards = question.direction == pb.DIRECTION_HIGHER_IS_BETTER
        value = str(question.low + step if upwards else question.high - step)
    return pb.Signal(
        metric=question.metric,
        value=value,
        scale_min=str(question.low),
        scale_max=str(question.high),
        direction=question.direction,
        dimension=question.dimension,
        question=question.name,
        model=question.model,
    )
