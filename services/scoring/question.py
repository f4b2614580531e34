"""What was asked, read from a request and checked: groups, filters, names, pages. Pure.

Requests of different RPCs name their common fields alike, so one reading serves them all.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from google.protobuf.message import Message

from services.chassis.errors import Malformed
from services.scoring import derived, formulas
from touchledger.v1 import scoring_pb2 as pb

GLOB_CHARACTERS_MAX = 128
# Of one filter, and the characters of each: what a person picks from a list.
VALUES_MAX = 100
VALUE_CHARACTERS_MAX = 128
# More than six groupings at once leave hardly anything in a group.
GROUPINGS_MAX = 6
# Six keys of 128 characters, of four bytes each, in base64.
PAGE_TOKEN_CHARACTERS_MAX = 8192
# What one page of facts, events or changes holds when the question doesn't say, and at most.
PAGE_SIZE, PAGE_SIZE_MAX = 100, 1000
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# The ends of a score's interval are named so.
BOUND = re.compile("_(lo|hi)$")
# Events occur in the years 1900 to 2999. Anything beyond means the same as these, and fits any zone and date.
FIRST_MOMENT, LAST_MOMENT = datetime(1800, 1, 1, tzinfo=UTC), datetime(3100, 1, 1, tzinfo=UTC)

# What a group is called, as in schema bi.
KEYS = {
    pb.GROUP_BY_TOUCHPOINT: "touchpoint",
    pb.GROUP_BY_STAGE: "stage",
    pb.GROUP_BY_CHANNEL: "channel",
    pb.GROUP_BY_SERVICE_MODE: "service_mode",
    pb.GROUP_BY_STORE: "store",
    pb.GROUP_BY_STAFF_GROUP: "staff_group",
    pb.GROUP_BY_GENERATION: "generation",
    pb.GROUP_BY_SOURCE: "source",
    pb.GROUP_BY_DAY: "reporting_date",
    pb.GROUP_BY_WEEK: "week_start",
    pb.GROUP_BY_MONTH: "month_start",
}
PERIODS = {
    pb.PERIOD_UNSPECIFIED: "reporting_date",
    pb.PERIOD_DAY: "reporting_date",
    pb.PERIOD_WEEK: "week_start",
    pb.PERIOD_MONTH: "month_start",
}
# Filters by value: each is a repeated field of a request, and a column.
FILTERS = ("stage", "channel", "service_mode", "store", "source", "generation", "staff_group")
# All that can be asked for: of single facts, then of several facts of a customer.
SUMS = formulas.SUMS | derived.SUMS
SCORES_SQL = formulas.SCORES_SQL | derived.SCORES_SQL
# Always in an answer: no score without how many were asked and answered.
BASE = ("interactions", "asked", "suppressed", "answered")


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a range of time begins or ends: a reporting day, which facts have, or a moment, or nowhere."""

    day: date | None = None
    moment: datetime | None = None
    # The reporting day that the moment is on.
    local_day: date = date.min

    def in_zone(self, zone: ZoneInfo) -> "Bound":
        if self.moment is None:
            return self
        day = self.moment.astimezone(zone).date()
        starts = datetime.combine(day, time(), zone).astimezone(UTC) == self.moment
        return Bound(day=day) if starts else Bound(moment=self.moment, local_day=day)

    @property
    def first_day(self) -> date | None:
        """Where it begins a range."""
        return self.day if self.moment is None else self.local_day

    @property
    def last_day(self) -> date | None:
        """Where it ends one."""
        if self.moment is not None:
            return self.local_day
        return self.day and self.day - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Cell:
    """Which facts count."""

    glob: str = ""
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    occurred_from: Bound = Bound()
    occurred_before: Bound = Bound()

    def in_zone(self, name: str) -> "Cell":
        """As the tenant's days are: before this, no moment has one."""
        zone = ZoneInfo(name)
        return replace(
            self,
            occurred_from=self.occurred_from.in_zone(zone),
            occurred_before=self.occurred_before.in_zone(zone),
        )

    def anywhere(self) -> "Cell":
        """All that the tenant has in this time."""
        return Cell(occurred_from=self.occurred_from, occurred_before=self.occurred_before)


