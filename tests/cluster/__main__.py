"""Runs the tests of this folder: python -m tests.cluster [PYTEST'S ARGUMENTS].

In a network namespace of its own where that is allowed: what the tests cut off there is cut off for nobody
else, and nothing is left of it.
"""

import os
import subprocess
import sys

from tests.cluster.network import OWN_NETWORK

# A new namespace has nothing but a loopback that is down.
PREPARE = "ip link set lo up && iptables --list >/dev/null"


def main() -> None:
    tests = [sys.executable, "-m", "pytest", "tests/cluster", *sys.argv[1:]]
    namespace = ["unshare", "--net", "--", "sh", "-ec"]
    try:
        tried = subprocess.run([*namespace, PREPARE], capture_output=True, text=True, check=False)
        reason = tried.stderr.strip() if tried.returncode else ""
    except FileNotFoundError as error:
        reason = str(error)
    if reason:
        print(f"NO NETWORK NAMESPACE HERE, nothing is cut off: {reason}", file=sys.stderr)
        os.execv(tests[0], tests)
    os.environ[OWN_NETWORK] = "1"
    os.execvp(namespace[0], [*namespace, f'{PREPARE}; exec "$@"', "sh", *tests])


if __name__ == "__main__":
    main()
