"""Figures of customers' experience that no score of one touchpoint tells: the registry.

They are queries over facts as known at a position, so that they are exact as of any position and moment, and
follow corrections, retractions and merged customers by themselves. Each is a view in schema bi, too.
"""

from services.scoring.experience.advice import advice
from services.scoring.experience.after_payment import after_payment
from services.scoring.experience.amplified_anger import amplified_anger
from services.scoring.experience.asking import asking
from services.scoring.experience.before_loss import before_loss
from services.scoring.experience.beyond_expectation import beyond_expectation
from services.scoring.experience.brand_and_care import brand_and_care
from services.scoring.experience.claim import claim
from services.scoring.experience.cohort import cohort
from services.scoring.experience.customer_kind import customer_kind
from services.scoring.experience.customer_value import customer_value
from services.scoring.experience.expectation_gap_by_generation import expectation_gap_by_generation
from services.scoring.experience.expectation_met import expectation_met
from services.scoring.experience.figure import Figure
from services.scoring.experience.five_pillars import five_pillars
from services.scoring.experience.insight import insight
from services.scoring.experience.job_design import job_design
from services.scoring.experience.journey_stages import journey_stages
from services.scoring.experience.journey_step import journey_step
from services.scoring.experience.listening import listening
from services.scoring.experience.mechanical_resolution import mechanical_resolution
from services.scoring.experience.mechanical_resolution_rate import mechanical_resolution_rate
from services.scoring.experience.open_recovery import open_recovery
from services.scoring.experience.peak_end import peak_end
from services.scoring.experience.phase import phase
from services.scoring.experience.premium import premium
from services.scoring.experience.premium_scenario import premium_scenario
from services.scoring.experience.promise_kept import promise_kept
from services.scoring.experience.public_post_trace import public_post_trace
from services.scoring.experience.reason import reason
from services.scoring.experience.reason_behind_issue import reason_behind_issue
from services.scoring.experience.recognition import recognition
from services.scoring.experience.recognition_by_team import recognition_by_team
from services.scoring.experience.recovery import recovery
from services.scoring.experience.remarkable import remarkable
from services.scoring.experience.retention import retention
from services.scoring.experience.revenue_at_risk import revenue_at_risk
from services.scoring.experience.scenario import scenario
from services.scoring.experience.score_by_segment import score_by_segment
from services.scoring.experience.script_difference import script_difference
from services.scoring.experience.segment_power import segment_power
from services.scoring.experience.self_service import self_service
from services.scoring.experience.service_mode import service_mode
from services.scoring.experience.training import training
from services.scoring.experience.usage import usage
from services.scoring.experience.voice_and_silence import voice_and_silence
from services.scoring.experience.watermelon import watermelon
from services.scoring.experience.watermelon_correlation import watermelon_correlation

FIGURES: tuple[Figure, ...] = (
    advice,
    after_payment,
    amplified_anger,
    asking,
    before_loss,
    beyond_expectation,
    brand_and_care,
    claim,
    cohort,
    customer_kind,
    customer_value,
    expectation_gap_by_generation,
    expectation_met,
    five_pillars,
    insight,
    job_design,
    journey_stages,
    journey_step,
    listening,
    mechanical_resolution,
    mechanical_resolution_rate,
    open_recovery,
    peak_end,
    phase,
    premium,
    premium_scenario,
    promise_kept,
    public_post_trace,
    reason,
    reason_behind_issue,
    recognition,
    recognition_by_team,
    recovery,
    remarkable,
    retention,
    revenue_at_risk,
    scenario,
    score_by_segment,
    script_difference,
    segment_power,
    self_service,
    service_mode,
    training,
    usage,
    voice_and_silence,
    watermelon,
    watermelon_correlation,
)
BY_NAME = {figure.name: figure for figure in FIGURES}
