from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import log10
from typing import Any

from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

HALF_LIFE = timedelta(hours=168)


@dataclass
class Post:
    told: Told
    post_id: str
    mood: Decimal | None
    removed_at: datetime | None
    first_reply_at: datetime | None
    age: timedelta

    @property
    def reply_minutes(self) -> float | None:
        if self.first_reply_at is None:
            return None
        return (self.first_reply_at - self.told.occurred_at) / timedelta(minutes=1)

    def weighed(self, reach: float) -> float | None:
        """Of so much reach."""
        return None if self.mood is None else float(max(Decimal(), -self.mood)) * reach

    @property
    def decay(self) -> float:
        return float(0.5 ** (max(self.age, timedelta()) / HALF_LIFE))


def posts_of(events: Sequence[Told], horizon: datetime) -> list[Post]:
    found = dict[tuple[str, str], Post]()
    replies = [each for each in events if each.kind == "public_post" and each.body.by_company]
    for each in sorted(events, key=lambda each: each.position):
        if each.kind == "public_post" and not each.body.by_company:
            post_id = each.body.post_id or f"event {each.position}"
            age = horizon - each.occurred_at
            post = Post(each, post_id, mood(each.body), None, None, age)
            found[each.body.platform, post_id] = post
    for (platform, post_id), post in found.items():
        removed = [
            each.occurred_at
            for each in events
            if each.kind == "public_post_removed"
            and (each.body.platform, each.body.post_id) == (platform, post_id)
        ]
        replied = [
            each.occurred_at
            for each in replies
            if (each.body.platform, each.body.reply_to_post_id) == (platform, post_id)
            and each.occurred_at >= post.told.occurred_at
        ]
        post.removed_at = min(removed, default=None)
        post.first_reply_at = min(replied, default=None)
    return list(found.values())


def mood(body: pb.PublicPost) -> Decimal | None:
    if not body.HasField("sentiment"):
        return None
    said = body.sentiment
    low, high, value = map(Decimal, (said.scale_min, said.scale_max, said.value))
    upwards = 2 * (value - low) / (high - low) - 1
    return upwards if said.direction == pb.DIRECTION_HIGHER_IS_BETTER else -upwards


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    rows = []
    for post in posts_of(events, horizon):
        body = post.told.body
        then, reached = post.weighed(log10(1 + body.reach)), post.weighed(body.reach)
        rows.append(
            {
                "platform": body.platform,
                "post_id": post.post_id,
                "event_position": post.told.position,
                "touchpoint": post.told.envelope.touchpoint or "unspecified",
                "posted_at": post.told.occurred_at,
                "reach": body.reach,
                "sentiment": None if post.mood is None else float(post.mood),
                "weight_then": then,
                "weight_now": None if then is None else then * post.decay,
                "angry_reach": None if reached is None else reached * post.decay,
                "removed_at": post.removed_at,
                "first_reply_at": post.first_reply_at,
                "first_reply_minutes": post.reply_minutes,
            }
        )
    angry = [row["angry_reach"] for row in rows if row["angry_reach"]]
    for row in rows:
        own = row["angry_reach"]
        row["rank"] = 1 + sum(other > own for other in angry) if own else None
    return rows
