"""The journeys that customers make: from the first advert to the last return."""

from services.cli.simulator import retailer
from services.cli.simulator.choice import follow_up, put_before
from services.cli.simulator.feedback import ask, assess, notice, remark
from services.cli.simulator.journey import OPTIONS_MAX, Journey, Meeting
from services.cli.simulator.recovery import fail, fail_and_settle, post, settle
from services.cli.simulator.retailer import DAY_MS, HOUR_MS, MINUTE_MS, Store, Touchpoint
from touchledger.v1 import events_pb2 as pb

# How customers come to hear of an offer.
AWARENESS = (retailer.ADVERT_TV, retailer.ADVERT_NEWSLETTER, retailer.WEB_SEARCH)
AWARENESS_YOUNG, AWARENESS_OLD = (20, 25, 55), (50, 25, 25)

# Shares of the journeys, or of those that come so far.
STRANGER_SHARE = 0.3
# The quarter begins with a sale on one day, for so many of all customers: it is crowded, and all are asked.
SALE_SHARE = 0.16
IN_STORE_SALE_SHARE = 0.7
SALE_COSTS = -0.12
QUEUES_IN_SALE_SHARE = 0.4
SALE_ENDS_MS = retailer.QUARTER_START_MS + DAY_MS
MISTAKEN_SHARE = 0.02
LEAVES_SELF_CHECKOUT_SHARE = 0.22
HELP_ONLY_SHARE = 0.14
LOOKS_NO_FURTHER_SHARE = 0.10
LEAVES_UNDECIDED_SHARE = 0.14
STATES_EXPECTATION_SHARE = 0.25
ADVISED_SHARE = 0.6
FINDER_SHARE = 0.4
CLICK_AND_COLLECT_SHARE = 0.25
ABANDONS_CHECKOUT_SHARE = 0.12
LEAKS_TO_CALL_SHARE = 0.35
LATE_PARCEL_SHARE = 0.13
USES_SHARE = 0.7
BROKEN_SHARE = 0.06
FAULTY_SHARE = 0.05
ASKS_FOR_HELP_SHARE = 0.5
ASKS_ABOUT_BILL_SHARE = 0.28
WRONG_BILL_SHARE = 0.35
UNLAWFUL_DUNNING_SHARE = 0.12  # of the wrong bills
# Who was shown too many options sends back twice as often.
RETURNS_SHARE = 0.10
RETURNS_AFTER_TOO_MANY_SHARE = 0.20
LOYALTY_SHARE = 0.3
UPGRADE_SHARE = 0.12
# Above it customers talk about it unasked, and so many of them do.
DELIGHTED_ABOVE = 0.85
REMARK_SHARE = 0.04


def travel(journey: Journey) -> None:
    """One whole journey, of whatever kind."""
    if not journey.customer.known:
        journey.profile()
        journey.now_ms += MINUTE_MS
    if journey.now_ms < SALE_ENDS_MS:
        _buy_in_sale(journey)
    elif journey.chance(HELP_ONLY_SHARE):
        _seek_help(journey)
    else:
        _shop(journey)


def _buy_in_sale(journey: Journey) -> None:
    """At once, in the store or on the web. The 90 days after it are over by the end of the quarter."""
    cents = _price_cents(journey)
    if journey.chance(IN_STORE_SALE_SHARE):
        store = journey.customer.home_store
        journey.now_ms = store.open_ms(journey.now_ms)
        ask(
            journey, journey.meet(retailer.STORE_ADVICE, store=store, extra=SALE_COSTS), surely=True
        )
        sale = journey.meet(retailer.STORE_CHECKOUT, store=store, cents=cents, extra=SALE_COSTS)
    else:
        sale = journey.meet(retailer.WEB_CHECKOUT, cents=cents, extra=SALE_COSTS)
    ask(journey, sale, surely=True)
    journey.bought_ms = sale.ended_ms
    if journey.chance(QUEUES_IN_SALE_SHARE):
        fail_and_settle(journey, sale, retailer.LONG_WAIT, at_once=True)


