"""The SQL of scores: of any grouping and filter, as known at any position, always from the same sums.

There are three ways to the same sums of single facts, and a test holds them equal:

* Current: from the rollups, the coarsest that has the keys. A range of days is whole years, what is left of
  it in months, and in days (or weeks and days); a moment within a day scans the facts of the days around it.
* Tail: the current sums, without the facts that began after the position, with those that ended after it.
* Scan: the facts as known at the position, where the tail is longer, or profiles of customers or staff have
  changed since and are asked for.

Sums over facts that are made of several facts (derived/) are worked out from all facts as known at the
position, whatever the way of the others is. Filters say which of them count, and not what they are made of.

Statements are put together from literals of this module and of the metrics; what comes over the wire is an
argument, never text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from typing import Any

from services.scoring import derived, formulas
from services.scoring.attributes import CUSTOMERS, STAFF, WITH_ATTRIBUTES, known_at
from services.scoring.decayed import decayed as csat_decayed
from services.scoring.metric import Derived
from services.scoring.question import SCORES_SQL, SUMS, Bound, Cell, Names

DAY = timedelta(days=1)
# Between the keys of a group; no name has it.
SEPARATOR = "\x1f"
# What only the finest rollup has.
FINE = {"service_mode", "store", "staff_group", "generation", "source"}
# What a fact has by what is known of the customer or the member of staff.
ATTRIBUTES = {"staff_group", "generation"}
PERIODS = {
    "reporting_date": "reporting_date",
    "week_start": "date_trunc('week', reporting_date)::date",
    "month_start": "date_trunc('month', reporting_date)::date",
}
# Rollups and their units, from coarse to fine, by the period that is asked for; "" is none. Years keep what a
# question reads from growing with time: a touchpoint has a row for each year, not for each month.
DAYS = ("rollup_touchpoint_day", "reporting_date")
MONTHS = (("rollup_touchpoint_month", "month_start"), DAYS)
COARSE_TO_FINE: dict[str, tuple[tuple[str, str], ...]] = {
    "reporting_date": (DAYS,),
    "week_start": (("rollup_touchpoint_week", "week_start"), DAYS),
    "month_start": MONTHS,
    "": (("rollup_touchpoint_year", "year_start"), *MONTHS),
}
# A fact with its attributes as known at {position}: what WITH_ATTRIBUTES is for the present.
WITH_ATTRIBUTES_THEN = """
SELECT f.*, coalesce(c.generation, 'unspecified') AS generation,
       coalesce(s.staff_group, 'unspecified') AS staff_group
  FROM {table} AS f
  LEFT JOIN ({customers}) AS c ON c.tenant = f.tenant AND c.customer = f.customer
  LEFT JOIN ({staff}) AS s ON s.tenant = f.tenant AND s.source = f.source AND s.staff = f.staff
                          AND s.valid_from <= f.occurred_at
                          AND (s.valid_to IS NULL OR s.valid_to > f.occurred_at)
 WHERE {where}
