from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.integration.scoring.experience.folds.expectation_met import Case, cases, counted
from tests.integration.scoring.experience.folds.points import mean
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    expected = defaultdict[str, list[Case]](list)
    for case in cases(events, horizon):
        if case.met is not None:
            expected[case.touchpoint].append(case)
    compared = defaultdict[str, list[Decimal]](list)
    for each in events:
        if each.kind == "feedback_received":
            for signal in each.body.signals:
                if signal.metric == pb.METRIC_COMPARISON and not signal.dimension:
                    worse = signal.direction == pb.DIRECTION_LOWER_IS_BETTER
                    value = Decimal(signal.value)
                    compared[each.envelope.touchpoint].append(-value if worse else value)
    rows = []
    for touchpoint in expected.keys() | compared.keys():
        counts = counted(expected[touchpoint])
        rows.append(
            {
                "touchpoint": touchpoint,
                "compared": counts["compared"],
                "acceptable": counts["just_met"],
                "exceeded": counts["exceeded"],
                "comparisons": len(compared[touchpoint]),
                "acceptable_rate": counts["just_met_share"],
                "exceeded_rate": counts["exceeded_share"],
                "vs_competitor_avg": mean(compared[touchpoint]),
            }
        )
    return rows
