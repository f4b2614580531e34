from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.integration.scoring.experience.folds.points import mean, points, same_question
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    last = {
        (each.envelope.touchpoint, each.body.claimed.dimension): each
        for each in sorted(events, key=lambda each: each.order)
        if each.kind == "service_claim"
    }
    rows = []
    for (touchpoint, dimension), said in last.items():
        answers = [
            points(signal)
            for each in events
            if each.kind == "feedback_received" and each.envelope.touchpoint == touchpoint
            for signal in each.body.signals
            if same_question(signal, said.body.claimed)
        ]
        claimed, score = points(said.body.claimed), mean(answers)
        rows.append(
            {
                "touchpoint": touchpoint,
                "dimension": dimension or None,
                "metric": pb.Metric.Name(said.body.claimed.metric).removeprefix("METRIC_").lower(),
                "claimed": claimed,
                "claimed_at": said.occurred_at,
                "n": len(answers),
                "customer_score": score,
                "claim_gap": None if score is None else float(claimed) - score,
            }
        )
    return rows
