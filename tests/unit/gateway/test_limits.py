"""Limits refuse what is too much, say when to come back, and take nothing for what they refuse."""

import asyncio
import contextlib
from typing import cast

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import clock
from services.chassis.errors import Exhausted, Malformed
from services.chassis.postgres import Pool
from services.gateway import limits as module
from services.gateway.access import Caller
from services.gateway.limits import WORK_BYTES, Limits
from services.gateway.settings import Settings

NO_POOL = cast(Pool, None)  # only `run` uses it
TILL = Caller("acme", "till", frozenset({"publish"}), key_id="till")
WEB = Caller("acme", "web", frozenset({"publish"}), key_id="web")
OTHER = Caller("other", "till", frozenset({"publish"}), key_id="other")


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Clock:
    return Clock()


def limits_of(now: Clock, **given: int) -> Limits:
    settings = Settings.model_validate(
        {"database_url": "postgresql://nowhere", "secret_key_file": "nowhere", **given}
    )
    return Limits(settings, NO_POOL, monotonic=now)


def publish(limits: Limits, caller: Caller, events: int, size: int = 0) -> None:
    with limits.call(caller, events=events, size=size):
        pass


def refusal(limits: Limits, caller: Caller, events: int, size: int = 0) -> Exhausted:
    with pytest.raises(Exhausted) as refused, limits.call(caller, events=events, size=size):
        pytest.fail("let in")
    assert refused.value.problem.retryable
    assert refused.value.problem.retry_after.ToNanoseconds() > 0
    return refused.value


def wait(refused: Exhausted) -> float:
    return refused.problem.retry_after.ToNanoseconds() / 1e9


def test_a_burst_is_let_in_and_what_is_more_after_exactly_the_time_that_was_told(
    now: Clock,
) -> None:
    limits = limits_of(now, key_events_per_second=10, key_burst_events=100)
    publish(limits, TILL, 100)
    refused = refusal(limits, TILL, 5)
    assert ("RATE_LIMITED", 0.5) == (refused.problem.code, wait(refused))
    now.seconds += 0.49
    refusal(limits, TILL, 5)
    now.seconds += 0.01
    publish(limits, TILL, 5)


def test_what_was_refused_costs_nothing(now: Clock) -> None:
    limits = limits_of(now, key_events_per_second=10, key_burst_events=100)
    for _ in range(50):
        refusal(limits, TILL, 99, size=10**12)
    publish(limits, TILL, 100)


def test_a_refusal_by_the_tenant_takes_nothing_from_the_key(now: Clock) -> None:
    limits = limits_of(now, tenant_events_per_second=1, tenant_burst_events=10, key_burst_events=20)
    publish(limits, WEB, 10)
    for _ in range(5):
        refusal(limits, TILL, 10)
    now.seconds += 10
    publish(limits, TILL, 10)


def test_keys_of_a_tenant_share_its_rate_and_other_tenants_do_not(now: Clock) -> None:
    limits = limits_of(now, tenant_events_per_second=10, tenant_burst_events=100)
    publish(limits, TILL, 60)
    assert 2.0 == wait(refusal(limits, WEB, 60))
    publish(limits, OTHER, 60)


def test_more_than_a_burst_is_let_in_after_a_silence_and_paid_for_afterwards(now: Clock) -> None:
    limits = limits_of(now, key_events_per_second=10, key_burst_events=100)
    publish(limits, TILL, 500)
    # 400 beyond the burst, and the one that is asked for.
    assert 40.1 == pytest.approx(wait(refusal(limits, TILL, 1)))


def test_bytes_have_a_rate_of_their_own(now: Clock) -> None:
    limits = limits_of(now, key_bytes_per_second=1000)
    publish(limits, TILL, 1, size=2000)
    assert 0.5 == wait(refusal(limits, TILL, 1, size=500))
    now.seconds += 0.5
    publish(limits, TILL, 1, size=500)


def test_a_key_with_limits_of_its_own_has_those(now: Clock) -> None:
    limits = limits_of(now, key_burst_events=10)
    publish(limits, Caller("acme", "bulk", frozenset(), key_id="bulk", burst_events=300), 300)
    publish(limits, TILL, 10)
    refused = refusal(limits, TILL, 10)
    assert "100000 events a second of this key" in refused.problem.want


def test_calls_of_a_key_at_once_are_bounded_and_end_with_an_error_too(now: Clock) -> None:
    limits = limits_of(now, key_concurrent_calls=2)
    with limits.call(TILL, events=1, size=1), limits.call(TILL, events=1, size=1):
        assert "CONCURRENCY_LIMITED" == refusal(limits, TILL, 1).problem.code
        publish(limits, WEB, 1)
    for _ in range(5):
        with contextlib.suppress(ValueError), limits.call(TILL, events=1, size=1):
            raise ValueError
    publish(limits, TILL, 1)


def test_what_remains_is_told(now: Clock) -> None:
    limits = limits_of(now, key_events_per_second=10, key_burst_events=100)
    assert (100, 100, 0) == limits.state(TILL)
    publish(limits, TILL, 45)
    assert (100, 55, 5) == limits.state(TILL)
    now.seconds += 1.05
    assert (100, 65, 4) == limits.state(TILL)
    publish(limits, TILL, 65)
    assert 0 == limits.state(TILL)[1]


@pytest.fixture
def an_hour_before_midnight(monkeypatch: pytest.MonkeyPatch) -> Timestamp:
    """What the wall clock says; a test moves it."""
    moment = Timestamp(seconds=20_000 * 86_400 + 23 * 3600)
    monkeypatch.setattr(clock, "now", lambda: moment)
    return moment


