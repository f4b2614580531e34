"""The Python client, which is a distribution of its own, from its sources."""

import sys
from pathlib import Path

CLIENT = Path(__file__).parent.parent.parent / "clients" / "python"
sys.path.insert(0, str(CLIENT))
