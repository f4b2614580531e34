"""Cuts parts off in a network namespace of our own: what they send or are sent gets lost in silence."""

import os
import subprocess
from collections.abc import Iterable

# Set by __main__.py where it has made one.
OWN_NETWORK = "TOUCHLEDGER_TEST_OWN_NETWORK"


class Network:
    def cut_off(self, ports: Iterable[int]) -> None:
        """Whoever listens there hears nobody, and nobody hears it; its own connections to others stay."""
        for port in ports:
            for side in ("--dport", "--sport"):
                _iptables(
                    "--append", "INPUT", "--protocol", "tcp", side, f"{port}", "--jump", "DROP"
                )

    def heal(self) -> None:
        _iptables("--flush", "INPUT")


def is_ours() -> bool:
    return OWN_NETWORK in os.environ


def _iptables(*arguments: str) -> None:
    # Outside a namespace of our own it would be everybody's network.
    assert is_ours()
    subprocess.run(["iptables", "--wait", *arguments], check=True)
