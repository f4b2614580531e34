"""Turns: tenants share alike, webhooks of a tenant share its part, and everybody comes round."""

from services.gateway.turns import Due, Turns


def due(tenant: str, *deliveries: int) -> list[Due]:
    """Webhooks of the tenant, with so many that wait for each."""
    return [Due(tenant, f"{tenant}{index}", count) for index, count in enumerate(deliveries)]


def test_who_is_alone_gets_all() -> None:
    assert {"a0": 16} == Turns().shares(due("a", 16), 16)


def test_tenants_share_alike_and_so_do_the_webhooks_of_each() -> None:
    assert {"a0": 4, "a1": 4, "b0": 8} == Turns().shares([*due("a", 16, 16), *due("b", 16)], 16)


def test_what_one_leaves_goes_to_the_others() -> None:
    waits = [*due("a", 1, 16), *due("b", 16, 2)]
    assert {"a0": 1, "a1": 7, "b0": 6, "b1": 2} == Turns().shares(waits, 16)
    assert {"a0": 1} == Turns().shares(due("a", 1), 16)
    assert {} == Turns().shares([], 16)


def test_all_come_round_where_there_are_more_than_places() -> None:
    turns, tenants = Turns(), [f"{number:02}" for number in range(10)]
    waits = [each for tenant in tenants for each in due(tenant, 16)]
    rounds = [turns.shares(waits, 4) for _ in range(5)]
    assert all(4 == len(shares) for shares in rounds)
    assert dict.fromkeys((each.webhook_id for each in waits), 2) == {
        each.webhook_id: sum(shares.get(each.webhook_id, 0) for shares in rounds) for each in waits
    }


def test_all_webhooks_of_a_tenant_come_round() -> None:
    turns, waits = Turns(), due("a", *[16] * 6)
    first, second = turns.shares(waits, 4), turns.shares(waits, 4)
    assert {"a0": 1, "a1": 1, "a2": 1, "a3": 1} == first
    assert {"a4": 1, "a5": 1, "a0": 1, "a1": 1} == second
