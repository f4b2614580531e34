"""Sentiment as the sources' models gave it, on -1 to 1, and whether the readings of several models are mixed.

Every scale is brought to -1 to 1, the good end up, and rounded to six decimals before it is added. How many
models there are can't be added up; but numbers that stand for them can, and their variance is 0 for one
alone.
"""

from services.scoring.metric import Metric, Score, Sum, mean

WHOLE = "metric = 'sentiment' AND dimension IS NULL"
RESCALED = (
    "round(2 * CASE WHEN higher_is_better THEN value - scale_min ELSE scale_max - value END"
    " / (scale_max - scale_min) - 1, 6)"
)
# 0 to 2^32 - 1. Two models with the same number, one pair in four thousand million, would pass for one.
MODEL = "crc32(convert_to(coalesce(model, ''), 'UTF8'))::numeric"

sentiment = Metric(
    name="sentiment",
    version=1,
    facts="fact_feedback",
    sums={
        "sentiment_answered": Sum(f"count(*) FILTER (WHERE {WHOLE})", "Sentiments that were read."),
        "sentiment_sum": Sum(
            f"coalesce(sum({RESCALED}) FILTER (WHERE {WHOLE}), 0)",
            "Sum of these sentiments, rescaled to -1 to 1.",
            "numeric",
        ),
        "sentiment_squares": Sum(
            f"coalesce(sum({RESCALED} * {RESCALED}) FILTER (WHERE {WHOLE}), 0)",
            "Sum of the squares of these sentiments, rescaled to -1 to 1.",
            "numeric",
        ),
        "sentiment_model_sum": Sum(
            f"coalesce(sum({MODEL}) FILTER (WHERE {WHOLE}), 0)",
            "Sum of the numbers (CRC-32) that stand for the models of these sentiments.",
            "numeric",
        ),
        "sentiment_model_squares": Sum(
            f"coalesce(sum({MODEL} * {MODEL}) FILTER (WHERE {WHOLE}), 0)",
            "Sum of the squares of these numbers.",
            "numeric",
        ),
    },
    scores={
        **mean(
            *("sentiment_mean", "sentiment_sum", "sentiment_squares", "sentiment_answered"),
            "Mean sentiment, each rescaled from the scale of its model to -1 to 1 (arithmetic mean)",
            scale=("-1", "1"),
        ),
        "sentiment_models": Score(
            "CASE WHEN sentiment_answered = 0 THEN NULL"
            " WHEN sentiment_model_sum * sentiment_model_sum"
            " = sentiment_answered * sentiment_model_squares THEN 1 ELSE 2 END::double precision",
            "How many models read these sentiments: 1, or 2 for two or more, whose readings are then"
            " mixed (variance of the numbers that stand for the models).",
        ),
    },
)