def test_more_than_a_day_s_quota_at_once_is_never_told_to_come_back(now: Clock) -> None:
    limits = limits_of(now, key_events_per_day=100)
    with pytest.raises(Malformed) as refused, limits.call(TILL, events=101, size=1):
        raise AssertionError("it was let in")
    assert ("BATCH_SIZE", "events", False) == (
        refused.value.problem.code,
        refused.value.problem.field,
        refused.value.retryable,
    )


def test_a_quota_that_is_used_up_is_refused_until_midnight_utc(
    now: Clock, an_hour_before_midnight: Timestamp
) -> None:
    limits = limits_of(now, key_events_per_day=100)
    publish(limits, TILL, 100)
    refused = refusal(limits, TILL, 1)
    assert ("QUOTA_EXHAUSTED", 3600.0) == (refused.problem.code, wait(refused))
    publish(limits, WEB, 100)
    now.seconds += 3600
    an_hour_before_midnight.seconds += 3600
    publish(limits, TILL, 100)
    assert 86_400.0 == wait(refusal(limits, TILL, 1))


def test_a_tenant_has_a_quota_over_all_its_keys(
    now: Clock, an_hour_before_midnight: Timestamp
) -> None:
    limits = limits_of(now, tenant_events_per_day=100)
    publish(limits, TILL, 60)
    assert "of this tenant" in refusal(limits, WEB, 60).problem.want
    publish(limits, OTHER, 60)


async def test_a_publish_that_failed_is_no_part_of_the_quota_and_one_that_was_given_up_is(
    now: Clock, an_hour_before_midnight: Timestamp
) -> None:
    limits = limits_of(now, key_events_per_day=100)
    for _ in range(5):
        with contextlib.suppress(Exhausted), limits.call(TILL, events=100, size=1):
            raise Exhausted("a place in the queue")
    with contextlib.suppress(asyncio.CancelledError), limits.call(TILL, events=99, size=1):
        # It may be stored: nobody knows.
        raise asyncio.CancelledError
    publish(limits, TILL, 1)
    refusal(limits, TILL, 1)


def test_a_tenant_alone_may_use_most_of_a_process_and_leaves_room(now: Clock) -> None:
    limits = limits_of(now)
    with contextlib.ExitStack() as under_way:
        for _ in range(module.WORK_ALONE_MAX // 500):
            under_way.enter_context(limits.call(TILL, events=500, size=1))
        assert "BUSY" == refusal(limits, WEB, 500).problem.code
        publish(limits, OTHER, 500)


def test_tenants_that_are_there_together_share_what_is_under_way(now: Clock) -> None:
    limits = limits_of(now)
    publish(limits, OTHER, 1)
    with contextlib.ExitStack() as under_way:
        for _ in range(module.WORK_SHARED_MAX // 2 // 500):
            under_way.enter_context(limits.call(TILL, events=500, size=1))
        assert "BUSY" == refusal(limits, TILL, 500).problem.code
        publish(limits, OTHER, module.WORK_SHARED_MAX // 2)
        # Whoever has been silent for long is not there any more.
        now.seconds += 2 * module.PRESENT_SECONDS
        publish(limits, TILL, 500)


def test_a_tenant_is_full_when_hardly_a_batch_fits_and_others_are_not(now: Clock) -> None:
    limits = limits_of(now)
    assert not limits.is_full(TILL)
    with limits.call(TILL, events=int(module.WORK_ALONE_MAX * module.FULL_SHARE), size=1):
        assert limits.is_full(WEB)
        assert not limits.is_full(OTHER)
    assert not limits.is_full(TILL)


def test_the_largest_call_gets_in_however_many_tenants_there_are(now: Clock) -> None:
    limits = limits_of(now)
    for number in range(100):
        publish(limits, Caller(f"tenant-{number}", "till", frozenset(), key_id=f"{number}"), 1)
    publish(limits, TILL, 500, size=4 * 1024 * 1024)


def test_large_events_count_as_more_than_one(now: Clock) -> None:
    limits = limits_of(now)
    size = module.WORK_ALONE_MAX * WORK_BYTES
    with limits.call(TILL, events=1, size=size // 2), limits.call(TILL, events=1, size=size // 2):
        assert "BUSY" == refusal(limits, TILL, 1).problem.code


def test_nothing_is_under_way_when_all_has_ended(now: Clock) -> None:
    limits = limits_of(now)
    for caller in (TILL, WEB, OTHER):
        publish(limits, caller, 500, size=100_000)
        with limits.question(caller):
            pass
    uses = (*limits._keys.values(), *limits._tenants.values())
    assert all(use.is_idle() for use in uses)
    assert (0, 0) == (limits.work, limits.questions)


def test_questions_of_one_tenant_leave_half_to_the_others(now: Clock) -> None:
    limits = limits_of(now)
    with contextlib.ExitStack() as under_way:
        for _ in range(module.QUESTIONS_TENANT_MAX):
            under_way.enter_context(limits.question(TILL))
        with pytest.raises(Exhausted, match="fewer questions"), limits.question(WEB):
            pytest.fail("let in")
        with limits.question(OTHER):
            # They wait for other services, so they keep nobody from publishing.
            publish(limits, TILL, 500)


def test_the_uses_that_are_kept_are_bounded_and_those_under_way_stay(
    now: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRACKED_MAX", 3)
    limits = limits_of(now, key_concurrent_calls=1)
    with limits.call(TILL, events=1, size=1):
        for number in range(20):
            publish(limits, Caller(f"tenant-{number}", "till", frozenset(), key_id=f"{number}"), 1)
        assert "CONCURRENCY_LIMITED" == refusal(limits, TILL, 1).problem.code
    assert 3 == len(limits._keys) == len(limits._tenants)
