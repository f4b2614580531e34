"""The simulated retailer as plain data: its quarter, touchpoints, stores, call centre, failures and words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import lru_cache

from touchledger.v1 import events_pb2 as pb

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def _midnight_ms(month: int, day: int) -> int:
    return int(datetime(2026, month, day, tzinfo=UTC).timestamp()) * SECOND_MS


QUARTER_START_MS = _midnight_ms(7, 1)
QUARTER_END_MS = _midnight_ms(10, 1)  # the first moment that is outside


# ---------------------------------------------------------------------------- questions


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a survey, and the scale of its answer."""

    name: str
    metric: pb.Metric
    low: int
    high: int
    direction: pb.Direction = pb.DIRECTION_HIGHER_IS_BETTER
    dimension: str = ""
    # How much better or worse (-1 to 1) this dimension is felt than the whole.
    lean: float = 0.0
    # Read out of the customer's words by this model instead of asked.
    model: str = ""


CSAT = Question("satisfaction", pb.METRIC_CSAT, 1, 5)
NPS = Question("recommend", pb.METRIC_NPS, 0, 10)
EASE = Question("made-it-easy", pb.METRIC_CES, 1, 7)
# The same construct asked the other way round and on another scale, as two departments with two survey tools
# do: CES 1.0 beside 2.0.
EFFORT = Question("how-much-effort", pb.METRIC_CES, 1, 5, pb.DIRECTION_LOWER_IS_BETTER)
COMPARED = Question("compared-with-others", pb.METRIC_COMPARISON, -3, 3)
WOULD_PAY = Question("would-pay-more", pb.METRIC_PREMIUM, 0, 100)
SATISFACTION_OF_TEN = Question("satisfaction-of-ten", pb.METRIC_CSAT, 0, 10)
STARS = Question("stars", pb.METRIC_RATING, 1, 5)
USEFUL_OF_TEN = Question("useful-of-ten", pb.METRIC_RATING, 1, 10)
THUMBS = Question("helpful", pb.METRIC_THUMBS, 0, 1)
MOOD = Question("words", pb.METRIC_SENTIMENT, -1, 1, model="mood-2.1")
# What is said in public is read by another model.
PUBLIC_MOOD = Question("words", pb.METRIC_SENTIMENT, -1, 1, model="street-1.4")


def _dimension(name: str, lean: float) -> Question:
    return Question(f"satisfaction-{name}", pb.METRIC_CSAT, 1, 5, dimension=name, lean=lean)


# ---------------------------------------------------------------------------- touchpoints


@dataclass(frozen=True, slots=True)
class Touchpoint:
    """A place where customer and company meet."""

    name: str
    stage: pb.Stage
    channel: pb.Channel
    mode: pb.ServiceMode
    # What the average customer feels there, from 0 (awful) to 1 (delighted).
    quality: float
    duration_s: int = 60
    # The usual wait. Waiting longer than that costs satisfaction.
    wait_s: int = 0
    # Questions of its survey. None: nobody is ever asked there.
    questions: tuple[Question, ...] = ()
    asked_via: pb.Channel = pb.CHANNEL_EMAIL
    # Share of the customers who are asked, where no rule forbids it; the others are left out as "sampling".
    sampled: float = 0.0
    # Share of the asked who answer, before the customer's generation has its say.
    answered: float = 0.0

    @property
    def survey(self) -> str:
        return f"{self.name}-v3"


_SELF = pb.SERVICE_MODE_SELF
_ASSISTED = pb.SERVICE_MODE_ASSISTED
_ADVISED = pb.SERVICE_MODE_ADVISED