def _shop(journey: Journey) -> None:
    young = journey.customer.generation.birth_years[0] > 1980
    if journey.chance(STRANGER_SHARE):
        journey.as_stranger("visitor")
    heard = journey.dice.choices(AWARENESS, AWARENESS_YOUNG if young else AWARENESS_OLD)[0]
    journey.meet(heard, attributes={"campaign": "summer-2026"})
    if journey.chance(LOOKS_NO_FURTHER_SHARE):
        return
    for _ in range(1 + journey.dice.randrange(2)):
        journey.after(MINUTE_MS, 2 * DAY_MS)
        page = journey.meet(retailer.WEB_PRODUCT_PAGE)
    ask(journey, page)
    if journey.chance(LEAVES_UNDECIDED_SHARE):
        return
    journey.after(HOUR_MS, 4 * DAY_MS)
    journey.recognised(retailer.WEB_PRODUCT_PAGE)
    if journey.customer.reference and journey.chance(MISTAKEN_SHARE):
        journey.mistaken(retailer.LOYALTY_PROGRAM)
    cents = _price_cents(journey)
    if journey.chance(journey.customer.generation.in_store):
        options = _buy_in_store(journey, cents)
    else:
        bought, options = _buy_on_the_web(journey, cents)
        if not bought:
            return
    _live_with_it(journey, cents, options)


def _price_cents(journey: Journey) -> int:
    """Prices end in 90 cents; small ones are commoner than large ones."""
    luck = journey.dice.random()
    return 990 + 100 * int(600 * luck * luck * luck)


# ---------------------------------------------------------------------------- choosing and buying


def _buy_in_store(journey: Journey, cents: int) -> int:
    """Gives the number of options that advice presented, 0 without advice."""
    store = journey.customer.home_store
    journey.now_ms = store.open_ms(journey.now_ms)
    options = 0
    if journey.chance(ADVISED_SHARE):
        expects = journey.chance(STATES_EXPECTATION_SHARE)
        if expects:
            journey.expect_answer(retailer.STORE_ADVICE, store)
        options = journey.dice.choices((1, 2, 3, 4, 5, 7), (12, 26, 34, 14, 9, 5))[0]
        device = f"{store.name}-tablet-{journey.dice.randrange(3) + 1}"
        advice = journey.meet(retailer.STORE_ADVICE, store=store, device=device, options=options)
        ask(journey, advice, surely=expects)
        notice(journey, advice)
        journey.advised = True
        put_before(journey, retailer.STORE_ADVICE, options)
        journey.after(MINUTE_MS, 20 * MINUTE_MS)
    itself = journey.chance(journey.customer.generation.self_checkout)
    if itself and journey.chance(LEAVES_SELF_CHECKOUT_SHARE):
        # The machine gives up on the customer, who goes to the till.
        journey.meet(
            retailer.STORE_SELF_CHECKOUT, store=store, outcome=pb.OUTCOME_ABANDONED, extra=-0.3
        )
        journey.after(2 * MINUTE_MS, 10 * MINUTE_MS)
        itself = False
    checkout = retailer.STORE_SELF_CHECKOUT if itself else retailer.STORE_CHECKOUT
    sale = journey.meet(checkout, store=store, cents=cents)
    ask(journey, sale)
    notice(journey, sale)
    assess(journey, sale)
    journey.bought_ms = sale.ended_ms
    if sale.long_wait:
        fail_and_settle(journey, sale, retailer.LONG_WAIT)
    return options


def _buy_on_the_web(journey: Journey, cents: int) -> tuple[bool, int]:
    """Whether something was bought, and the number of options that the product finder presented."""
    options = 0
    if journey.chance(FINDER_SHARE):
        options = 2 + journey.dice.randrange(5)
        ask(journey, journey.meet(retailer.APP_PRODUCT_FINDER, options=options))
        put_before(journey, retailer.APP_PRODUCT_FINDER, options)
        journey.after(MINUTE_MS, HOUR_MS)
    if journey.chance(ABANDONS_CHECKOUT_SHARE - journey.customer.generation.self_service / 2):
        journey.meet(retailer.WEB_CHECKOUT, outcome=pb.OUTCOME_ABANDONED, extra=-0.3)
        if journey.chance(LEAKS_TO_CALL_SHARE):
            _leak_to_call(journey)
        return False, options
    expects = journey.chance(STATES_EXPECTATION_SHARE / 3)
    if expects:
        journey.expect_answer(retailer.WEB_CHECKOUT)
    sale = journey.meet(retailer.WEB_CHECKOUT, cents=cents)
    ask(journey, sale, surely=expects)
    journey.bought_ms = sale.ended_ms
    if journey.chance(CLICK_AND_COLLECT_SHARE):
        _pick_up(journey)
    else:
        _deliver(journey)
    return True, options


