"""Publishes to Touchledger from machines that are offline at times: events wait in a file meanwhile."""

from touchledger_client.async_client import AsyncClient
from touchledger_client.client import Client
from touchledger_client.delivery import Pace, Result, Status
from touchledger_client.gateway import Gateway
from touchledger_client.spool import (
    Rejected,
    SpoolCorrupt,
    SpoolCounts,
    SpoolError,
    SpoolInUse,
    SpoolLimits,
)

__all__ = [
    "AsyncClient",
    "Client",
    "Gateway",
    "Pace",
    "Rejected",
    "Result",
    "SpoolCorrupt",
    "SpoolCounts",
    "SpoolError",
    "SpoolInUse",
    "SpoolLimits",
    "Status",
]
