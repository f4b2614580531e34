"""Touchpoints that a configuration names one by one: {"QUEUE OR EVENT": "call.billing"}."""

from collections.abc import Mapping
from typing import Any

from services.chassis.errors import Malformed
from services.gateway.adapters.adapter import Config, kind_of
from services.gateway.checks import TOUCHPOINT


def check_touchpoints(config: Config, setting: str) -> None:
    """Raises Malformed with the one that is no touchpoint."""
    named: Any = config.get(setting, {})
    if not isinstance(named, dict):
        raise Malformed(
            "an object from name to touchpoint", field=f"config.{setting}", got=kind_of(named)
        )
    for name, touchpoint in named.items():
        if not isinstance(touchpoint, str) or not TOUCHPOINT.fullmatch(touchpoint):
            raise Malformed(
                "a touchpoint such as store.checkout",
                code="BAD_NAME",
                field=f"config.{setting}.{name}",
                got=kind_of(touchpoint),
            )


def named_touchpoint(config: Config, setting: str, name: str) -> str:
    """The touchpoint of that name; "" when there is none."""
    named: Mapping[str, str] = config.get(setting, {})
    return named.get(name, "")
