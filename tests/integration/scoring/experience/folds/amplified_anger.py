from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from math import log10
from statistics import median
from typing import Any

from tests.integration.scoring.experience.folds.points import median_bounds
from tests.integration.scoring.experience.folds.public_post_trace import Post, posts_of
from tests.support.told import Told

SOON_MINUTES = 60


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    by_touchpoint = defaultdict[str, list[Post]](list)
    for post in posts_of(events, horizon):
        by_touchpoint[post.told.envelope.touchpoint or "unspecified"].append(post)
    rows = [told(touchpoint, posts) for touchpoint, posts in by_touchpoint.items()]
    for row in rows:
        row["rank"] = 1 + sum(
            other["angry_reach"] is not None
            and (row["angry_reach"] is None or other["angry_reach"] > row["angry_reach"])
            for other in rows
        )
    return rows


def told(touchpoint: str, posts: list[Post]) -> dict[str, Any]:
    read = [post for post in posts if post.mood is not None]
    loud = {
        post.told.position: (post.weighed(post.told.body.reach) or 0) * post.decay for post in read
    }
    worst = max(loud, key=lambda position: (loud[position], -position), default=None)
    old = [post for post in posts if post.age >= timedelta(minutes=SOON_MINUTES)]
    minutes = [post.reply_minutes for post in old if post.reply_minutes is not None]
    lo, hi = median_bounds(minutes)
    soon = sum(each <= SOON_MINUTES for each in minutes)
    return {
        "touchpoint": touchpoint,
        "posts": len(posts),
        "negative_posts": sum(post.mood is not None and post.mood < 0 for post in posts),
        "removed_posts": sum(post.removed_at is not None for post in posts),
        "reach": sum(post.told.body.reach for post in posts),
        "amplified_anger": sum(
            (post.weighed(log10(1 + post.told.body.reach)) or 0) * post.decay for post in read
        )
        if read
        else None,
        "angry_reach": sum(loud.values()) if read else None,
        "worst_position": worst if worst is not None and loud[worst] > 0 else None,
        "first_reply_minutes": median(minutes) if minutes else None,
        "first_reply_minutes_lo": lo,
        "first_reply_minutes_hi": hi,
        "answered_60min": soon,
        "answered_60min_share": soon / len(old) if old else None,
        "unanswered": len(old) - len(minutes),
        "pending": len(posts) - len(old),
    }
