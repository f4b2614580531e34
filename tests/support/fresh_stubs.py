"""Writes the stubs again and requires that nothing changes: `make verify` runs it."""

import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
STUBS = ROOT / "protos" / "touchledger" / "v1"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder)
        for stub in STUBS.glob("*_pb2*"):
            (before / stub.name).write_bytes(stub.read_bytes())
        subprocess.run(["make", "--silent", "protos"], cwd=ROOT, check=True)
        names = {stub.name for stub in [*before.iterdir(), *STUBS.glob("*_pb2*")]}
        _, differ, missing = filecmp.cmpfiles(before, STUBS, sorted(names), shallow=False)
    for name in sorted({*differ, *missing}):
        print(f"protos/touchledger/v1/{name}: was not fresh; commit what `make protos` has written")
    return 1 if differ or missing else 0


if __name__ == "__main__":
    sys.exit(main())
