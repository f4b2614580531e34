"""For vendors that sign nothing: the secret itself, in a header whose name the configuration may say."""

import re

from services.chassis.errors import Malformed, Unauthenticated
from services.gateway.adapters.adapter import Config, Delivery, check_signature, kind_of

# What Amazon EventBridge and most middleware call it where nobody says otherwise.
HEADER = "x-api-key"
NAME = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


def check_secret(delivery: Delivery, secret: str, config: Config) -> None:
    """Raises Unauthenticated when the header holds anything else."""
    header = str(config.get("header", HEADER)).lower()
    if not secret:
        # A header that is left out would be as good.
        raise Unauthenticated("a secret of this webhook", field=header, got="nothing")
    check_signature(delivery, header, secret)


def check_header_setting(config: Config) -> None:
    name = config.get("header", HEADER)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Malformed(
            "the name of a header", code="BAD_NAME", field="config.header", got=kind_of(name)
        )
