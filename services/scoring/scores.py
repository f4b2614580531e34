"""GetScores: sums and scores per group, one page after the other of the same state."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import asyncpg

from services.chassis.errors import Malformed
from services.scoring import question, score_query
from services.scoring.answers import Answers, Snapshot
from services.scoring.question import Cell, Names, Page
from touchledger.v1 import scoring_pb2 as pb

# Groups in one answer. Names of touchpoints come from publishers: there may be more.
GROUPS_MAX = 10_000
# Numbers in one answer, each some 27 bytes with its name: half of what a message may have.
NUMBERS_MAX = 150_000
# A key is up to 128 characters of up to four bytes.
NUMBERS_OF_A_KEY = 10
# What decayed.py tells, and the version of its formula.
DECAYED = ("csat_decayed", "csat_decayed_n_eff", "csat_decayed_lo", "csat_decayed_hi")
DECAYED_VERSION = "csat_decayed/1"


async def get_scores(
    answers: Answers, tenant: str, request: pb.GetScoresRequest
) -> pb.GetScoresResponse:
    asked = Asked.of(request)
    async with answers.snapshot(tenant, request, position=asked.page.position) as snapshot:
        rows = await asked.rows(snapshot)
    return asked.answer(snapshot, rows)


@dataclass(frozen=True, slots=True)
class Rows:
    """What the read models say."""

    scores: Sequence[asyncpg.Record]
    decayed: Sequence[asyncpg.Record]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was read and checked."""

    request: pb.GetScoresRequest
    keys: tuple[str, ...]
    names: Names
    cell: Cell
    decayed_on: date | None
    page: Page
    # Groups of one answer.
    size: int

    @classmethod
    def of(cls, request: pb.GetScoresRequest) -> "Asked":
        keys, names = question.keys(request), question.names(request.names)
        cell, decayed_on = question.cell(request), _decayed_on(request, keys)
        most = groups_max(keys, names)
        page = question.page(request, size=most, keys=len(keys))
        return cls(request, keys, names, cell, decayed_on, page, min(page.size, most))

    async def rows(self, snapshot: Snapshot) -> Rows:
        after = [
            question.day(value, "page_token") if key in score_query.PERIODS else value
            for key, value in zip(self.keys, self.page.after, strict=False)
        ]
        here = self.cell.in_zone(snapshot.zone)
        at = await snapshot.at(self.keys, here)
        scores = await snapshot.fetch(
            *score_query.scores(at, self.keys, here, self.names, limit=self.size + 1, after=after)
        )
        decayed = (
            await snapshot.fetch(*score_query.decayed(at, self.keys, here, self.decayed_on))
            if self.decayed_on
            else []
        )
        return Rows(scores, decayed)

    def answer(self, snapshot: Snapshot, rows: Rows) -> pb.GetScoresResponse:
        more = len(rows.scores) > self.size
        if more and not self.request.page_size:
            raise Malformed(
                f"at most {self.size} groups: a page_size, a narrower question or fewer names",
                field="touchpoint_glob",
                got="more groups",
            )
        last = [rows.scores[self.size - 1][key] for key in self.keys] if more else []
        by_group = {row["grp"]: row for row in rows.decayed}
        groups = list(told(rows.scores[: self.size], self.keys, self.names))
        for group in groups:
            row = by_group.get(score_query.SEPARATOR.join(group.keys[key] for key in self.keys))
            if row is not None:
                values = {name: row[name] for name in DECAYED}
                group.scores.update(
                    {name: each for name, each in values.items() if each is not None}
                )
        return pb.GetScoresResponse(
            scores=groups,
            as_of_position=snapshot.as_of,
            formula_version=self.names.formula_version
            + (f" {DECAYED_VERSION}" if self.decayed_on else ""),
            reporting_zone=snapshot.zone,
            freshness=snapshot.freshness(),
            next_page_token=question.next_page(self.request, snapshot.position, last)
            if more
            else "",
        )


def _decayed_on(request: pb.GetScoresRequest, keys: Sequence[str]) -> date | None:
    if not request.decayed_on_date:
        return None
    if set(keys) & set(score_query.PERIODS):
        raise Malformed("groups other than periods", field="decayed_on_date", got="a period")
    return question.bounded_day(request.decayed_on_date, "decayed_on_date")


def groups_max(keys: Sequence[str], names: Names) -> int:
    """How many groups fit into one answer."""
    numbers = len(names.sums) + len(names.scores) + NUMBERS_OF_A_KEY * len(keys)
    return min(GROUPS_MAX, max(1, NUMBERS_MAX // numbers))


def told(rows: Iterable[asyncpg.Record], keys: Sequence[str], names: Names) -> Iterable[pb.Score]:
    """Of rows of score_query.scores or series."""
    counts = [name for name in names.sums if question.SUMS[name].type == "bigint"]
    sums = [name for name in names.sums if question.SUMS[name].type != "bigint"]
    for row in rows:
        values = {key: str(row[key]) for key in keys}
        yield pb.Score(
            group=" | ".join(values.values()) if keys else "all",
            keys=values,
            counts={name: row[name] for name in counts},
            sums={name: row[name] for name in sums},
            scores={name: value for name in names.scores if (value := row[name]) is not None},
        )


def exact(value: Decimal) -> str:
    """Without zeros at its end: how many PostgreSQL gives depends on the way that the sum was come by."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
