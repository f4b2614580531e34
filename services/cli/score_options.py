"""What questions about scores share: options, what they become in a request, pages, and freshness."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from services.cli.moment import moment
from services.cli.shown import utc
from services.cli.system import EXIT_USAGE, stop
from touchledger.v1 import scoring_pb2 as pb

DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
POSITION = re.compile(r"\d{1,18}", re.ASCII)
# What --only can name: the repeated fields of requests.
ONLY = ("stage", "channel", "service_mode", "store", "source", "generation", "staff_group")
# The server's largest page.
PAGE_SIZE_MAX = 1000

TouchpointOption = Annotated[
    str, typer.Option("--touchpoint", metavar="GLOB", help="Only touchpoints like this: 'store.*'.")
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="NAME=VALUE",
        help=f"Only this value, such as channel=web; repeatable. NAME: {', '.join(ONLY)}.",
    ),
]
OccurredFromOption = Annotated[
    str,
    typer.Option(
        "--occurred-from", metavar="T", help="Only what happened then or later, as below."
    ),
]
OccurredBeforeOption = Annotated[
    str,
    typer.Option(
        "--occurred-before",
        metavar="T",
        help="Only what happened before: 2026-09-01 (midnight in the reporting zone) or "
        "2026-09-01T12:00:00Z.",
    ),
]
AsOfOption = Annotated[
    str,
    typer.Option(
        "--as-of", metavar="T|POSITION", help="As it was known then: a date, a time, a position."
    ),
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Show at most so many.")]


def fill(
    request: Any,
    *,
    touchpoint: str = "",
    only: Sequence[str] | None = None,
    occurred_from: str = "",
    occurred_before: str = "",
    as_of: str = "",
) -> None:
    """Puts the options into the request of any question; which it has none of stay empty."""
    if touchpoint:
        request.touchpoint_glob = touchpoint
    for each in only or ():
        name, equals, value = each.partition("=")
        if not equals or name not in ONLY:
            stop(f"--only: got {each!r}, want NAME=VALUE with NAME {', '.join(ONLY)}", EXIT_USAGE)
        getattr(request, name).append(value)
    if occurred_from:
        set_moment(request, "occurred_from", "--occurred-from", occurred_from)
    if occurred_before:
        set_moment(request, "occurred_before", "--occurred-before", occurred_before)
    if as_of:
        set_state(request, "as_of", "--as-of", as_of)


def set_state(request: Any, field: str, option: str, text: str) -> None:
    """A state of what is known, by its position or by a moment."""
    if POSITION.fullmatch(text):
        # Position 0, before everything, is one as well.
        getattr(request, f"{field}_position").SetInParent()
        getattr(request, f"{field}_position").number = int(text)
    else:
        set_moment(request, field, option, text)


def set_moment(request: Any, field: str, option: str, text: str) -> None:
    """A date goes as it is: the tenant's reporting zone is the server's to know."""
    if DATE.fullmatch(text):
        setattr(request, f"{field}_date", text)
        return
    want = "a date such as 2026-09-01 or a time with its offset such as 2026-09-01T12:00:00Z"
    getattr(request, f"{field}_time").CopyFrom(moment(option, text, want=want))


def freshness(told: pb.Freshness) -> str:
    """One line: how far the read models were at the answer."""
    recorded = f", recorded {utc(told.recorded_at)}" if told.HasField("recorded_at") else ""
    return f"read models at position {told.position.number:,}{recorded}; {told.lag:,} behind"


async def all_pages(ask: Any, request: Any, call: dict[str, Any], rows: str, limit: int) -> Any:
    """The answer to the first page, with the rows of so many pages that there are `limit` of them."""
    request.page_size = min(limit, PAGE_SIZE_MAX)
    answer = await ask(request, **call)
    told = getattr(answer, rows)
    while answer.next_page_token and len(told) < limit:
        request.page_token = answer.next_page_token
        page = await ask(request, **call)
        told.extend(getattr(page, rows))
        answer.next_page_token = page.next_page_token
    del told[limit:]
    return answer
