"""PostgreSQL's own programs end with whoever runs them, and their children do."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.support.up import environment, processes_of, wait_for

# So slow that it is under way for as long as it is looked at, with a child that streams the log.
COPY = """
import sys
from services.cli import postgres_tools
from services.cli.stop_signals import raised_at_once
with raised_at_once():
    arguments = f"--pgdata={sys.argv[1]}", "--max-rate=32", "--wal-method=stream", "--checkpoint=fast"
    postgres_tools.run("pg_basebackup", *arguments, url=sys.argv[2])
"""


def test_a_copy_that_is_stopped_leaves_no_process(tmp_path: Path, admin_url: str) -> None:
    copy = tmp_path / "copy"
    running = subprocess.Popen(
        [sys.executable, "-c", COPY, str(copy), admin_url],
        env=environment(),
        stderr=subprocess.PIPE,
    )
    # Who asks for it, pg_basebackup, and its child.
    wait_for(lambda: len(processes_of(copy)) == 3, "copy under way")
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=30)
    wait_for(lambda: processes_of(copy) == [], "end of all of it")
