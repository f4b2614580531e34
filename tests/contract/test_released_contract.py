"""What the last release said on the wire still holds; `make verify` asks the same of every change."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
RELEASED = ROOT / "protos" / "released.txtpb"
BUF = Path(sys.executable).parent / "buf"


def breaks(protos: Path) -> str:
    """What breaks, or nothing."""
    run = subprocess.run(
        [BUF, "breaking", protos, "--against", RELEASED],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert bool(run.stdout) == bool(run.returncode), run.stderr
    return run.stdout


def test_the_contract_keeps_what_was_released() -> None:
    assert breaks(ROOT / "protos") == ""


@pytest.mark.parametrize(
    ("released", "changed", "told"),
    [
        ("  uint64 head = 3;", "  string head = 3;", "changed type"),
        ("  uint64 head = 3;", "  uint64 end = 3;", "changed name"),
        ("  uint64 head = 3;", "", "was deleted"),
        ("  rpc GetHead(GetHeadRequest) returns (GetHeadResponse);", "", "was deleted"),
    ],
)
def test_a_change_that_breaks_readers_is_refused(
    tmp_path: Path, released: str, changed: str, told: str
) -> None:
    protos = shutil.copytree(ROOT / "protos", tmp_path / "protos")
    journal = protos / "touchledger" / "v1" / "journal.proto"
    text = journal.read_text()
    assert released in text
    journal.write_text(text.replace(released, changed, 1))
    assert told in breaks(protos)
