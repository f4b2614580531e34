"""Names and shape of the stream."""

import asyncio
import contextlib

import pytest

from services.chassis.buffer import (
    Link,
    Shape,
    partition_of,
    raise_if_cancelled,
    refused_durability,
    subject_of,
    tenant_of,
)
from services.chassis.postgres import Unsuitable

SHAPE = Shape(replicas=3, partitions=4, bytes_max=1024, tenant_messages_max=10)


@pytest.mark.parametrize(
    "tenant", ["acme", "acme.example", "a b", "*", ">", "caf\u00e9", "a%2Eb", "$JS", "\u65e5" * 64]
)
def test_a_subject_has_one_token_for_any_tenant_and_gives_it_back(tenant: str) -> None:
    subject = subject_of(7, tenant)
    assert subject.count(".") == 3
    assert not set(subject) & set(" *>\t\r\n")
    assert (partition_of(subject), tenant_of(subject)) == (7, tenant)


def test_a_stream_as_it_is_made_has_no_faults() -> None:
    assert not SHAPE.faults(SHAPE.config(first_sequence=5))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_replicas", 1),
        ("storage", "memory"),
        ("discard", "old"),
        ("discard_new_per_subject", False),
        ("max_bytes", -1),
        ("max_msgs_per_subject", -1),
        ("max_age", 60),
        ("no_ack", True),
        ("subjects", ["touchledger.batches.0.*"]),
    ],
)
def test_a_stream_that_promises_less_is_named(name: str, value: object) -> None:
    [fault] = SHAPE.faults(SHAPE.config(first_sequence=5) | {name: value})
    assert fault.startswith(f"{name}: got {value}, want ")


def test_a_gateway_trusts_no_ack_of_memory_or_of_fewer_servers() -> None:
    config = SHAPE.config(first_sequence=5)
    assert not refused_durability(config, replicas=3)
    for wrong in ({"storage": "memory"}, {"discard": "old"}, {"no_ack": True}, {"num_replicas": 1}):
        assert refused_durability(config | wrong, replicas=3)


@pytest.mark.parametrize("servers", ["", "localhost:4222", "http://h:1", "nats://", "nats://h:x"])
def test_servers_that_are_none_end_the_start_and_no_password_is_shown(servers: str) -> None:
    with pytest.raises(Unsuitable) as refused:
        Link(f"{servers},http://u:secret@h:1", name="test")
    assert "secret" not in str(refused.value)


async def test_a_cancellation_that_a_library_has_swallowed_is_found_again() -> None:
    begun = asyncio.Event()

    async def swallowing() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            begun.set()
            await asyncio.Event().wait()
        raise_if_cancelled()

    task = asyncio.create_task(swallowing())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