"""


class Way(Enum):
    CURRENT = "current"
    TAIL = "tail"
    SCAN = "scan"


@dataclass(frozen=True, slots=True)
class At:
    """Whose facts, and as known when."""

    tenant: str
    position: int
    way: Way


class Arguments(list[Any]):
    """The arguments of a statement: each call adds one and gives its place in the text."""

    def __call__(self, value: object, kind: str) -> str:
        self.append(value)
        return f"${len(self)}::{kind}"


def asks_for_attributes(keys: Iterable[str], cell: Cell) -> bool:
    return bool(ATTRIBUTES & {*keys, *cell.only})


def scores(
    at: At,
    keys: Sequence[str],
    cell: Cell,
    names: Names,
    *,
    limit: int,
    after: Sequence[object] = (),
) -> tuple[str, Arguments]:
    """One row for each group: its keys, then the sums and the scores that are named. In the order of keys.

    Sums that are no counts are texts without zeros at their ends: how many there would be depends on the way.

    after: the keys of the last group before.
    """
    arguments = _arguments(at, names.sums)
    order = _order(keys)
    beyond = ""
    if after:
        values = [
            arguments(value, "date" if key in PERIODS else "text")
            for key, value in zip(keys, after, strict=True)
        ]
        beyond = f" WHERE ({order}) > ({', '.join(values)})"
    text = f"""
{_cells(at, keys, cell, names.sums, arguments, beyond=beyond, order=order, limit=limit)}
SELECT {_listed(keys, names.sums)}{_scores_of(names.scores)}
  FROM cells{_parent(at, cell, names.sums, names.parents, arguments)}
{f" ORDER BY {order}" if order else ""}"""  # noqa: S608  # see the module's first lines
    return text, arguments


def extent(at: At, keys: Sequence[str], cell: Cell, names: Names) -> tuple[str, Arguments]:
    """The first and the last period in which there is anything: the last key is the period."""
    # Of single facts, any is something.
    sums = [name for name in names.sums if name in derived.SUMS]
    arguments = _arguments(at, sums)
    period = keys[-1]
    text = f"""
{_cells(at, (period,), cell, sums, arguments)}
SELECT min({period}) AS first, max({period}) AS last FROM cells
"""  # noqa: S608  # see the module's first lines
    return text, arguments


def series(
    at: At, keys: Sequence[str], cell: Cell, names: Names, *, skip: int, limit: int
) -> tuple[str, Arguments]:
    """As scores(), of so many series after some, each with its place: the last key is the period."""
    arguments = _arguments(at, names.sums)
    apart, order = _order(keys[:-1]), _order(keys)
    told = f"place > {arguments(skip, 'bigint')} AND place <= {arguments(skip + limit, 'bigint')}"
    text = f"""
{_cells(at, keys, cell, names.sums, arguments)}
, placed AS (
  SELECT *, dense_rank() OVER ({f"ORDER BY {apart}" if apart else ""}) AS place FROM cells
)
SELECT place, {_listed(keys, names.sums)}{_scores_of(names.scores)}
  FROM placed{_parent(at, cell, names.sums, names.parents, arguments)}
 WHERE {told}
 ORDER BY {order}
"""  # noqa: S608  # see the module's first lines
    return text, arguments


def decayed(at: At, keys: Sequence[str], cell: Cell, day: date) -> tuple[str, Arguments]:
    """One row for each group in which anybody answered by the day: `grp` is its keys, joined by SEPARATOR."""
    # The first three are those of the query around it.
    arguments = Arguments([at.tenant, day, None])
    sums = ("csat_answered", "csat_sum", "csat_squares")
    parts = "\n  UNION ALL ".join(_parts(at, (*keys, "reporting_date"), cell, sums, arguments))
    separator = arguments(SEPARATOR, "text")
    tenant = arguments(at.tenant, "text")
    daily = f"""(
SELECT {tenant} AS tenant, reporting_date, concat_ws({separator}, {", ".join(keys) or "''"}) AS grp,
       {", ".join(sums)}
  FROM ({parts}) AS parts)"""  # noqa: S608  # see the module's first lines
    return csat_decayed("grp", daily), arguments


def one_cell(
    at: At, cell: Cell, sums: Sequence[str], parents: Sequence[str]
) -> tuple[str, Arguments]:
    """One row with these sums, and these over all that the tenant has; 0 where there is nothing."""
    arguments = Arguments()
    listed = ", ".join(
        [
            *(f"coalesce((SELECT {name} FROM cells), 0) AS {name}" for name in sums),  # noqa: S608  # as above
            *(f"coalesce(parent_{name}, 0) AS parent_{name}" for name in parents),
        ]
    )
    text = f"""
{_cells(at, (), cell, sums, arguments)}
SELECT {listed} FROM (SELECT) AS one{_parent(at, cell, sums, parents, arguments)}
"""  # noqa: S608  # see the module's first lines
    return text, arguments


def _arguments(at: At, sums: Sequence[str]) -> Arguments:
    """The first two are those of derived facts, where any is asked for."""
    return Arguments([at.tenant, at.position] if derived.of_sums(sums) else [])


def _order(keys: Sequence[str]) -> str:
    # The same order whatever the database's collation is.
    return ", ".join(key if key in PERIODS else f'{key} COLLATE "C"' for key in keys)


def _listed(keys: Sequence[str], sums: Sequence[str]) -> str:
    told = (
        name if SUMS[name].type == "bigint" else f"trim_scale({name})::text AS {name}"
        for name in sums
    )
    return ", ".join([*keys, *told]) or "1"


def _scores_of(scores: Sequence[str]) -> str:
    return "".join(f", {SCORES_SQL[name].sql} AS {name}" for name in scores)


def _cells(
    at: At,
    keys: Sequence[str],
    cell: Cell,
    sums: Sequence[str],
    arguments: Arguments,
    *,
    beyond: str = "",
    order: str = "",
    limit: int | None = None,
) -> str:
    added = "".join(f", sum({name})::{SUMS[name].type} AS {name}" for name in sums)
    grouped = f" GROUP BY {', '.join(keys)}" if keys else ""
    listed = ", ".join(keys) + ", " if keys else ""
    parts = _parts(at, keys, cell, sums, arguments)
    moments = ""
    if asked := derived.of_sums(sums):
        moments = f"moments AS MATERIALIZED ({derived.moments(_end(cell, arguments))}), "
        facts = Facts(at, keys, cell, sums, arguments)
        parts += [facts.derived(each) for each in asked]
    all_parts = "\n  UNION ALL ".join(parts)
    return f"""
