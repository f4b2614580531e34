from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.support.people import people_of
from tests.support.serving import satisfaction
from tests.support.told import Told


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    person = people_of(events)

    def who(each: Told) -> str:
        return person(each.envelope.customer) if each.envelope.customer else ""

    # Answers and failures, by whom and on which journey, or where.
    of_person = defaultdict[str, list[Told]](list)
    for each in sorted(events, key=lambda each: each.order):
        if each.kind == "failure" or (each.kind == "feedback_received" and satisfaction(each)):
            of_person[who(each)].append(each)
    behind = defaultdict[tuple[str, str], list[Told]](list)
    for each in events:
        if each.kind == "reason_stated":
            behind[each.body.issue_code, each.body.reason_code].append(each)
    rows = []
    for (issue, code), statements in behind.items():
        stated_of_issue = sum(len(told) for (of, _), told in behind.items() if of == issue)
        failures, answers, customers = 0, [], set()
        for each in statements:
            of = each.envelope
            if of.correlation_id:
                belongs = [
                    one
                    for one in of_person[who(each)]
                    if one.envelope.correlation_id == of.correlation_id
                ]
            else:
                belongs = [
                    one
                    for one in (of_person[who(each)] if of.customer else [])
                    if one.envelope.touchpoint == of.touchpoint
                ]
            failures += any(
                one.kind == "failure" and one.body.issue_code == issue for one in belongs
            )
            later = [
                one
                for one in belongs
                if one.kind == "feedback_received" and one.occurred_at >= each.occurred_at
            ]
            if later:
                answers.append(satisfaction(later[0])[0])
                customers.add(who(each))
        too_few = len(customers - {""}) < 5
        rows.append(
            {
                "issue_code": issue,
                "reason_code": code,
                "stated": len(statements),
                "share": len(statements) / stated_of_issue,
                "failures": failures,
                "csat_answers": len(answers),
                "too_few": too_few,
                "csat_points": None if too_few else float(sum(answers) / len(answers)),
            }
        )
    return rows
