"""`touchledger journey`: everything that is known of one customer."""

import json
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.padding import Padding
from rich.text import Text

from services.cli.ask import ask
from services.cli.score_options import (
    AsOfOption,
    LimitOption,
    OccurredBeforeOption,
    OccurredFromOption,
    all_pages,
    fill,
    freshness,
)
from services.cli.shown import as_json, utc, visible
from services.cli.system import (
    DEFAULT_DATA,
    CaOption,
    DataOption,
    JsonOption,
    KeyOption,
    TargetOption,
)
from touchledger.v1 import scoring_pb2 as pb
from touchledger.v1.scoring_pb2_grpc import ScoringServiceStub

# Under the line that says when and where: what a fact says has no width that would fit a column.
INDENT = 4


def journey(
    customer: Annotated[
        str, typer.Argument(metavar="CUSTOMER", help="The source's own reference of the customer.")
    ],
    correlation_id: Annotated[
        str, typer.Option("--correlation-id", metavar="ID", help="Only this journey or episode.")
    ] = "",
    occurred_from: OccurredFromOption = "",
    occurred_before: OccurredBeforeOption = "",
    as_of: AsOfOption = "",
    limit: LimitOption = 100,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show what happened to one customer, from all sources, in the order in which it occurred."""
    request = pb.GetJourneyRequest(customer=customer, correlation_id=correlation_id)
    fill(request, occurred_from=occurred_from, occurred_before=occurred_before, as_of=as_of)
    answer: pb.GetJourneyResponse = ask(
        ScoringServiceStub,
        lambda stub, call: all_pages(stub.GetJourney, request, call, "facts", limit),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps(as_json(answer)))
    else:
        Console().print(*map(_fact, answer.facts), Text(_of_the_whole(answer)), sep="\n")


def _of_the_whole(answer: pb.GetJourneyResponse) -> str:
    stages = ", ".join(f"{each.stage} {each.facts:,}" for each in answer.stages)
    more = "; there are more, see --limit" if answer.next_page_token else ""
    as_of = f"as of position {answer.as_of_position.number:,}{more}"
    return f"facts by stage: {stages}\n{as_of}\n{freshness(answer.freshness)}"


def _fact(fact: pb.JourneyFact) -> Group:
    what = fact.table.removeprefix("fact_").replace("_", " ")
    details = ", ".join(f"{name} {fact.details[name]}" for name in sorted(fact.details))
    said = f"{utc(fact.occurred_at)}  {fact.touchpoint}  {fact.stage}  {fact.phase}  {what}"
    head = Text(visible(said))
    return (
        Group(head, Padding(Text(visible(details)), (0, 0, 0, INDENT))) if details else Group(head)
    )