@dataclass(frozen=True, slots=True)
class Names:
    """Which sums are needed and which scores are told, in the order of the columns in schema bi."""

    sums: tuple[str, ...]
    scores: tuple[str, ...]

    @property
    def parents(self) -> tuple[str, ...]:
        """The sums over all that the tenant has."""
        return tuple(sorted({name for score in self.scores for name in PARENTS_OF[score]}))

    @property
    def formula_version(self) -> str:
        further = (f"{each.name}/{each.version}" for each in derived.of_sums(self.sums))
        return " ".join([formulas.VERSION, *further])


@dataclass(frozen=True, slots=True)
class Page:
    """Where an answer goes on, and how much it may hold. after: the last row's keys on the page before."""

    size: int
    after: tuple[str, ...] = ()
    position: int | None = None


def _words(sql: str) -> set[str]:
    return set(re.findall(r"\w+", sql))


# What each score is made of.
SUMS_OF = {
    name: tuple(each for each in SUMS if each in _words(score.sql))
    for name, score in SCORES_SQL.items()
}
PARENTS_OF = {
    name: tuple(each for each in formulas.SUMS if f"parent_{each}" in _words(score.sql))
    for name, score in SCORES_SQL.items()
}
# What rollups hold the sums of: nobody pays for a scan of facts who didn't ask for it.
EVERYTHING = Names(tuple(formulas.SUMS), tuple(formulas.SCORES_SQL))


def keys(request: pb.GetScoresRequest) -> tuple[str, ...]:
    """The columns to group by; none of them is one group."""
    if not request.groups:
        if request.group_by == pb.GROUP_BY_ALL:
            return ()
        return _keys([request.group_by or pb.GROUP_BY_TOUCHPOINT], "group_by")
    if request.group_by:
        raise Malformed("group_by or groups, not both", field="groups", got="both")
    if list(request.groups) == [pb.GROUP_BY_ALL]:
        return ()
    return _keys(request.groups, "groups")


def series_keys(request: pb.GetSeriesRequest) -> tuple[str, ...]:
    """The columns that tell series from each other, and last the period."""
    if request.period not in PERIODS:
        raise Malformed("a Period", field="period", got=str(request.period))
    apart = _keys(request.groups, "groups")
    if set(apart) & set(PERIODS.values()):
        raise Malformed("groups other than periods", field="groups", got="a period")
    return (*apart, PERIODS[request.period])


def _keys(groups: Iterable[Any], name: str) -> tuple[str, ...]:
    asked = list(groups)
    for group in asked:
        if group not in KEYS:
            raise Malformed("a GroupBy that can be combined", field=name, got=str(group))
    if len(asked) > GROUPINGS_MAX or len(set(asked)) < len(asked):
        raise Malformed(
            f"at most {GROUPINGS_MAX} different ones", field=name, got=f"{len(asked)} of them"
        )
    return tuple(KEYS[group] for group in asked)


def names(asked: Iterable[str]) -> Names:
    """What was asked for, with what it is made of and its interval; EVERYTHING when nothing was named."""
    wanted = list(asked)
    if not wanted:
        return EVERYTHING
    if len(wanted) > len(SUMS) + len(SCORES_SQL):
        raise Malformed("each name once", field="names", got=f"{len(wanted)} names")
    for name in wanted:
        if name not in SUMS and name not in SCORES_SQL:
            raise Malformed("a count, sum or score", field="names", got=repr(name[:64]))
    scores = tuple(name for name in SCORES_SQL if {name, BOUND.sub("", name)} & {*wanted})
    needed = {*BASE, *wanted, *(each for score in scores for each in SUMS_OF[score])}
    # How many are pending belongs to what is told of the others.
    needed |= {
        name
        for each in derived.of_sums(needed)
        for name, made in each.sums.items()
        if made.type == "bigint"
    }
    return Names(tuple(name for name in SUMS if name in needed), scores)


def check_single(asked: Iterable[str], field_name: str) -> None:
    """For what is told of single facts alone."""
    for name in asked:
        if name in derived.SUMS or name in derived.SCORES_SQL:
            raise Malformed(
                "a name of single facts: GetScores and GetSeries alone tell of those made of several",
                field=field_name,
                got=name,
            )


def score_name(name: str, field_name: str) -> str:
    check_single([name], field_name)
    if name not in formulas.SCORES_SQL:
        raise Malformed("the name of a score", field=field_name, got=repr(name[:64]))
    return name


