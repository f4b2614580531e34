from collections.abc import Sequence
from datetime import datetime
from statistics import StatisticsError, correlation
from typing import Any

from tests.integration.scoring.experience.folds.watermelon import fold as watermelon
from tests.support.told import Told


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    ranked = [row for row in watermelon(events, horizon) if row["kpi_rank"] is not None]
    places = [[row[name] for row in ranked] for name in ("kpi_rank", "customer_rank")]
    try:
        spearman = correlation(*places) if len(ranked) >= 4 else None
    except StatisticsError:
        # All have the same place.
        spearman = None
    return [{"teams": len(ranked), "spearman": spearman}]