WITH {moments}parts AS ({all_parts}
), groups AS (
  SELECT {listed}sum(facts) AS facts{added} FROM parts{grouped} HAVING sum(facts) <> 0
), cells AS (
  SELECT * FROM groups{beyond}
{f" ORDER BY {order}" if order else ""}{f" LIMIT {arguments(limit, 'bigint')}" if limit else ""}
)"""  # noqa: S608  # see the module's first lines


def _end(cell: Cell, arguments: Arguments) -> str:
    """The moment at which the range of time ends, as SQL; $1 is the tenant."""
    if cell.occurred_before.day is None:
        return arguments(cell.occurred_before.moment, "timestamptz")
    day = arguments(cell.occurred_before.day, "date")
    zone = "(SELECT reporting_zone FROM tenant WHERE tenant = $1)"
    return f"({day}::timestamp AT TIME ZONE {zone})"


def _parent(
    at: At, cell: Cell, sums: Sequence[str], parents: Sequence[str], arguments: Arguments
) -> str:
    if not parents:
        return ""
    anywhere = cell.anywhere()
    if cell == anywhere and set(parents) <= set(sums):
        # All that the tenant has is in the groups, on whatever page they are.
        parts = f"SELECT {', '.join(parents)} FROM groups"  # noqa: S608  # as above
    else:
        parts = "\n  UNION ALL ".join(_parts(at, (), anywhere, parents, arguments))
    added = ", ".join(
        f"sum({name})::{formulas.SUMS[name].type} AS parent_{name}" for name in parents
    )
    return f" CROSS JOIN (SELECT {added} FROM ({parts}) AS whole) AS parent"  # noqa: S608  # as above


def _parts(
    at: At, keys: Sequence[str], cell: Cell, sums: Sequence[str], arguments: Arguments
) -> list[str]:
    """What is added up: rows with the keys, the number of facts, and the sums."""
    if at.way is Way.SCAN:
        then = Facts(at, keys, cell, sums, arguments)
        known = known_at(arguments(at.position, "bigint"))
        return [then.part(table, known) for table in formulas.SUMMED]
    parts = _rolled_up(at, keys, cell, sums, arguments)
    if at.way is Way.TAIL:
        now = Facts(at, keys, cell, sums, arguments)
        position = arguments(at.position, "bigint")
        begun = f"f.from_position > {position} AND f.to_position IS NULL"
        ended = f"f.to_position > {position} AND f.from_position <= {position}"
        for table in formulas.SUMMED:
            parts += [now.part(table, begun, sign="-"), now.part(table, ended)]
    return parts


def _rolled_up(
    at: At, keys: Sequence[str], cell: Cell, sums: Sequence[str], arguments: Arguments
) -> list[str]:
    fine = FINE & {*keys, *cell.only}
    periods = {key for key in keys if key in PERIODS}
    rollup = _Rollup(at, keys, cell, sums, arguments)
    # Whole days [since, until); None is without end.
    since, until = _first_whole_day(cell.occurred_from), _end_of_whole_days(cell.occurred_before)
    if fine:
        parts = [rollup.part("rollup_day", "reporting_date", since, until)]
    elif len(periods) > 1:
        parts = rollup.parts((DAYS,), since, until)
    else:
        parts = rollup.parts(COARSE_TO_FINE[next(iter(periods), "")], since, until)
    days = _days_of_moments(cell)
    if days:
        facts = Facts(at, keys, cell, sums, arguments)
        for first, end in days:
            within = (
                f"f.to_position IS NULL AND f.reporting_date >= {arguments(first, 'date')}"
                f" AND f.reporting_date < {arguments(end, 'date')}"
            )
            parts += [facts.part(table, within) for table in formulas.SUMMED]
    return parts


# Where clocks were put back over midnight, facts of the day before come after the first ones of a day: so the
# days beside that of a moment are looked at as well.


def _first_whole_day(bound: Bound) -> date | None:
    return bound.day if bound.moment is None else bound.local_day + 2 * DAY


def _end_of_whole_days(bound: Bound) -> date | None:
    return bound.day if bound.moment is None else bound.local_day - DAY


def _days_of_moments(cell: Cell) -> list[tuple[date, date]]:
    """The days [first, end) in which the range begins or ends at a moment; no day is in two."""
    days = []
    taken = cell.occurred_from.day
    if cell.occurred_from.moment is not None:
        day = cell.occurred_from.local_day
        days.append((day - DAY, day + 2 * DAY))
        taken = day + 2 * DAY
    if cell.occurred_before.moment is not None:
        day = cell.occurred_before.local_day
        first = day - DAY if taken is None else max(day - DAY, taken)
        days.append((first, day + 2 * DAY))
    return days


class _Rollup:
    """Rows of rollups as parts; all of one statement share its arguments."""

    def __init__(
        self, at: At, keys: Sequence[str], cell: Cell, sums: Sequence[str], arguments: Arguments
    ) -> None:
        self._keys = keys
        self._sums = sums
        self._arguments = arguments
        self._where = [
            f"tenant = {arguments(at.tenant, 'text')}",
            *of_cell(cell, arguments, "", {*FINE, "stage", "channel"}),
        ]

    def part(self, rollup: str, unit: str, since: date | None, until: date | None) -> str:
        where = list(self._where)
        if since is not None:
            where.append(f"{unit} >= {self._arguments(since, 'date')}")
        if until is not None:
            where.append(f"{unit} < {self._arguments(until, 'date')}")
        keys = [PERIODS[key] if key in PERIODS and key != unit else key for key in self._keys]
        listed = ", ".join(
            [
                *(f"{sql} AS {key}" for sql, key in zip(keys, self._keys, strict=True)),
                "facts",
                *(name if name in formulas.SUMS else f"0 AS {name}" for name in self._sums),
            ]
        )
        return f"SELECT {listed} FROM {rollup} WHERE {' AND '.join(where)}"  # noqa: S608  # see above

    def parts(
        self, rollups: Sequence[tuple[str, str]], since: date | None, until: date | None
    ) -> list[str]:
        """Whole units from the coarsest rollup, and what is before and after them from the finer ones."""
        (rollup, unit), *finer = rollups
        if not finer:
            return [self.part(rollup, unit, since, until)]
        first = None if since is None else start_of(unit, since - DAY, ahead=True)
        end = None if until is None else start_of(unit, until)
        if first is not None and end is not None and first >= end:
            return self.parts(finer, since, until)
        parts = [self.part(rollup, unit, first, end)]
        if since != first:
            parts += self.parts(finer, since, first)
        if end != until:
            parts += self.parts(finer, end, until)
        return parts


def start_of(unit: str, day: date, *, ahead: bool = False) -> date:
    """Of the week, month or year that the day is in, or of the one after it."""
    if unit == "week_start":
        start = day - timedelta(days=day.weekday())
        return start + timedelta(days=7) if ahead else start
    if unit == "year_start":
        return date(day.year + ahead, 1, 1)
    start = day.replace(day=1)
    return (start + timedelta(days=31)).replace(day=1) if ahead else start


class Facts:
    """Facts as parts; all of one statement share its arguments."""

    def __init__(
        self, at: At, keys: Sequence[str], cell: Cell, sums: Sequence[str], arguments: Arguments
    ) -> None:
        self._keys = keys
        self._sums = sums
        tenant = arguments(at.tenant, "text")
        self.where = [
            f"f.tenant = {tenant}",
            *of_cell(cell, arguments, "f.", {*FINE, "stage", "channel"} - ATTRIBUTES),
            *in_time(cell, arguments),
        ]
        self._of_attributes = of_cell(cell, arguments, "given.", ATTRIBUTES, glob=False)
        self._source = "SELECT f.* FROM {table} AS f WHERE {where}"
        if asks_for_attributes(keys, cell):
            self._source = WITH_ATTRIBUTES
            if at.way is Way.SCAN:
                self._source = with_attributes_then(tenant, arguments(at.position, "bigint"))

    def of(self, table: str, known: str) -> str:
        """The facts of the cell."""
        source = self._source.format(table=table, where=" AND ".join([known, *self.where]))
        attributes = f" WHERE {' AND '.join(self._of_attributes)}" if self._of_attributes else ""
        return f"({source}) AS given{attributes}"

    def part(self, table: str, known: str, *, sign: str = "") -> str:
        return self._added(self.of(table, known), formulas.sums_of(table), sign)

    def derived(self, which: Derived) -> str:
        known = f"(SELECT * FROM {self.of(f'({which.sql})', 'true')}) AS known"  # noqa: S608  # see above
        own = {name: each.sql for name, each in which.sums.items()}
        return self._added(f"{known} CROSS JOIN moments", own, "")

    def _added(self, facts: str, own: Mapping[str, str], sign: str) -> str:
        keys = [PERIODS.get(key, key) for key in self._keys]
        listed = ", ".join(
            [
                *(f"{sql} AS {key}" for sql, key in zip(keys, self._keys, strict=True)),
                f"{sign}count(*) AS facts",
                *(
                    f"{sign}({own[name]}) AS {name}" if name in own else f"0 AS {name}"
                    for name in self._sums
                ),
            ]
        )
        grouped = f" GROUP BY {', '.join(keys)}" if keys else ""
        return f"SELECT {listed} FROM {facts}{grouped}"  # noqa: S608  # see above


def with_attributes_then(tenant: str, position: str) -> str:
    """WITH_ATTRIBUTES as known at the position; both are places of arguments."""
    told = {"known": known_at(position), "of": f"f.tenant = {tenant}"}
    return WITH_ATTRIBUTES_THEN.replace("{customers}", CUSTOMERS.format(**told)).replace(
        "{staff}", STAFF.format(**told)
    )


def of_cell(
    cell: Cell, arguments: Arguments, alias: str, columns: set[str], *, glob: bool = True
) -> list[str]:
    where = []
    if glob and cell.glob:
        where.append(f"{alias}touchpoint LIKE {arguments(like(cell.glob), 'text')}")
    for name, values in cell.only.items():
        if name in columns:
            where.append(f"{alias}{name} = ANY({arguments(list(values), 'text[]')})")
    return where


def in_time(cell: Cell, arguments: Arguments) -> list[str]:
    where = []
    for bound, comparison in ((cell.occurred_from, ">="), (cell.occurred_before, "<")):
        if bound.day is not None:
            where.append(f"f.reporting_date {comparison} {arguments(bound.day, 'date')}")
        if bound.moment is not None:
            moment = arguments(bound.moment, "timestamptz")
            where.append(f"f.occurred_at {comparison} {moment}")
    return where


def like(glob: str) -> str:
    """The LIKE pattern of a glob: '*' any characters, '?' one, everything else itself."""
    escaped = glob.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return escaped.replace("*", "%").replace("?", "_") or "%"
