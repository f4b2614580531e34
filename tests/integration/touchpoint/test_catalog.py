"""The catalogue over gRPC: each command is one decision in the journal, once, whoever repeats it and when."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import grpc
import pytest
from google.protobuf.message import Message

from services.chassis.errors import Conflict, Exhausted, Malformed, NotFound, ServiceError
from services.chassis.postgres import Pool
from services.touchpoint.appender import VersionConflict
from services.touchpoint.decisions import decisions, listing
from services.touchpoint.decisions.decisions import ATTEMPTS_MAX, stream_id
from services.touchpoint.journal import Journal
from services.touchpoint.row import Rows
from tests.support.decisions import (
    DEADLINE_SECONDS,
    Client,
    change,
    definition,
    opening,
    remedy,
    retirement,
    served,
)
from tests.support.stack import Stack
from touchledger.v1 import catalog_pb2 as catalog
from touchledger.v1 import catalog_pb2_grpc, scoring_pb2, scoring_pb2_grpc
from touchledger.v1 import events_pb2 as events

GET = catalog.GetTouchpointRequest(touchpoint="store.checkout")


@pytest.fixture
async def acme(journal_pool: Pool) -> AsyncIterator[Client]:
    async with served(journal_pool) as channel:
        yield Client(channel)


@pytest.fixture
async def replica(journal_pool: Pool) -> AsyncIterator[Client]:
    """The same tenant at another process on the same journal."""
    async with served(journal_pool) as channel:
        yield Client(channel)


async def stored(pool: Pool) -> list[asyncpg.Record]:
    return await pool.fetch("SELECT * FROM journal.stored_events ORDER BY notification_id")


async def listed(pool: Pool) -> list[asyncpg.Record]:
    return await pool.fetch("SELECT * FROM journal.decision_streams ORDER BY tenant, kind, name")


# Commands


async def test_a_touchpoint_is_defined_as_it_was_said(acme: Client) -> None:
    request = definition()
    answer = await acme.ask(request)
    assert 1 == answer.position.number
    made = answer.touchpoint
    assert catalog.TOUCHPOINT_STATUS_ACTIVE == made.status
    for field in ("touchpoint", "placement", "owner", "weight", "expectation", "decided_by"):
        assert getattr(request, field) == getattr(made, field)
    assert 1 == made.version
    assert made.defined_at == made.decided_at
    got = await acme.ask(GET)
    assert (answer.touchpoint, answer.position) == (got.touchpoint, got.position)


async def test_a_weight_that_is_not_said_is_one_and_an_expectation_that_is_not_is_none(
    acme: Client,
) -> None:
    request = definition()
    request.ClearField("weight")
    request.ClearField("expectation")
    made = (await acme.ask(request)).touchpoint
    assert "1" == made.weight
    assert not made.HasField("expectation")


async def test_a_decision_is_an_event_of_its_touchpoint_s_stream(
    acme: Client, journal_pool: Pool
) -> None:
    await acme.ask(definition())
    await acme.ask(change("weight", weight="2"))
    await acme.ask(retirement())
    rows = await stored(journal_pool)
    stream = stream_id("acme", "touchpoint_definition", "store.checkout")
    assert [
        (stream, 1, "touchledger.touchpoint_definition.registered.v1"),
        (stream, 2, "touchledger.touchpoint_definition.weight_changed.v1"),
        (stream, 3, "touchledger.touchpoint_definition.retired.v1"),
    ] == [(row["originator_id"], row["originator_version"], row["topic"]) for row in rows]
    for row in rows:
        assert ("acme", "touchledger") == (row["tenant"], row["source"])
        assert row["content_digest"] == row["state_digest"]
        assert b"store_closed" in row["state"] or row["originator_version"] < 3


CHANGES: dict[str, Any] = {
    "placement": catalog.Placement(stage=events.STAGE_SERVICE, channel=events.CHANNEL_PHONE),
    "owner": "Geschäft 4",
    "weight": "0.000001",
    "expectation": catalog.ServiceStandard(wait_within={"seconds": 60}),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_one_thing_is_changed_and_the_rest_stays(acme: Client, what: str) -> None:
    before = (await acme.ask(definition())).touchpoint
    answer = await acme.ask(change("now", **{what: CHANGES[what]}))
    after = answer.touchpoint
    assert CHANGES[what] == getattr(after, what)
    assert (2, 2) == (after.version, answer.position.number)
    for field in {*CHANGES} - {what} | {"touchpoint", "status", "defined_at"}:
        assert getattr(before, field) == getattr(after, field)


async def test_a_retired_touchpoint_stays_and_can_be_defined_again(acme: Client) -> None:
    before = (await acme.ask(definition())).touchpoint
    assert isinstance(await acme.refusal(definition(request_id="another")), Conflict)
    retired = (await acme.ask(retirement())).touchpoint
    assert catalog.TOUCHPOINT_STATUS_RETIRED == retired.status
    assert before.expectation == retired.expectation
    assert isinstance(await acme.refusal(change("now", weight="2")), Conflict)
    again = (await acme.ask(definition(request_id="again", owner="Online"))).touchpoint
    assert (catalog.TOUCHPOINT_STATUS_ACTIVE, "Online", 3) == (
        again.status,
        again.owner,
        again.version,
    )
    assert before.defined_at == again.defined_at


# Repeated commands

COMMANDS: list[Message] = [
    definition(),
    *(change(f"change {what}", **{what: CHANGES[what]}) for what in CHANGES),
    retirement(),
    definition(request_id="again", owner="Online"),
]


async def test_a_repeated_command_gets_the_answer_of_the_first_time_and_stores_nothing(
    acme: Client, replica: Client, journal_pool: Pool
) -> None:
    answers = [await acme.ask(each) for each in COMMANDS]
    assert list(range(1, len(COMMANDS) + 1)) == [each.position.number for each in answers]
    for who in (acme, replica):
        assert answers == [await who.ask(each) for each in COMMANDS]
    assert len(COMMANDS) == len(await stored(journal_pool))


async def test_a_command_repeated_on_an_expected_version_that_has_passed_is_still_answered(
    acme: Client,
) -> None:
    await acme.ask(definition())
    request = change("now", weight="2", expected_version=1)
    answer = await acme.ask(request)
    assert answer == await acme.ask(request)


async def test_another_command_with_the_same_request_id_is_a_conflict(
    acme: Client, journal_pool: Pool
) -> None:
    await acme.ask(definition())
    for other in (
        definition(owner="Online"),
        change("define", weight="2"),
        catalog.RetireTouchpointRequest(
            request_id="define", decided_by="a", touchpoint="store.checkout", reason="b"
        ),
    ):
        refused = await acme.refusal(other)
        assert isinstance(refused, Conflict)
        assert ("REQUEST_ID_CONFLICT", "request_id") == (
            refused.problem.code,
            refused.problem.field,
        )
    assert 1 == len(await stored(journal_pool))


async def test_one_request_sent_many_times_at_once_through_two_processes_is_one_decision(
    acme: Client, replica: Client, journal_pool: Pool
) -> None:
    for number, request in enumerate((definition(), change("now", weight="2")), start=1):
        async with asyncio.timeout(DEADLINE_SECONDS):
            answers = await asyncio.gather(*(who.ask(request) for who in (acme, replica) * 8))
        assert [answers[0]] * 16 == answers
        assert number == len(await stored(journal_pool))


async def test_commands_at_once_through_two_processes_are_each_taken_once(
    acme: Client, replica: Client, journal_pool: Pool
) -> None:
    await acme.ask(definition())
    async with asyncio.timeout(DEADLINE_SECONDS):
        answers = await asyncio.gather(
            *(
                who.ask(change(f"{index} {name}", weight=f"{index}"))
                for index in range(4)
                for name, who in (("a", acme), ("b", replica))
            )
        )
    assert set(range(2, 10)) == {each.touchpoint.version for each in answers}
    assert set(range(2, 10)) == {each.position.number for each in answers}
    last = max(answers, key=lambda each: each.touchpoint.version)
    assert last.touchpoint == (await acme.ask(GET)).touchpoint
    assert list(range(1, 10)) == [row["notification_id"] for row in await stored(journal_pool)]


async def test_of_commands_that_rest_on_one_version_one_is_taken(
    acme: Client, replica: Client, journal_pool: Pool
) -> None:
    await acme.ask(definition())
    async with asyncio.timeout(DEADLINE_SECONDS):
        outcomes = await asyncio.gather(
            *(
                who.ask(change(f"{index} {name}", weight="2", expected_version=1))
                for index in range(4)
                for name, who in (("a", acme), ("b", replica))
            ),
            return_exceptions=True,
        )
    assert 1 == len([each for each in outcomes if not isinstance(each, BaseException)])
    assert 2 == len(await stored(journal_pool))
    refused = await acme.refusal(change("late", weight="3", expected_version=1))
    assert ("VERSION_MISMATCH", "1") == (refused.problem.code, refused.problem.got)


async def test_who_loses_against_others_again_and_again_is_told_to_come_back(
    acme: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = list[int]()

    async def lose(journal: Journal, rows: Rows, *, also: object) -> None:
        attempts.append(len(rows))
        raise VersionConflict(UUID(int=1), expected=0, stored=1)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "decide", lose)
        refused = await acme.refusal(definition())
    assert isinstance(refused, Exhausted)
    assert refused.problem.retryable
    assert [1] * ATTEMPTS_MAX == attempts
    assert 1 == (await acme.ask(definition())).position.number


async def test_a_process_that_was_killed_after_a_command_answers_its_repetition(
    stack: Stack,
) -> None:
    [touchpoint] = stack.touchpoints

    async def ask(request: Message) -> Any:
        async with grpc.aio.insecure_channel(touchpoint.address) as channel:
            return await Client(channel).ask(request)

    answers = [await ask(definition()), await ask(opening()), await ask(remedy())]
    await asyncio.to_thread(touchpoint.kill)
    touchpoint.start()
    await asyncio.to_thread(touchpoint.wait_until_ready)
    assert answers == [await ask(definition()), await ask(opening()), await ask(remedy())]


async def test_a_decision_is_stored_with_the_trace_of_its_command(stack: Stack) -> None:
    sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with grpc.aio.insecure_channel(stack.touchpoints[0].address) as channel:
        await catalog_pb2_grpc.TouchpointCatalogServiceStub(channel).DefineTouchpoint(
            definition(),
            metadata=(("touchledger-tenant", "acme"), ("traceparent", sent)),
            timeout=DEADLINE_SECONDS,
        )
    connection = await asyncpg.connect(stack.urls["touchpoint"])
    stored_with = await connection.fetchval("SELECT traceparent FROM journal.stored_events")
    await connection.close()
    assert sent == stored_with


async def test_scoring_goes_on_past_decisions(stack: Stack) -> None:
    async with grpc.aio.insecure_channel(stack.touchpoints[0].address) as channel:
        for each in (*COMMANDS, opening(), remedy()):
            last = (await Client(channel).ask(each)).position.number
    async with (
        grpc.aio.insecure_channel(stack.scoring.address) as channel,
        asyncio.timeout(DEADLINE_SECONDS),
    ):
        scoring = scoring_pb2_grpc.ScoringServiceStub(channel)
        while True:
            status = await scoring.GetStatus(
                scoring_pb2.GetStatusRequest(),
                metadata=(("touchledger-tenant", "acme"),),
                timeout=DEADLINE_SECONDS,
            )
            if status.checkpoint.number == last:
                break
            await asyncio.sleep(0.05)
    assert (0, 0) == (status.missing_positions, status.waiting_amendments)
    assert 1 == status.events["touchledger.recovery_case.opened.v1"]
    assert last == sum(status.events.values())


# What is refused


def with_placement(stage: int, channel: int) -> catalog.DefineTouchpointRequest:
    made = definition()
    made.placement.stage = stage  # type: ignore[assignment]  # the wire carries any number
    made.placement.channel = channel  # type: ignore[assignment]  # likewise
    return made


def with_signal(**fields: Any) -> catalog.DefineTouchpointRequest:
    made = definition()
    for name, value in fields.items():
        setattr(made.expectation.answers[0], name, value)
    return made


def with_answers(count: int) -> catalog.DefineTouchpointRequest:
    made = definition()
    made.expectation.answers.extend(made.expectation.answers[:1] * (count - 1))
    return made


def with_wait(seconds: int) -> catalog.DefineTouchpointRequest:
    made = definition()
    made.expectation.wait_within.seconds = seconds
    return made


def changed(**fields: Any) -> catalog.DefineTouchpointRequest:
    made = definition()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def unknown(at: str) -> Message:
    made = definition()
    inner = made.expectation if at == "expectation" else made
    inner.MergeFromString(b"\xf8\x3e\x01")  # field 1007, varint 1
    return made


AT = "expectation.answers[0]"
REFUSED: dict[str, tuple[Message, str]] = {
    "no request id": (changed(request_id=""), "request_id"),
    "a long request id": (changed(request_id="x" * 129), "request_id"),
    "a request id with NUL": (changed(request_id="a\0b"), "request_id"),
    "nobody decides": (changed(decided_by=""), "decided_by"),
    "somebody on two lines decides": (changed(decided_by="a\nb"), "decided_by"),
    "no name": (changed(touchpoint=""), "touchpoint"),
    "a name with a space": (changed(touchpoint="store checkout"), "touchpoint"),
    "a long name": (changed(touchpoint="x" * 129), "touchpoint"),
    "no stage": (with_placement(0, 1), "placement.stage"),
    "a stage nobody knows": (with_placement(99, 1), "placement.stage"),
    "no channel": (with_placement(1, 0), "placement.channel"),
    "no owner": (changed(owner=""), "owner"),
    "a negative weight": (changed(weight="-1"), "weight"),
    "a weight in another notation": (changed(weight="1e3"), "weight"),
    "a weight with NUL": (changed(weight="1\0"), "weight"),
    "a weight with seven decimals": (changed(weight="0.1234567"), "weight"),
    "an unknown field": (unknown(""), ""),
    "an unknown field inside": (unknown("expectation"), ""),
    "no metric": (with_signal(metric=0), f"{AT}.metric"),
    "no direction": (with_signal(direction=0), f"{AT}.direction"),
    "no scale": (with_signal(scale_max=""), f"{AT}.scale_max"),
    "a scale upside down": (with_signal(scale_min="5", value="5"), f"{AT}.scale_max"),
    "a value outside of its scale": (with_signal(value="5.1"), f"{AT}.value"),
    "a model for an answer": (with_signal(model="m/3"), f"{AT}.model"),
    "NPS on another scale": (with_signal(metric=events.METRIC_NPS), f"{AT}.scale_min"),
    "a dimension with NUL": (with_signal(dimension="\0"), f"{AT}.dimension"),
    "two answers about one thing": (with_answers(2), "expectation.answers[1]"),
    "too many answers": (with_answers(21), "expectation.answers"),
    "a negative wait": (with_wait(-1), "expectation.wait_within"),
    "a wait of years": (with_wait(367 * 86_400), "expectation.wait_within"),
    "nothing is expected": (
        change("now", expectation=catalog.ServiceStandard()),
        "expectation",
    ),
    "nothing is changed": (change("now"), "change"),
    "a change without an owner": (change("now", owner=""), "owner"),
    "no reason": (
        catalog.RetireTouchpointRequest(request_id="a", decided_by="b", touchpoint="c"),
        "reason",
    ),
    "a sentence for a reason": (
        catalog.RetireTouchpointRequest(
            request_id="a", decided_by="b", touchpoint="c", reason="Ms Doe did not like it"
        ),
        "reason",
    ),
    "a name with NUL to get": (catalog.GetTouchpointRequest(touchpoint="a\0"), "touchpoint"),
    "a page of 101": (catalog.ListTouchpointsRequest(page_size=101), "page_size"),
    "a long page token": (catalog.ListTouchpointsRequest(page_token="x" * 129), "page_token"),
    "a page token with NUL": (catalog.ListTouchpointsRequest(page_token="\0"), "page_token"),
    "an owner with NUL to list": (catalog.ListTouchpointsRequest(owner="\0"), "owner"),
}


async def test_what_breaks_a_rule_is_refused_with_the_field_and_stored_nowhere(
    acme: Client, journal_pool: Pool
) -> None:
    told = {name: await acme.refusal(request) for name, (request, _) in REFUSED.items()}
    assert {name: (Malformed, field) for name, (_, field) in REFUSED.items()} == {
        name: (type(error), error.problem.field) for name, error in told.items()
    }
    assert [] == await stored(journal_pool)


@pytest.mark.parametrize("tenant", ["", "x" * 65])
async def test_a_call_without_a_tenant_is_refused(acme: Client, tenant: str) -> None:
    refused = await Client(acme.channel, tenant).refusal(GET)
    assert (Malformed, "touchledger-tenant") == (type(refused), refused.problem.field)


async def test_what_is_not_defined_is_not_found(acme: Client, journal_pool: Pool) -> None:
    for request in (GET, change("now", weight="2"), retirement()):
        refused = await acme.refusal(request)
        assert (NotFound, "touchpoint") == (type(refused), refused.problem.field)
    assert [] == await stored(journal_pool)


async def test_another_tenant_s_touchpoint_is_not_found_and_its_name_is_free(
    acme: Client,
) -> None:
    ours = await acme.ask(definition())
    other = Client(acme.channel, "other")
    for request in (GET, change("define", weight="2"), retirement()):
        assert isinstance(await other.refusal(request), NotFound)
    assert [] == list((await other.ask(catalog.ListTouchpointsRequest())).touchpoints)
    theirs = await other.ask(definition(owner="Others"))
    assert (2, "Others") == (theirs.position.number, theirs.touchpoint.owner)
    assert ours.touchpoint == (await acme.ask(GET)).touchpoint
    assert [ours.touchpoint] == list((await acme.ask(catalog.ListTouchpointsRequest())).touchpoints)


# Lists

# In the order of bytes, which no language has.
NAMES = ["B", "Z/1", "a", "a-b", "a.b", "a/c", "ab", "b"]


@pytest.fixture
async def many(acme: Client) -> Client:
    for index, name in enumerate(reversed(NAMES)):
        await acme.ask(definition(name, owner=f"owner {index % 2}"))
    for name in NAMES[2:5]:
        await acme.ask(retirement(name))
    await Client(acme.channel, "other").ask(definition("a.a"))
    return acme


async def names(client: Client, **request: Any) -> list[str]:
    """Of all pages."""
    found, token = list[str](), ""
    while True:
        page = await client.ask(catalog.ListTouchpointsRequest(page_token=token, **request))
        assert len(page.touchpoints) <= request.get("page_size", 50)
        found += [each.touchpoint for each in page.touchpoints]
        token = page.next_page_token
        if not token:
            return found


async def test_a_page_ends_before_it_reads_too_many_decisions(
    many: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "DECISIONS_READ_MAX", 3)
    page = await many.ask(catalog.ListTouchpointsRequest(page_size=100))
    # A definition each of the first two; the third was retired, too.
    assert NAMES[:2] == [each.touchpoint for each in page.touchpoints]
    assert NAMES == await names(many, page_size=100)


@pytest.mark.parametrize("page_size", [1, 3, 4, 7, 8, 100])
async def test_pages_hold_every_touchpoint_once_in_the_order_of_bytes(
    many: Client, page_size: int
) -> None:
    assert NAMES == await names(many, page_size=page_size)
    retired = catalog.TOUCHPOINT_STATUS_RETIRED
    assert NAMES[2:5] == await names(many, page_size=page_size, status=retired)
    active = catalog.TOUCHPOINT_STATUS_ACTIVE
    assert NAMES[:2] + NAMES[5:] == await names(many, page_size=page_size, status=active)
    assert NAMES[1::2] == await names(many, page_size=page_size, owner="owner 0")
    assert [NAMES[3]] == await names(many, page_size=page_size, owner="owner 0", status=retired)
    assert [] == await names(many, page_size=page_size, owner="nobody")


async def test_a_list_tells_what_get_tells(many: Client) -> None:
    page = await many.ask(catalog.ListTouchpointsRequest())
    for each in page.touchpoints:
        request = catalog.GetTouchpointRequest(touchpoint=each.touchpoint)
        assert (await many.ask(request)).touchpoint == each


async def test_the_table_of_lists_made_again_from_the_journal_is_the_same_row_for_row(
    many: Client, journal_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await many.ask(opening())
    await many.ask(remedy())
    live = await listed(journal_pool)
    assert len(NAMES) + 2 == len(live)
    monkeypatch.setattr(listing, "REBUILD_ROWS", 3)
    await journal_pool.execute(
        "UPDATE journal.decision_streams SET status = 'lost' WHERE name < 'a'"
    )
    await journal_pool.execute("DELETE FROM journal.decision_streams WHERE name > 'a'")
    await journal_pool.execute(
        "INSERT INTO journal.decision_streams SELECT tenant, kind, name || ' of nobody', "
        "originator_id, version, status, touchpoint, owner, opened_at, decided_at "
        "FROM journal.decision_streams"
    )
    await listing.rebuild(journal_pool)
    assert live == await listed(journal_pool)


async def test_a_decision_that_can_t_be_listed_is_not_stored(
    acme: Client, journal_pool: Pool
) -> None:
    await journal_pool.execute("ALTER TABLE journal.decision_streams RENAME TO away")
    assert isinstance(await acme.refusal(definition()), ServiceError)
    assert [] == await stored(journal_pool)
    await journal_pool.execute("ALTER TABLE journal.away RENAME TO decision_streams")
    assert 1 == (await acme.ask(definition())).position.number