def cell(request: Any) -> Cell:
    """What the request filters by. Of one without filters by value, only the time."""
    known = request.DESCRIPTOR.fields_by_name
    glob = request.touchpoint_glob if "touchpoint_glob" in known else ""
    if len(glob) > GLOB_CHARACTERS_MAX:
        raise Malformed(
            f"at most {GLOB_CHARACTERS_MAX} characters", field="touchpoint_glob", got=f"{len(glob)}"
        )
    check_text(glob, "touchpoint_glob")
    only = {
        name: _values(name, getattr(request, name))
        for name in FILTERS
        if name in known and getattr(request, name)
    }
    return Cell(glob, only, bound(request, "occurred_from"), bound(request, "occurred_before"))


def _values(name: str, given: Iterable[str]) -> tuple[str, ...]:
    values = tuple(given)
    if len(values) > VALUES_MAX or any(len(each) > VALUE_CHARACTERS_MAX for each in values):
        raise Malformed(
            f"at most {VALUES_MAX} values of at most {VALUE_CHARACTERS_MAX} characters",
            field=name,
            got=f"{len(values)}, of at most {max(map(len, values))} characters",
        )
    for value in values:
        check_text(value, name)
    return values


def check_text(text: str, name: str) -> None:
    # PostgreSQL takes no NUL in a text.
    if "\0" in text:
        raise Malformed("no NUL", field=name, got="a NUL character")


def bound(request: Any, name: str) -> Bound:
    """The moment or day that the request's oneof of this name says."""
    chosen = request.WhichOneof(name)
    if chosen is None:
        return Bound()
    if chosen.endswith("_time"):
        told = moment(request, chosen)
        return Bound(moment=min(max(told, FIRST_MOMENT), LAST_MOMENT))
    return Bound(day=bounded_day(getattr(request, chosen), chosen))


def moment(request: Any, name: str) -> datetime:
    try:
        told: datetime = getattr(request, name).ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Malformed("a moment in the years 1 to 9999", field=name, got="another") from None
    return told


def bounded_day(text: str, name: str) -> date:
    """As good as the day, and one that days can be added to."""
    return min(max(day(text, name), FIRST_MOMENT.date()), LAST_MOMENT.date())


def day(text: str, name: str) -> date:
    try:
        if not DAY.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise Malformed("YYYY-MM-DD", field=name, got=repr(text[:32])) from None


# Pages. A token says after which row to go on and as of which position, so that no page is of another state
# than the first; it belongs to one question.


def page(request: Any, *, keys: int, size: int = PAGE_SIZE, size_max: int | None = None) -> Page:
    """The page that the request asks for; of this size where it doesn't say. keys: that its token holds."""
    asked = request.page_size or size
    if size_max is not None and asked > size_max:
        raise Malformed(f"at most {size_max}", field="page_size", got=str(asked))
    if not request.page_token:
        return Page(asked)
    try:
        if len(request.page_token) > PAGE_TOKEN_CHARACTERS_MAX:
            raise ValueError
        told = json.loads(base64.b64decode(request.page_token, altchars=b"-_", validate=True))
        position, after, question = told["position"], told["after"], told["question"]
        if question != _digest(request) or len(after) != keys or "\0" in "".join(after):
            raise ValueError
        if isinstance(position, bool) or not 0 <= position < 2**63:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise Malformed(
            "next_page_token of the page before, with the same question",
            field="page_token",
            got=f"{len(request.page_token)} other characters",
        ) from None
    return Page(asked, tuple(after), position)


def count(after: Sequence[str]) -> int:
    """How much the pages before had, where a token says this rather than a row."""
    if not after:
        return 0
    if not (after[0].isdecimal() and after[0].isascii() and len(after[0]) < 10):
        raise Malformed("next_page_token of the page before", field="page_token", got="another")
    return int(after[0])


def next_page(request: Any, position: int, last: Iterable[object]) -> str:
    told = {
        "position": position,
        "after": [str(each) for each in last],
        "question": _digest(request),
    }
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def _digest(request: Message) -> str:
    """Of everything that must not change from page to page."""
    same = type(request)()
    same.CopyFrom(request)
    for name in ("page_size", "page_token", "at_least_position"):
        same.ClearField(name)
    return hashlib.sha256(same.SerializeToString(deterministic=True)).hexdigest()[:16]