def _deliver(journey: Journey) -> None:
    """A promised day, and a parcel that mostly keeps it."""
    sent_ms = journey.now_ms
    due_ms = sent_ms - sent_ms % DAY_MS + (2 + journey.dice.randrange(3)) * DAY_MS + 18 * HOUR_MS
    journey.expect_done_by(retailer.DELIVERY_PARCEL, due_ms, "delivery")
    late_days = 0
    if journey.chance(LATE_PARCEL_SHARE):
        late_days = 1 + journey.dice.randrange(7)
        journey.now_ms = due_ms + late_days * DAY_MS - journey.dice.randrange(8 * HOUR_MS)
    else:
        journey.now_ms = due_ms - journey.dice.randrange(30 * HOUR_MS)
    parcel = journey.meet(
        retailer.DELIVERY_PARCEL,
        took_s=(journey.now_ms - sent_ms) // 1_000,
        extra=-0.10 - 0.06 * late_days if late_days else 0.0,
        moment_of_truth=bool(late_days),
        attributes={"carrier": journey.dice.choice(("blue-van", "night-post"))},
    )
    ask(journey, parcel)
    if late_days:
        issue = retailer.LATE_PARCEL if late_days < 3 else retailer.VERY_LATE_PARCEL
        fail_and_settle(journey, parcel, issue)


def _pick_up(journey: Journey) -> None:
    store = journey.customer.home_store
    journey.expect_done_by(retailer.STORE_PICKUP, journey.now_ms + 2 * DAY_MS, "ready")
    journey.after(3 * HOUR_MS, 3 * DAY_MS)
    journey.now_ms = store.open_ms(journey.now_ms)
    ask(journey, journey.meet(retailer.STORE_PICKUP, store=store))


# ---------------------------------------------------------------------------- living with it


def _live_with_it(journey: Journey, cents: int, options: int) -> None:
    broken = False
    if journey.chance(ASKS_ABOUT_BILL_SHARE):
        journey.after(4 * DAY_MS, 20 * DAY_MS)
        _call_about_bill(journey)
    if journey.chance(USES_SHARE):
        journey.after(2 * DAY_MS, 15 * DAY_MS)
        broken = _use(journey)
    too_many = options > OPTIONS_MAX
    if journey.chance(RETURNS_AFTER_TOO_MANY_SHARE if too_many else RETURNS_SHARE):
        journey.after(DAY_MS, 10 * DAY_MS)
        _send_back(journey, cents)
    if journey.customer.reference and journey.chance(LOYALTY_SHARE):
        journey.after(DAY_MS, 8 * DAY_MS)
        _collect_points(journey)
    follow_up(journey, retailer.PRODUCT_USE, broken=broken)
    if journey.customer.memories[-1] > DELIGHTED_ABOVE and journey.chance(REMARK_SHARE):
        journey.after(HOUR_MS, DAY_MS)
        post(journey, 0.9, retailer.DELIGHTED_POSTS)


def _use(journey: Journey) -> bool:
    """Whether it broke."""
    broken, faulty = journey.chance(BROKEN_SHARE), journey.chance(FAULTY_SHARE)
    use = journey.meet(
        retailer.PRODUCT_USE,
        outcome=pb.OUTCOME_FAILED if broken else pb.OUTCOME_COMPLETED,
        extra=-0.5 if broken else -0.2 if faulty else 0.0,
        moment_of_truth=broken,
    )
    ask(journey, use)
    if broken or faulty:
        issue = retailer.BROKEN_PRODUCT if broken else retailer.PRODUCT_FAULT
        failure_id = fail(journey, use, issue)
        if journey.chance(ASKS_FOR_HELP_SHARE):
            _seek_help(journey)
        settle(journey, use, issue, failure_id)
    return broken


def _send_back(journey: Journey, cents: int) -> None:
    if journey.chance(journey.customer.generation.in_store):
        store = journey.customer.home_store
        journey.now_ms = store.open_ms(journey.now_ms)
        _give_back(journey, retailer.STORE_RETURNS, cents, store)
    elif journey.chance(0.1 - journey.customer.generation.self_service):
        journey.meet(retailer.WEB_RETURNS, outcome=pb.OUTCOME_ABANDONED, extra=-0.3)
        _leak_to_call(journey)
    else:
        _give_back(journey, retailer.WEB_RETURNS, cents, None)


