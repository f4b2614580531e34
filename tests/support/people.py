"""Who is who, by what events say of identities: found by merging sets, not by following links."""

from collections.abc import Callable, Sequence

from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb


def people_of(events: Sequence[Told]) -> Callable[[str], str]:
    """Gives the person that a customer's reference belongs to: the least of all references of the person."""
    said = dict[tuple[str, str], bool]()
    words = [each for each in events if each.kind == "identity"]
    for each in sorted(words, key=lambda each: each.order):
        one, other = sorted((each.envelope.customer, each.body.same_as))
        said[one, other] = each.body.relation == pb.IDENTITY_RELATION_SAME
    groups = dict[str, set[str]]()
    for (one, other), same in said.items():
        if same:
            both = groups.get(one, {one}) | groups.get(other, {other})
            groups |= dict.fromkeys(both, both)
    return lambda customer: min(groups.get(customer, {customer}))
