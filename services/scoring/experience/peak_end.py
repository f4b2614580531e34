"""What is remembered of a journey: its peak and its end, beside the mean (Kahneman et al. 1993).

The journeys with two answers of satisfaction or more (CSAT or rating about the whole, rescaled to 0 to 100
points as in csat/2), by the stage of the last one: with one answer, all of this would be the same number. The
answers are in the order of what they are about, the interaction where it is known, since some come weeks
late. The peak is the answer about a moment of truth, of several such the one farthest from the middle of the
scale; where none is marked, the farthest of all. Of equally far ones it is the last.
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, mean

MEANS = {
    "peak_points": "the peak of each journey",
    "end_points": "the end of each journey",
    "peak_end": "the mean of peak and end of each journey (Kahneman et al. 1993)",
    "mean_points": "the mean of all answers of each journey",
    "difference": "peak_end minus mean_points of each journey, points of -100 to 100",
}
SCORES = {
    name: score
    for measure, meaning in MEANS.items()
    for name, score in mean(
        *(measure, f"{measure}_sum", f"{measure}_squares", "journeys"),
        f"Mean of {meaning}" if measure == "difference" else f"Mean of {meaning}, 0 to 100 points",
        scale=("-100" if measure == "difference" else "0", "100"),
    ).items()
}
SUMS = ", ".join(
    f"sum({each}) AS {each}_sum, sum({each} * {each}) AS {each}_squares" for each in MEANS
)
# The answers of a journey that are first when sorted by it.
LAST = "experienced_at DESC, event_position DESC, signal_index DESC"
FARTHEST = f"moment_of_truth DESC, abs(points - 50) DESC, {LAST}"

peak_end = Figure(
    name="peak_end",
    version=1,
    question="How good are the peak and the end of journeys, which are remembered, beside their mean?",
    keys={"end_stage": Column("text", "The stage that the last answer of the journey is about.")},
    columns={
        "journeys": Column("bigint", "Journeys with two answers of satisfaction or more."),
        "moments_of_truth": Column("bigint", "Those whose peak is about a moment of truth."),
        **columns(SCORES),
    },
    evidence=f"""
WITH answer AS (
  SELECT f.journey, f.stage, f.points, f.event_position, f.signal_index,
         coalesce(i.occurred_at, f.occurred_at) AS experienced_at,
         coalesce(i.moment_of_truth, false) AS moment_of_truth
    FROM journey_answer f
    LEFT JOIN about a ON a.feedback_position = f.event_position
    LEFT JOIN known_interaction i ON i.event_position = a.interaction_position
   WHERE f.journey IS NOT NULL
), journey AS (
  SELECT journey, bool_or(moment_of_truth) AS moment_of_truth, round(avg(points), 6) AS mean_points,
         array_agg(event_position) AS events
    FROM answer
   GROUP BY journey
  HAVING count(*) > 1
), ending AS (
  SELECT DISTINCT ON (journey) journey, stage, points FROM answer ORDER BY journey, {LAST}
), peak AS (
  SELECT DISTINCT ON (journey) journey, points FROM answer ORDER BY journey, {FARTHEST}
)
SELECT ending.stage AS end_stage, moment_of_truth, peak.points AS peak_points, ending.points AS end_points,
       (peak.points + ending.points) / 2 AS peak_end, mean_points,
       (peak.points + ending.points) / 2 - mean_points AS difference, events
  FROM journey
  JOIN ending USING (journey)
  JOIN peak USING (journey)
""",  # noqa: S608  # literals, here and below
    sql=f"""
SELECT end_stage, journeys, moments_of_truth, {selected(SCORES)}
  FROM (SELECT end_stage, count(*) AS journeys,
               count(*) FILTER (WHERE moment_of_truth) AS moments_of_truth,
               {SUMS}
          FROM evidence
         GROUP BY end_stage) AS counted
""",  # noqa: S608
)