def _give_back(journey: Journey, touchpoint: Touchpoint, cents: int, store: Store | None) -> None:
    meeting = journey.meet(touchpoint, store=store, outcome=pb.OUTCOME_RETURNED, cents=-cents)
    journey.given_back = True
    ask(journey, meeting)


def _collect_points(journey: Journey) -> None:
    ask(journey, journey.meet(retailer.LOYALTY_PROGRAM))
    customer = journey.customer
    if customer.status == "basic" and journey.chance(UPGRADE_SHARE):
        customer.status = "gold"
        journey.now_ms += MINUTE_MS
        journey.profile()


# ---------------------------------------------------------------------------- service


def _seek_help(journey: Journey) -> None:
    journey.after(10 * MINUTE_MS, 20 * HOUR_MS)
    if journey.chance(journey.customer.generation.chat):
        outcome = journey.dice.choices(
            (pb.OUTCOME_RESOLVED, pb.OUTCOME_TRANSFERRED, pb.OUTCOME_ABANDONED), (78, 14, 8)
        )[0]
        extra = 0.0 if outcome == pb.OUTCOME_RESOLVED else -0.25
        chat = journey.meet(retailer.CHAT_SUPPORT, outcome=outcome, extra=extra)
        ask(journey, chat)
        assess(journey, chat)
        if outcome != pb.OUTCOME_TRANSFERRED:
            return
        journey.now_ms += MINUTE_MS
    _call(journey, retailer.CALL_SUPPORT, resolved=0.82)


def _leak_to_call(journey: Journey) -> None:
    """Self-service did not serve: within a day the phone rings."""
    journey.after(5 * MINUTE_MS, 8 * HOUR_MS)
    _call(journey, retailer.CALL_SUPPORT, resolved=0.85)


def _call_about_bill(journey: Journey) -> None:
    wrong = journey.chance(WRONG_BILL_SHARE)
    # The clerks there solve it by the book, whatever the customer feels.
    call = _call(journey, retailer.CALL_BILLING, resolved=0.80, extra=-0.08 if wrong else 0.0)
    if wrong:
        dunned = journey.chance(UNLAWFUL_DUNNING_SHARE)
        issue = retailer.UNLAWFUL_DUNNING if dunned else retailer.WRONG_BILL
        fail_and_settle(journey, call, issue)


def _call(
    journey: Journey, touchpoint: Touchpoint, *, resolved: float, extra: float = 0.0
) -> Meeting:
    # Who comes at night calls within the first hour of the morning.
    opens, closes = retailer.CALL_CENTRE_HOURS_UTC
    of_day_ms = journey.now_ms % DAY_MS
    if of_day_ms < opens * HOUR_MS:
        journey.now_ms += opens * HOUR_MS - of_day_ms + of_day_ms % HOUR_MS
    elif of_day_ms >= closes * HOUR_MS:
        journey.now_ms += (24 + opens) * HOUR_MS - of_day_ms + of_day_ms % HOUR_MS
    journey.expect_within(touchpoint, retailer.CALL_WITHIN_S[touchpoint.name])
    solved = journey.chance(resolved)
    insights = [each for each in retailer.INSIGHTS if each.from_ms < journey.now_ms]
    used = None
    if touchpoint is retailer.CALL_SUPPORT and insights:
        used = journey.dice.choice(insights)
        used = used if journey.chance(retailer.INSIGHT_USED_SHARE) else None
    script = journey.dice.choice(retailer.SCRIPTS)
    call = journey.meet(
        touchpoint,
        outcome=pb.OUTCOME_RESOLVED if solved else pb.OUTCOME_FAILED,
        extra=(extra if solved else extra - 0.2) + (retailer.INSIGHT_ADDS if used else 0.0),
        script=script,
    )
    if used:
        applied = pb.Insight(
            insight_id=used.name,
            step=pb.INSIGHT_STEP_APPLIED,
            about=pb.EventReference(event_id=call.event_id),
        )
        journey.write(touchpoint, journey.now_ms, staff=call.staff, insight=applied)
    ask(journey, call)
    notice(journey, call)
    assess(journey, call)
    remarkable = script == retailer.REMARKABLE_SCRIPT
    share = retailer.REMARKABLE_REMARKED_SHARE if remarkable else retailer.REMARKED_SHARE
    remark(journey, call, share)
    if call.long_wait:
        fail_and_settle(journey, call, retailer.LONG_WAIT)
    return call
