"""As whom the embedded PostgreSQL runs, which refuses uid 0 and any folder that another user owns.

Decides, and opens the data folder where that account needs it; becoming it is left to the caller.
"""

import os
import pwd
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.cli.data_folder import LaunchError

# Named in every passwd file, which initdb insists on, and allowed nothing.
NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Account:
    """As whom the server runs, since PostgreSQL refuses uid 0. Without a uid it is our own user."""

    uid: int | None = None
    gid: int = NOBODY
    # Inside it our user bears another number, and outside its files still belong to us.
    in_user_namespace: bool = False


def account_of(
    folder: Path, *, postgres: Path, user_namespace_works: Callable[[], bool]
) -> Account:
    """An existing cluster is run as its owner, since PostgreSQL refuses any other."""
    user = os.geteuid()
    existing = folder.stat() if folder.exists() else None
    if user != 0:
        if existing and existing.st_uid != user:
            raise LaunchError(
                f"{folder}: belongs to user {existing.st_uid}, this is user {user}, "
                "want its owner's account, or another --data"
            )
        # initdb wants a name for its user, which `docker run --user 1234` lacks.
        return Account(in_user_namespace=not _has_name(user) and user_namespace_works())
    if existing and existing.st_uid != 0:
        return _reachable(folder, postgres, Account(uid=existing.st_uid, gid=existing.st_gid))
    if user_namespace_works():
        return Account(in_user_namespace=True)
    if existing:
        raise LaunchError(
            f"{folder}: belongs to root, as whom PostgreSQL does not run where user namespaces "
            f"are refused, want `chown -R {NOBODY}:{NOBODY}` on it, or TOUCHLEDGER_DATABASE_URL set"
        )
    return _reachable(folder, postgres, Account(uid=NOBODY))


def _reachable(folder: Path, postgres: Path, account: Account) -> Account:
    """Opens the way through the data folder itself, no further, and checks the rest of it."""
    data_folder = folder.parent
    mode = stat.S_IMODE(data_folder.stat().st_mode)
    if data_folder.stat().st_uid != account.uid:
        data_folder.chmod(mode | stat.S_IXOTH)
    # The catalogue that initdb reads stands for the wheel's other files.
    for path, flag in (
        (data_folder, "-x"),
        (postgres, "-x"),
        (postgres.parents[1] / "share" / "postgresql" / "postgres.bki", "-r"),
    ):
        check = subprocess.run(
            ["test", flag, str(path)],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            check=False,
        )
        if check.returncode:
            data_folder.chmod(mode)
            raise LaunchError(
                f"{path}: closed to user {account.uid}, as whom PostgreSQL has to run when root "
                "starts it here, want a folder that every user may pass through, an ordinary user, "
                "or TOUCHLEDGER_DATABASE_URL set"
            )
    return account


def _has_name(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True
