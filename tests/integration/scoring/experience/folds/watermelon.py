from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.support.people import people_of
from tests.support.serving import satisfaction, served_by
from tests.support.told import Told


class Team:
    def __init__(self) -> None:
        self.looked_at = set[tuple[str, str]]()
        self.answered_of = set[tuple[str, str]]()
        self.customers = set[str]()
        self.within = list[bool]()
        self.points = list[Decimal]()

    @property
    def too_few(self) -> bool:
        few_answered = len(self.answered_of) < 5 or len(self.customers) < 5
        return (bool(self.within) and len(self.looked_at) < 5) or (
            bool(self.points) and few_answered
        )

    @property
    def ranked(self) -> bool:
        return not self.too_few and bool(self.within) and bool(self.points)

    @property
    def share(self) -> Fraction | None:
        return Fraction(sum(self.within), len(self.within)) if self.within else None

    @property
    def mean(self) -> Fraction | None:
        return Fraction(sum(self.points)) / len(self.points) if self.points else None


def teams(events: Sequence[Told]) -> dict[str, Team]:
    person, served = people_of(events), served_by(events)
    found = defaultdict[str, Team](Team)
    for each in events:
        looked = each.kind == "assessment" and each.body.HasField("within_sla")
        points = satisfaction(each) if each.kind == "feedback_received" else []
        if not (looked or points):
            continue
        job = served(each)
        if job is None or job.group == "unspecified":
            continue
        team = found[job.group]
        if points:
            team.points += points
            team.answered_of.add((job.source, job.staff))
        if points and each.envelope.customer:
            team.customers.add(person(each.envelope.customer))
        if looked:
            team.looked_at.add((job.source, job.staff))
            team.within.append(each.body.within_sla)
    return found


def place(of: Any, among: list[Any]) -> float:
    """1 is the greatest; equals share the mean of their places."""
    better = sum(1 for one in among if one > of)
    return better + (among.count(of) + 1) / 2


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    found = teams(events)
    ranked = [team for team in found.values() if team.ranked]
    shares, means = [team.share for team in ranked], [team.mean for team in ranked]
    return [
        {
            "staff_group": name,
            "too_few": team.too_few,
            "sla_looked_at": len(team.within),
            "sla_share": None if team.too_few or team.share is None else float(team.share),
            "sla_green": None
            if team.too_few or team.share is None
            else team.share >= Fraction(9, 10),
            "csat_answers": len(team.points),
            "csat_points": None if team.too_few or team.mean is None else float(team.mean),
            "kpi_rank": place(team.share, shares) if team.ranked else None,
            "customer_rank": place(team.mean, means) if team.ranked else None,
        }
        for name, team in found.items()
    ]
