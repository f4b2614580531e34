"""From a published event to the bytes that are stored for good: deterministic, no references to people."""

from services.gateway.access import Caller
from services.gateway.keyring import Keyring
from touchledger.v1 import events_pb2
from touchledger.v1.journal_pb2 import AppendEntry

# Literal and versioned: a rename of a field or a class changes no stored byte.
TOPICS = {
    "interaction": "touchledger.interaction.v1",
    "feedback_requested": "touchledger.feedback_requested.v1",
    "feedback_suppressed": "touchledger.feedback_suppressed.v1",
    "feedback_received": "touchledger.feedback_received.v1",
    "expectation": "touchledger.expectation.v1",
    "public_post": "touchledger.public_post.v1",
    "failure": "touchledger.failure.v1",
    "remedy": "touchledger.remedy.v1",
    "goodwill": "touchledger.goodwill.v1",
    "recovery_closed": "touchledger.recovery_closed.v1",
    "recognition": "touchledger.recognition.v1",
    "customer_profile": "touchledger.customer_profile.v1",
    "correction": "touchledger.correction.v1",
    "retraction": "touchledger.retraction.v1",
}
# The key id of personal data that is stored in clear.
CLEAR = 0


def encode(event: events_pb2.Event, caller: Caller, keyring: Keyring) -> AppendEntry:
    """The entry for the journal. Changes the event: pseudonym for customer, personal data in their own part.

    The digest is of the event as it was published, so that it stays the same when keys for sealing change.
    """
    body = event.WhichOneof("body")
    assert body is not None, "checked before"
    published = event.SerializeToString(deterministic=True)
    if event.customer:
        event.customer = keyring.pseudonym(caller.tenant, event.customer)
    if event.HasField("personal"):
        event.sealed_personal.key_id = CLEAR
        event.sealed_personal.data = event.personal.SerializeToString(deterministic=True)
        event.ClearField("personal")
    return AppendEntry(
        event_id=event.event_id,
        topic=TOPICS[body],
        event=event.SerializeToString(deterministic=True),
        content_digest=keyring.content_digest(caller.tenant, published),
    )