ADVERT_TV = Touchpoint(
    "advert.tv", pb.STAGE_AWARENESS, pb.CHANNEL_ADVERT, pb.SERVICE_MODE_UNSPECIFIED, 0.6, 30
)
ADVERT_NEWSLETTER = Touchpoint(
    "advert.newsletter", pb.STAGE_AWARENESS, pb.CHANNEL_EMAIL, _SELF, 0.55, 40
)
WEB_SEARCH = Touchpoint("web.search", pb.STAGE_AWARENESS, pb.CHANNEL_WEB, _SELF, 0.65, 45)
WEB_PRODUCT_PAGE = Touchpoint(
    "web.product_page", pb.STAGE_CONSIDERATION, pb.CHANNEL_WEB, _SELF, 0.70, 150,
    questions=(CSAT, USEFUL_OF_TEN), asked_via=pb.CHANNEL_WEB, sampled=0.30, answered=0.18,
)  # fmt: skip
APP_PRODUCT_FINDER = Touchpoint(
    "app.product_finder", pb.STAGE_SELECTION, pb.CHANNEL_APP, _SELF, 0.70, 200,
    questions=(THUMBS,), asked_via=pb.CHANNEL_APP, sampled=0.5, answered=0.45,
)  # fmt: skip
STORE_ADVICE = Touchpoint(
    "store.advice", pb.STAGE_SELECTION, pb.CHANNEL_STORE, _ADVISED, 0.80, 900, 240,
    questions=(CSAT, _dimension("empathy", 0.04)), sampled=0.7, answered=0.42,
)  # fmt: skip
STORE_CHECKOUT = Touchpoint(
    "store.checkout", pb.STAGE_PURCHASE, pb.CHANNEL_STORE, _ASSISTED, 0.77, 90, 150,
    questions=(CSAT, NPS, _dimension("speed", -0.05)),
    asked_via=pb.CHANNEL_KIOSK, sampled=0.8, answered=0.50,
)  # fmt: skip
STORE_SELF_CHECKOUT = Touchpoint(
    "store.self_checkout", pb.STAGE_PURCHASE, pb.CHANNEL_KIOSK, _SELF, 0.74, 110, 45,
    questions=(EASE,), asked_via=pb.CHANNEL_KIOSK, sampled=0.7, answered=0.45,
)  # fmt: skip
WEB_CHECKOUT = Touchpoint(
    "web.checkout", pb.STAGE_PURCHASE, pb.CHANNEL_WEB, _SELF, 0.75, 210,
    questions=(CSAT, EASE), asked_via=pb.CHANNEL_WEB, sampled=0.6, answered=0.30,
)  # fmt: skip
DELIVERY_PARCEL = Touchpoint(
    "delivery.parcel", pb.STAGE_DELIVERY, pb.CHANNEL_POST, _ASSISTED, 0.80, 0,
    questions=(CSAT, NPS, _dimension("brand", 0.08), _dimension("care", -0.06), COMPARED),
    sampled=0.7, answered=0.35,
)  # fmt: skip
STORE_PICKUP = Touchpoint(
    "store.pickup", pb.STAGE_DELIVERY, pb.CHANNEL_STORE, _ASSISTED, 0.78, 120, 120,
    questions=(CSAT,), sampled=0.6, answered=0.35,
)  # fmt: skip
PRODUCT_USE = Touchpoint(
    "product.use", pb.STAGE_USE, pb.CHANNEL_APP, _SELF, 0.80, 300,
    questions=(STARS,), asked_via=pb.CHANNEL_APP, sampled=0.7, answered=0.30,
)  # fmt: skip
CALL_BILLING = Touchpoint(
    "call.billing", pb.STAGE_SERVICE, pb.CHANNEL_PHONE, _ASSISTED, 0.38, 420, 300,
    # By the book: what is meant is understood, what is felt is not.
    questions=(
        CSAT, EASE, _dimension("empathy", -0.12),
        _dimension("understood", 0.25), _dimension("acknowledged", -0.12),
    ),
    asked_via=pb.CHANNEL_PHONE, sampled=0.9, answered=0.40,
)  # fmt: skip
CALL_SUPPORT = Touchpoint(
    "call.support", pb.STAGE_SERVICE, pb.CHANNEL_PHONE, _ASSISTED, 0.68, 480, 150,
    questions=(
        CSAT, NPS, _dimension("empathy", 0.08), _dimension("speed", -0.08),
        _dimension("understood", 0.02), _dimension("acknowledged", 0.0),
    ),
    asked_via=pb.CHANNEL_PHONE, sampled=0.8, answered=0.35,
)  # fmt: skip
CHAT_SUPPORT = Touchpoint(
    "chat.support", pb.STAGE_SERVICE, pb.CHANNEL_CHAT, _ASSISTED, 0.68, 540, 60,
    questions=(THUMBS, MOOD), asked_via=pb.CHANNEL_CHAT, sampled=0.9, answered=0.50,
)  # fmt: skip
WEB_RETURNS = Touchpoint(
    "web.returns", pb.STAGE_SERVICE, pb.CHANNEL_WEB, _SELF, 0.68, 240,
    questions=(EFFORT,), asked_via=pb.CHANNEL_WEB, sampled=0.9, answered=0.45,
)  # fmt: skip
STORE_RETURNS = Touchpoint(
    "store.returns", pb.STAGE_SERVICE, pb.CHANNEL_STORE, _ASSISTED, 0.72, 240, 180,
    questions=(CSAT,), sampled=0.7, answered=0.35,
)  # fmt: skip
LOYALTY_PROGRAM = Touchpoint(
    "loyalty.program", pb.STAGE_LOYALTY, pb.CHANNEL_APP, _SELF, 0.76, 90,
    questions=(
        NPS, SATISFACTION_OF_TEN, _dimension("brand", 0.08), _dimension("care", -0.06),
        COMPARED, WOULD_PAY,
    ),
    sampled=0.6, answered=0.25,
)  # fmt: skip
SOCIAL_PUBLIC = Touchpoint(
    "social.public", pb.STAGE_LOYALTY, pb.CHANNEL_SOCIAL, _ASSISTED, 0.6, 180, 3_600
)

