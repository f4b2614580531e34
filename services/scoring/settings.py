"""What the scoring service can be told by its environment."""

from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from services.chassis.settings import Address, ServiceSettings


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("want an IANA time zone, such as Europe/Berlin") from None
    return name


Zone = Annotated[str, AfterValidator(_zone)]


class Settings(ServiceSettings, env_prefix="TOUCHLEDGER_SCORING_"):
    """Variables start with TOUCHLEDGER_SCORING_."""

    listen: Address = "127.0.0.1:50053"
    # The touchpoint service: HOST:PORT, or dns:///NAME:PORT for all its replicas.
    journal_target: str = "127.0.0.1:50052"
    # PEM files for calls to it; without a CA they go in clear text.
    journal_ca_file: Path | None = None
    journal_cert_file: Path | None = None
    journal_key_file: Path | None = None
    # Where a date without a time begins, declared for every tenant. Unset: as it was declared before; at
    # first UTC.
    reporting_zone: Zone | None = None
    # How old what is not in the scores yet may be before the health check "projection.lag" fails. It takes no
    # questions away: answers say how old they are.
    lag_seconds_max: float = Field(default=60.0, gt=0)
    # The role that BI tools log in with, and the one tenant that it sees. It must exist already; without it
    # the read models are filled all the same.
    bi_role: str = "touchledger_bi"
    bi_tenant: str = "default"
    # JSON file {"TENANT": {"url": "https://…", "secret": "whsec_…"}}: where alerts of a tenant are posted to,
    # and what they are signed with. Unset: they are kept, and posted nowhere. Read at the start.
    alert_webhooks_file: Path | None = None
    # Lets these URLs lead to private addresses, for receivers in the same network.
    alert_webhooks_private_addresses: bool = False
