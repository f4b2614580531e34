from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from tests.support.people import people_of
from tests.support.serving import abouts, jobs, satisfaction
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb


class Step(NamedTuple):
    said: Told
    interaction: Told | None
    who: str
    journey: str


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    steps = _steps(events)
    return [_row(each, steps[each], events) for each in steps]


def _steps(events: Sequence[Told]) -> dict[str, list[Step]]:
    person, about = people_of(events), abouts(events)
    on_journey = defaultdict[str, list[Told]](list)
    for each in sorted(events, key=lambda each: each.order):
        if each.kind == "interaction":
            on_journey[each.envelope.correlation_id].append(each)
    steps = defaultdict[str, list[Step]](list)
    for each in sorted(events, key=lambda each: each.order):
        if each.kind != "insight":
            continue
        met, journey = about.get(each.position), each.envelope.correlation_id
        if journey and not each.body.HasField("about"):
            before = [one for one in on_journey[journey] if one.occurred_at <= each.occurred_at]
            met = before[-1] if before else None
        envelopes = [each.envelope, *([met.envelope] if met else [])]
        who = next((person(one.customer) for one in envelopes if one.customer), "")
        journey = next((one.correlation_id for one in envelopes if one.correlation_id), "")
        steps[each.body.insight_id].append(Step(each, met, who, journey))
    return steps


def _row(name: str, steps: list[Step], events: Sequence[Told]) -> dict[str, Any]:
    person, about, job = people_of(events), abouts(events), jobs(events)
    captures = [one for one in steps if one.said.body.step == pb.INSIGHT_STEP_CAPTURED]
    capture = captures[0] if captures else None
    reused = dict[int, Step]()
    for one in steps:
        if one.said.body.step == pb.INSIGHT_STEP_APPLIED and (
            capture is None or _is_reuse(one, capture)
        ):
            reused.setdefault((one.interaction or one.said).position, one)
    where = {one.interaction.envelope.touchpoint for one in reused.values() if one.interaction}
    since = min(
        [one.said.occurred_at for one in ([capture] if capture else reused.values())], default=None
    )
    in_steps = {one.interaction.position for one in steps if one.interaction}
    answers = dict[bool, list[Any]]({True: [], False: []})
    customers = dict[bool, set[str]]({True: set(), False: set()})
    for each in events:
        met = about.get(each.position)
        if each.kind != "feedback_received" or met is None:
            continue
        if met.position not in reused:
            there = met.envelope.touchpoint in where and since and met.occurred_at >= since
            if not there or met.position in in_steps:
                continue
        for points in satisfaction(each):
            answers[met.position in reused].append(points)
            customers[met.position in reused].add(person(each.envelope.customer))
    too_few = min(map(len, customers.values())) < 5
    means = {each: float(sum(of) / len(of)) if of else None for each, of in answers.items()}
    held = job(capture.said) if capture else None
    return {
        "insight_id": name,
        "captured_at": capture.said.occurred_at if capture else None,
        "captured_by": held.group if held else None,
        "reuse_count": len(reused),
        "too_few": too_few,
        "answers_with": len(answers[True]),
        "csat_with": None if too_few else means[True],
        "answers_without": len(answers[False]),
        "csat_without": None if too_few else means[False],
        "difference": None if too_few else (means[True] or 0) - (means[False] or 0),
    }


def _is_reuse(one: Step, capture: Step) -> bool:
    if one.said.occurred_at < capture.said.occurred_at:
        return False
    if one.interaction and one.interaction == capture.interaction:
        return False
    if one.who and capture.who:
        return one.who != capture.who
    return not one.journey or one.journey != capture.journey
