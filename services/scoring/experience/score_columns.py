"""Scores of the metrics' kind (share, mean) as columns of a figure, and as what its query selects."""

from collections.abc import Mapping

from services.scoring.metric import Column, Score


def columns(scores: Mapping[str, Score]) -> dict[str, Column]:
    return {name: Column("double precision", each.meaning) for name, each in scores.items()}


def selected(scores: Mapping[str, Score]) -> str:
    """For a SELECT over the sums that the scores are of."""
    return ", ".join(f"{each.sql} AS {name}" for name, each in scores.items())
