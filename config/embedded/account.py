"""Which user the embedded servers run as, and the way that user needs into our directories."""

import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path

from config import processes
from config.embedded.layout import EmbeddedError
from config.processes import Account

_CANDIDATES = ("longshore", "postgres", "nobody")


def choose(cluster: Path, say: Callable[[str], None]) -> Account | None:
    """None for an ordinary user, whose servers are its own.

    Root's run as EMBEDDED_USER, as the owner of the data that is already there, or as the first of longshore,
    postgres and nobody.
    """
    owner = cluster.stat().st_uid if cluster.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise EmbeddedError(
                f"{cluster} belongs to {_name_of(owner)}. Run Longshore as the user who made it, or choose "
                "another DATA_DIR."
            )
        _require_entry(os.geteuid())
        return None
    account = _wanted(owner)
    if owner not in (None, account.uid):
        raise EmbeddedError(
            f"{cluster} belongs to {_name_of(owner)} and EMBEDDED_USER is {account.name}. Unset "
            f"EMBEDDED_USER, or stop Longshore and run: chown -R {account.name} {cluster}"
        )
    say(f"running as root: the embedded servers run as {account.name}")
    return account


def open_way(directory: Path, account: Account, say: Callable[[str], None]) -> None:
    """Let the account pass through `directory` and those above it: o+x, only where missing, and said."""
    for path in reversed((directory, *directory.parents)):
        found = path.stat()
        if found.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif found.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if found.st_mode & needed:
            continue
        if needed != stat.S_IXOTH:
            raise EmbeddedError(f"{account.name} may not enter {path}: run chmod u+x,g+x {path}, or set EMBEDDED_USER.")
        try:
            path.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
        except OSError as err:
            raise EmbeddedError(
                f"{account.name}, who runs the embedded servers, may not enter {path}, and it cannot be "
                f"changed ({err.strerror}). Move the checkout or DATA_DIR, or run as an ordinary user."
            ) from err
        say(f"chmod o+x {path}, so that {account.name} can reach {directory}")


def require_runnable(binary: Path, account: Account | None) -> str:
    """The binary's own word on its version; an EmbeddedError where this user cannot run it."""
    try:
        done = processes.run([str(binary), "--version"], account=account, environment={})
    except OSError as err:
        raise EmbeddedError(_not_runnable(binary, account, err.strerror or str(err))) from err
    if done.returncode != 0:
        raise EmbeddedError(_not_runnable(binary, account, done.stderr.strip()))
    return done.stdout.strip()


def _wanted(owner: int | None) -> Account:
    wanted = os.environ.get("EMBEDDED_USER", "").strip()
    if not wanted and owner:
        return _account(_require_entry(owner))
    for name in (wanted,) if wanted else _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid == 0:
            raise EmbeddedError("EMBEDDED_USER must not be root: PostgreSQL refuses to run as root.")
        return _account(entry)
    raise EmbeddedError(
        f"There is no user {wanted or ', '.join(_CANDIDATES)} for the embedded servers, which do not run "
        "as root. Set EMBEDDED_USER to an unprivileged user."
    )


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(uid=entry.pw_uid, gid=entry.pw_gid, name=entry.pw_name)


def _require_entry(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedError(
            f"User number {uid} has no entry in the password file, and PostgreSQL needs one. Add the user, "
            "or set DATABASE_URL and REDIS_URL."
        ) from None


def _name_of(uid: int | None) -> str:
    try:
        return pwd.getpwuid(uid or 0).pw_name
    except KeyError:
        return f"user number {uid}"


def _not_runnable(binary: Path, account: Account | None, why: str) -> str:
    who = f"user {account.name}" if account else "this user"
    return (
        f"{binary} cannot be run by {who}: {why}. Make it readable (chmod -R go+rX on the directory of the "
        "virtual environment), or set DATABASE_URL and REDIS_URL. The wheels need Linux with glibc 2.28 "
        "or macOS on arm64."
    )
