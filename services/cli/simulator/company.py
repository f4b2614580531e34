"""What the company does beside its customers' journeys: jobs, pulses, trainings, visits, claims, assumptions.

All of it is known before the first customer comes, and is written down first.
"""

from dataclasses import dataclass

from services.cli.simulator import retailer
from services.cli.simulator.diary import Diary
from services.cli.simulator.journey import signal
from services.cli.simulator.retailer import DAY_MS, HOUR_MS, QUARTER_END_MS, QUARTER_START_MS
from touchledger.v1 import events_pb2 as pb

PASSION = retailer.Question("passion", pb.METRIC_CSAT, 1, 5, dimension="passion")
# Teams are asked every two weeks; those of the call centre by name, those of the stores as a team.
PULSE_EVERY_MS = 14 * DAY_MS
PULSES_OF_A_STORE = 6
# What members of staff feel about their work, by how it is cut.
PASSION_FELT = {retailer.BY_THE_BOOK: 0.52, retailer.MAY_DECIDE: 0.78}
# Managers come by every three weeks, but not here: nobody has since the quarter's first day.
VISIT_EVERY_MS = 21 * DAY_MS
FORGOTTEN_TEAM = "store.hamburg-station"
VISIT_LEVELS = ("team_lead", "director")
PASSED_ON_EVERY_MS = 10 * DAY_MS


@dataclass(frozen=True, slots=True)
class Claim:
    touchpoint: retailer.Touchpoint
    # Of 5.
    mean: str


# What owners say of their touchpoints. The first one is far from what customers say.
CLAIMS = (
    Claim(retailer.CALL_BILLING, "4.6"),
    Claim(retailer.STORE_ADVICE, "3.5"),
    Claim(retailer.STORE_CHECKOUT, "3.9"),
)
SCENARIOS = (
    pb.Scenario(
        name="loss.15",
        loss_percent="15",
        revenue=pb.Money(amount="1000000", currency="EUR"),
        margin_percent="30",
        discount_percent="10",
        years=3,
    ),
    # On what is observed.
    pb.Scenario(
        name="loss.5",
        loss_percent="5",
        competitor_percent="60",
        margin_percent="30",
        discount_percent="10",
    ),
)


def write_down(diary: Diary) -> None:
    for staff, jobs in retailer.JOBS.items():
        for from_ms, job in jobs:
            profile = pb.StaffProfile(group=job.group, cohort=job.cohort, job_design=job.job_design)
            diary.write(at_ms=from_ms, staff=staff, staff_profile=profile)
    _pulses(diary)
    _visits(diary)
    for staff in retailer.TRAINED:
        training = pb.FrontLine(step=pb.FRONT_LINE_STEP_TRAINING, kind=retailer.COURSE)
        diary.write(at_ms=retailer.TRAINED_FROM_MS - HOUR_MS, staff=staff, front_line=training)
    for insight in retailer.INSIGHTS:
        captured = pb.Insight(insight_id=insight.name, step=pb.INSIGHT_STEP_CAPTURED)
        diary.write(at_ms=insight.from_ms, staff=insight.staff, insight=captured)
    for claim in CLAIMS:
        claimed = pb.Signal(
            metric=pb.METRIC_CSAT,
            value=claim.mean,
            scale_min="1",
            scale_max="5",
            direction=pb.DIRECTION_HIGHER_IS_BETTER,
        )
        said = pb.ServiceClaim(claimed=claimed)
        diary.write(
            at_ms=QUARTER_START_MS + HOUR_MS, touchpoint=claim.touchpoint, service_claim=said
        )
    for scenario in SCENARIOS:
        diary.write(at_ms=QUARTER_START_MS + 2 * HOUR_MS, scenario=scenario)


def _pulses(diary: Diary) -> None:
    for at_ms in range(QUARTER_START_MS + 10 * DAY_MS, QUARTER_END_MS, PULSE_EVERY_MS):
        for store in retailer.STORES:
            design = retailer.JOBS[store.staff[0]][0][1].job_design
            for _ in range(PULSES_OF_A_STORE):
                _pulse(diary, at_ms, design, group=f"store.{store.name}")
        for agents in retailer.AGENTS.values():
            for agent in agents:
                job = retailer.job_of(agent, at_ms)
                _pulse(diary, at_ms, job.job_design, staff=agent)


def _pulse(diary: Diary, at_ms: int, design: str, *, group: str = "", staff: str = "") -> None:
    felt = PASSION_FELT[design] + (diary.dice.random() - 0.5) * 0.6
    pulse = pb.FrontLine(
        step=pb.FRONT_LINE_STEP_PULSE, kind="fortnightly", pulse=signal(PASSION, felt), group=group
    )
    diary.write(at_ms=at_ms, staff=staff, front_line=pulse)


def _visits(diary: Diary) -> None:
    for group in sorted({job.group for jobs in retailer.JOBS.values() for _, job in jobs}):
        last_ms = QUARTER_START_MS + DAY_MS if group == FORGOTTEN_TEAM else QUARTER_END_MS
        for number, at_ms in enumerate(range(QUARTER_START_MS + HOUR_MS, last_ms, VISIT_EVERY_MS)):
            visit = pb.FrontLine(
                step=pb.FRONT_LINE_STEP_MANAGER_CONTACT,
                kind=VISIT_LEVELS[number % 2],
                group=group,
            )
            diary.write(at_ms=at_ms, front_line=visit)
        for at_ms in range(QUARTER_START_MS + 5 * DAY_MS, QUARTER_END_MS, PASSED_ON_EVERY_MS):
            passed_on = pb.FrontLine(
                step=pb.FRONT_LINE_STEP_FEEDBACK, kind="customer_comments", group=group
            )
            diary.write(at_ms=at_ms, front_line=passed_on)
