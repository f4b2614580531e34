from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.support.journeys import Touch, answers_of, mean, share, touches_of
from tests.support.people import people_of
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

KINDS = ("external", "internal", "partner")
WEEK = timedelta(days=7)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    person = people_of(events)
    said = dict[str, list[Told]]()
    for each in sorted(events, key=lambda each: each.order):
        if each.kind == "customer_profile" and "kind" in each.body.segments:
            said.setdefault(person(each.envelope.customer), []).append(each)

    def kind(touch: Touch) -> str:
        known = "unspecified"
        for each in said.get(touch.person, []):
            if each.occurred_at <= touch.told.occurred_at:
                known = each.body.segments["kind"]
        return known if known in KINDS else "unspecified"

    counts = Counter[tuple[str, str]]()
    who: dict[str, set[str]] = {name: set() for name in KINDS}
    # Of what each score is, by whom; what nobody known did is by one of its own.
    by: dict[tuple[str, str], list[str]] = defaultdict(list)
    answers = dict[str, list[Decimal]]()
    touches = touches_of(events)
    for touch in touches:
        name = kind(touch)
        who.setdefault(name, set()).add(touch.person)
        counts[name, "interactions"] += 1
        if touch.told.body.outcome != pb.OUTCOME_UNSPECIFIED:
            by[name, "ended"].append(touch.person)
        counts[name, "done"] += touch.told.body.outcome in (
            pb.OUTCOME_COMPLETED,
            pb.OUTCOME_RESOLVED,
        )
    for answer in answers_of(events):
        if answer.metric == "csat":
            name = kind(answer)
            who.setdefault(name, set()).add(answer.person)
            by[name, "csat_n"].append(answer.person)
            answers.setdefault(name, []).append(answer.points)
    for first, repeated in episodes(touches):
        if first.told.occurred_at + WEEK <= horizon:
            by[kind(first), "episodes"].append(first.person)
            counts[kind(first), "unrepeated"] += not repeated
    rows = []
    for name, persons in who.items():
        customers, points = len(persons - {""}), answers.get(name, [])
        few = {
            each
            for each in ("ended", "csat_n", "episodes")
            if 0 < len(set(by[name, each]) - {""}) + by[name, each].count("") < 5
        }
        ended, served = len(by[name, "ended"]), len(by[name, "episodes"])
        values = {
            "ended": (ended, "ended"),
            "csat_n": (len(points), "csat_n"),
            "episodes": (served, "episodes"),
            "csat_points": (mean(points), "csat_n"),
            "bottom2_share": (share(sum(each <= 25 for each in points), len(points)), "csat_n"),
            "done_share": (share(counts[name, "done"], ended), "ended"),
            "fcr_no_repeat": (share(counts[name, "unrepeated"], served), "episodes"),
        }
        rows.append(
            {
                "kind": name,
                "customers": customers,
                "interactions": counts[name, "interactions"],
                **{each: None if of in few else told for each, (told, of) in values.items()},
                "too_few": bool(few),
            }
        )
    return rows


def episodes(touches: Sequence[Touch]) -> list[tuple[Touch, bool]]:
    """The first contact of each, and whether there was a second one."""
    issues = dict[tuple[str, str, str], list[list[Touch]]]()
    for touch in touches:
        if touch.stage != "service" or not touch.person:
            continue
        where = "" if touch.correlation else touch.touchpoint
        of_issue = issues.setdefault((touch.person, touch.correlation, where), [])
        if of_issue and touch.told.occurred_at < of_issue[-1][-1].told.occurred_at + WEEK:
            of_issue[-1].append(touch)
        else:
            of_issue.append([touch])
    return [(each[0], len(each) > 1) for of_issue in issues.values() for each in of_issue]