TOUCHPOINTS: tuple[Touchpoint, ...] = (
    ADVERT_TV,
    ADVERT_NEWSLETTER,
    WEB_SEARCH,
    WEB_PRODUCT_PAGE,
    APP_PRODUCT_FINDER,
    STORE_ADVICE,
    STORE_CHECKOUT,
    STORE_SELF_CHECKOUT,
    WEB_CHECKOUT,
    DELIVERY_PARCEL,
    STORE_PICKUP,
    PRODUCT_USE,
    CALL_BILLING,
    CALL_SUPPORT,
    CHAT_SUPPORT,
    WEB_RETURNS,
    STORE_RETURNS,
    LOYALTY_PROGRAM,
    SOCIAL_PUBLIC,
)


# ---------------------------------------------------------------------------- stores and call centre


def gln(twelve_digits: str) -> str:
    """The Global Location Number with its check digit: by weights 1, 3, 1, ... a multiple of 10."""
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(twelve_digits))
    return f"{twelve_digits}{-total % 10}"


@dataclass(frozen=True, slots=True)
class Store:
    name: str
    gln: str
    time_zone: str
    # The whole quarter is summer time, so that one number is enough.
    utc_offset_ms: int
    open_hour: int
    # May pass 24: a shop in a railway station sells after midnight, and books it to the day before.
    close_hour: int
    tills: int
    staff: tuple[str, ...]
    # From when until when its tills had no line. They publish when it is back.
    offline_ms: tuple[int, int] = (0, 0)
    # From when until when half of its staff was missing: long waits, short tempers.
    bad_month_ms: tuple[int, int] = (0, 0)

    def open_ms(self, at_ms: int) -> int:
        """The first moment from at_ms on when the store is open."""
        local_ms = at_ms + self.utc_offset_ms
        midnight_ms = local_ms - local_ms % DAY_MS
        hour = (local_ms - midnight_ms) / HOUR_MS
        if hour + 24 < self.close_hour or self.open_hour <= hour < self.close_hour:
            return at_ms
        if hour >= self.close_hour:
            midnight_ms += DAY_MS
        # Within the first hour, not all at the same moment.
        return midnight_ms + self.open_hour * HOUR_MS + at_ms % HOUR_MS - self.utc_offset_ms

    def business_date(self, at_ms: int) -> str:
        return _iso_date((at_ms + self.utc_offset_ms - TRADING_DAY_ENDS_HOUR * HOUR_MS) // DAY_MS)

    def back_online_ms(self, at_ms: int) -> int:
        """When a till publishes what happened at at_ms: at once, or after the line is back, in order."""
        down_ms, up_ms = self.offline_ms
        if not down_ms <= at_ms < up_ms:
            return at_ms
        return up_ms + (at_ms - down_ms) // OFFLINE_CATCH_UP

    def understaffed(self, at_ms: int) -> bool:
        return self.bad_month_ms[0] <= at_ms < self.bad_month_ms[1]


@lru_cache(maxsize=256)
def _iso_date(days_since_1970: int) -> str:
    return date.fromordinal(date(1970, 1, 1).toordinal() + days_since_1970).isoformat()


# The trading day ends at three in the morning.
TRADING_DAY_ENDS_HOUR = 3
# A till that comes back publishes a thousand times as fast as it sold.
OFFLINE_CATCH_UP = 1_000


def _store(number: int, name: str, time_zone: str, utc_offset_hours: int, **other: object) -> Store:
    settings: dict[str, object] = {"open_hour": 9, "close_hour": 20, "tills": 4, **other}
    return Store(
        name=name,
        # 952 is the prefix that GS1 keeps for demonstrations.
        gln=gln(f"952000000{number:03d}"),
        time_zone=time_zone,
        utc_offset_ms=utc_offset_hours * HOUR_MS,
        staff=tuple(f"{name}-s{member:02d}" for member in range(1, 9)),
        **settings,  # type: ignore[arg-type]  # the fields that are not derived from the arguments above
    )


STORES: tuple[Store, ...] = (
    _store(1, "berlin-mitte", "Europe/Berlin", 2, close_hour=21, tills=6),
    _store(2, "hamburg-station", "Europe/Berlin", 2, open_hour=7, close_hour=25),
    _store(
        3, "cologne-arcades", "Europe/Berlin", 2,
        bad_month_ms=(_midnight_ms(8, 1), _midnight_ms(9, 1)),
    ),
    _store(
        4, "vienna-west", "Europe/Vienna", 2,
        offline_ms=(_midnight_ms(8, 18), _midnight_ms(8, 21)),
    ),
    _store(5, "amsterdam-south", "Europe/Amsterdam", 2),
    _store(
        6, "lisbon-riverside", "Europe/Lisbon", 1, close_hour=22,
        offline_ms=(_midnight_ms(7, 13), _midnight_ms(7, 17)),
    ),
)  # fmt: skip
# How the customers are spread over the stores, in the same order.
STORE_WEIGHTS = (22, 18, 22, 14, 12, 12)

# What an understaffed store does to a visit: waits times three, and this much less satisfaction.
UNDERSTAFFED_WAITS = 3
UNDERSTAFFED_COSTS = 0.3

AGENTS: dict[str, tuple[str, ...]] = {
    "call.billing": tuple(f"agent-b{member:02d}" for member in range(1, 7)),
    "call.support": tuple(f"agent-s{member:02d}" for member in range(1, 11)),
    "chat.support": tuple(f"agent-c{member:02d}" for member in range(1, 7)),
    "social.public": ("agent-p01", "agent-p02"),
}
# The call centre works from 6:00 to 20:00 UTC, and promises that a call waits no longer than this.
CALL_CENTRE_HOURS_UTC = (6, 20)
CALL_WITHIN_S = {"call.billing": 300, "call.support": 180}


# ---------------------------------------------------------------------------- jobs


@dataclass(frozen=True, slots=True)
class Job:
    """Where a member of staff works, with whom he or she began, and how the work is cut."""

    group: str
    cohort: str
    job_design: str


# By the book every exception goes to somebody above; who may decide has a budget to put things right at once.
BY_THE_BOOK, MAY_DECIDE = "by_the_book", "may_decide"
MAY_DECIDE_ADDS = 0.06
COHORTS = ("2023.spring", "2025.autumn", "2026.summer")
NEWCOMERS = COHORTS[-1]
NEWCOMER_COSTS = 0.05
# The stores whose staff may decide, and when teams of the call centre are given it, too.
STORES_THAT_DECIDE = ("amsterdam-south", "lisbon-riverside")
SUPPORT_TEAM_GROWS_MS = _midnight_ms(8, 17)
BILLING_PILOT_STARTS_MS = _midnight_ms(9, 1)


def _cohort(member: int, team: Sequence[str]) -> str:
    """Those with the last numbers began last: a quarter of each team are newcomers."""
    return COHORTS[0 if 2 * member < len(team) else 1 if 4 * member < 3 * len(team) else 2]


def _jobs() -> dict[str, tuple[tuple[int, Job], ...]]:
    """The jobs of each member of staff with the moment from which on they are held."""
    jobs = dict[str, tuple[tuple[int, Job], ...]]()
    for store in STORES:
        design = MAY_DECIDE if store.name in STORES_THAT_DECIDE else BY_THE_BOOK
        for member, name in enumerate(store.staff):
            job = Job(f"store.{store.name}", _cohort(member, store.staff), design)
            jobs[name] = ((QUARTER_START_MS, job),)
    for team, agents in AGENTS.items():
        for member, name in enumerate(agents):
            job = Job(team, _cohort(member, agents), BY_THE_BOOK)
            deciding = replace(job, group=f"{team}.own", job_design=MAY_DECIDE)
            if team == "call.support" and member % 2:
                jobs[name] = ((QUARTER_START_MS, deciding),)
            elif team == "call.support" and member < 4:
                jobs[name] = ((QUARTER_START_MS, job), (SUPPORT_TEAM_GROWS_MS, deciding))
            elif team == "call.billing" and member % 2:
                jobs[name] = ((QUARTER_START_MS, job), (BILLING_PILOT_STARTS_MS, deciding))
            else:
                jobs[name] = ((QUARTER_START_MS, job),)
    return jobs


JOBS = _jobs()
# Half of the staff of three stores learn to listen, in the middle of the quarter.
COURSE = "listening"
STORE_THAT_WAITS = "cologne-arcades"
TRAINED = tuple(
    staff for store in STORES if store.name != STORE_THAT_WAITS for staff in store.staff[::2]
)
TRAINED_FROM_MS = _midnight_ms(8, 14)
# 15 points in the mean: scales end at 100, and most answers are good before. With some 50 answers in each
# of the four means the standard error is 5.5, so that figure training tells it from 0 in 14 of the seeds 1
# to 20; its estimate is above 0 in all of them.
TRAINED_ADDS = 0.3


def job_of(staff: str, at_ms: int) -> Job:
    return [job for from_ms, job in JOBS[staff] if from_ms <= at_ms][-1]


def job_adds(staff: str, at_ms: int) -> float:
    """What the job of who serves, and what he or she has learnt, adds to what customers feel."""
    job = job_of(staff, at_ms)
    adds = MAY_DECIDE_ADDS if job.job_design == MAY_DECIDE else 0.0
    if staff in TRAINED and at_ms >= TRAINED_FROM_MS:
        adds += TRAINED_ADDS
    return adds - NEWCOMER_COSTS if job.cohort == NEWCOMERS else adds


@dataclass(frozen=True, slots=True)
class Insight:
    """What a support agent found out, and the others use from then on."""

    name: str
    staff: str
    from_ms: int


INSIGHTS = (
    Insight("ask-for-the-birthday", "agent-s03", _midnight_ms(7, 9) + 10 * HOUR_MS),
    Insight("say-when-you-call-back", "agent-s08", _midnight_ms(8, 4) + 14 * HOUR_MS),
)
INSIGHT_USED_SHARE = 0.3
INSIGHT_ADDS = 0.16

# Words that staff on the phone say at the start. Two of the three are wallpaper; the last one is remarked on.
SCRIPTS = ("OK", "have_a_nice_day", "will_take_care")
REMARKABLE_SCRIPT = SCRIPTS[-1]
REMARKED_SHARE, REMARKABLE_REMARKED_SHARE = 0.02, 0.14

# Service levels that are kept, by team: only where one judges by the book alone is it always green.
WITHIN_SLA_SHARE = {"call.billing": 0.985, "call.support": 0.86, "chat.support": 0.96}
WITHIN_SLA_SHARE_OF_OTHERS = 0.82
SLA_LOOKED_AT_SHARE = 0.3
QUALITY_LISTENED_SHARE = 0.08


PLATFORMS = ("mastodon", "bluesky", "x", "instagram")


# ---------------------------------------------------------------------------- failures


@dataclass(frozen=True, slots=True)
class Issue:
    """A way to fail a customer, and what puts it right."""

    code: str
    severity: pb.Severity
    remedy: pb.RemedyKind
    cost_cents: int
    words: tuple[str, ...]


LATE_PARCEL = Issue(
    "parcel_late", pb.SEVERITY_MINOR, pb.REMEDY_KIND_APOLOGY, 0,
    ("The parcel came days after the promised date.", "Where is my parcel? Nobody could say."),
)  # fmt: skip
VERY_LATE_PARCEL = Issue(
    "parcel_late", pb.SEVERITY_MAJOR, pb.REMEDY_KIND_REFUND, 690,
    ("The present came after the birthday.", "Das Paket kam fast eine Woche zu spät."),
)  # fmt: skip
WRONG_BILL = Issue(
    "wrong_bill", pb.SEVERITY_MAJOR, pb.REMEDY_KIND_REFUND, 2_490,
    ("I was charged twice and had to call three times.", "The bill shows an item I sent back."),
)  # fmt: skip
UNLAWFUL_DUNNING = Issue(
    "wrong_dunning", pb.SEVERITY_CRITICAL, pb.REMEDY_KIND_REFUND, 4_990,
    ("A debt collector for a bill that I had paid!", "You threatened me over your own mistake."),
)  # fmt: skip
BROKEN_PRODUCT = Issue(
    "product_broken", pb.SEVERITY_MAJOR, pb.REMEDY_KIND_EXCHANGE, 6_900,
    ("It broke after two weeks.", "Nach zehn Tagen defekt, ärgerlich."),
)  # fmt: skip
PRODUCT_FAULT = Issue(
    "product_fault", pb.SEVERITY_MINOR, pb.REMEDY_KIND_REPAIR, 1_900,
    ("The lid does not close properly.", "It works, but the app loses the connection."),
)  # fmt: skip
LONG_WAIT = Issue(
    "long_wait", pb.SEVERITY_MINOR, pb.REMEDY_KIND_APOLOGY, 0,
    ("Half an hour in the queue.", "One till open and twenty people waiting."),
)  # fmt: skip

GOODWILL = (
    ("voucher", 1_500),
    ("handwritten_note", 300),
    ("free_delivery", 490),
    ("flowers", 2_000),
)

# Why customers came in the end: the same issue, and for each of them another reason.
REASONS: dict[str, tuple[str, ...]] = {
    "parcel_late": ("present", "travelling", "waited_at_home", "second_time"),
    "wrong_bill": ("charged_twice", "returned_item", "unreadable"),
    "wrong_dunning": ("had_paid", "wrong_person"),
    "product_broken": ("needed_today", "gift", "second_one"),
    "product_fault": ("gift", "needed_today"),
    "long_wait": ("with_children", "lunch_break"),
}

# ---------------------------------------------------------------------------- words

COMPLAINTS = (
    "I expected more.",
    "Nobody felt responsible.",
    "Passed from one to the next, and nothing happened.",
    "The answer was correct and the tone was cold.",
    "Leider sehr enttäuschend.",
)
COMMENTS = (
    "It was fine.",
    "Nothing special, it did its job.",
    "Could be quicker.",
    "Alles in Ordnung.",
    "The explanation could be clearer.",
)
COMPLIMENTS = (
    "I felt taken care of.",
    "Quick, friendly and honest, thank you!",
    "She took the time to understand what I need.",
    "Sehr freundlich, danke für die Hilfe.",
    "Better than I expected.",
)
DELIGHTED_POSTS = (
    "They made a mistake, and made up for it beautifully.",
    "This is how service should be.",
    "A handwritten note in the parcel. A handwritten note!",
)
ANGRY_POSTS = (
    "Never again.",
    "Two weeks, four calls, no solution.",
    "Is anybody at home over there?",
)
REPLY_POSTS = (
    "We are sorry. Please send us a message, we will take care of it.",
    "Thank you for telling us. We have sent you a message.",
)
