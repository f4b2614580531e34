"""Whose deliveries are mapped next: tenants one after the other, the webhooks of each one after the other.

However much waits for one of them, the others' turns come round. Each gateway has turns of its own.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Due:
    """What waits for a webhook and is due."""

    tenant: str
    webhook_id: str
    # How many, counted up to what is taken at once.
    deliveries: int


class Turns:
    def __init__(self) -> None:
        # The tenant that had the last turn, and the webhook that had the last one of each tenant.
        self._tenant = ""
        self._webhooks = dict[str, str]()

    def shares(self, due: Iterable[Due], deliveries_max: int) -> dict[str, int]:
        """How many deliveries of which webhook are next, no more than so many together."""
        left = dict[str, dict[str, int]]()
        for each in due:
            left.setdefault(each.tenant, {})[each.webhook_id] = each.deliveries
        # Of a tenant for whom nothing waits any more nothing need be known.
        self._webhooks = {name: last for name, last in self._webhooks.items() if name in left}
        shares = Counter[str]()
        while left and shares.total() < deliveries_max:
            tenant = self._tenant = _after(self._tenant, left)
            webhooks = left[tenant]
            webhook_id = self._webhooks[tenant] = _after(self._webhooks.get(tenant, ""), webhooks)
            shares[webhook_id] += 1
            webhooks[webhook_id] -= 1
            if not webhooks[webhook_id]:
                del webhooks[webhook_id]
            if not webhooks:
                del left[tenant]
        return dict(shares)


def _after(last: str, names: Iterable[str]) -> str:
    """Whose turn comes after this one's, in a ring."""
    return min(names, key=lambda name: (name <= last, name))
