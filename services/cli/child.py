"""Stands for a moment between the launcher and a program that it starts: ties the program's life to the
launcher's, and gives it an account that PostgreSQL accepts.

A process of its own, which then becomes the program, rather than a preexec_fn: that would run in a fork of a
process with threads, where gRPC's fork handlers start some and the kernel refuses a user namespace. It needs
nothing but the standard library, and no file that the account could not read.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
# What a shell answers for a command that can't be executed.
EXIT_NOT_EXECUTED = 126


def becoming(
    command: Sequence[str],
    *,
    dies_by: signal.Signals,
    uid: int | None = None,
    gid: int | None = None,
    namespace_uid: int | None = None,
) -> list[str]:
    """The command line of a process that becomes the command.

    dies_by: what the kernel sends it when its parent, this process, is gone. Only Linux can; elsewhere a
    killed launcher's children live until the next start finds them.
    uid, gid: the account to become, if another. namespace_uid: the number that our own account bears inside
    of a new user namespace; outside of it the files are still ours.
    """
    words = (os.getpid(), int(dies_by), uid, gid, namespace_uid)
    given = ["-" if word is None else str(word) for word in words]
    return [sys.executable, "-I", "-S", __file__, *given, *command]


def main(parent: str, order: str, uid: str, gid: str, namespace_uid: str, *command: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if namespace_uid != "-":
        user, group = os.geteuid(), os.getegid()
        if libc.unshare(CLONE_NEWUSER):
            raise OSError(ctypes.get_errno(), "user namespaces are refused")
        # The kernel wants setgroups given up before an unprivileged group map.
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{namespace_uid} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{namespace_uid} {group} 1")
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if LINUX:
        # After the change of user: the kernel forgets it at that.
        libc.prctl(PR_SET_PDEATHSIG, int(order), 0, 0, 0)
        # The parent may have died before the line above.
        if os.getppid() != int(parent):
            sys.exit(1)
    # Python ignores them for itself, and what is ignored stays so in the program.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execv(command[0], command)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:
        print(f"{sys.argv[6]}: {error}", file=sys.stderr)
        sys.exit(EXIT_NOT_EXECUTED)
