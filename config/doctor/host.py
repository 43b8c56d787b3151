"""This machine: settings, disk and who may read what."""

import shutil
import stat
from collections.abc import Iterator
from typing import Final

from django.conf import settings
from django.core import checks

from config.doctor.finding import Finding, State, found

LOW_DISK_BYTES: Final = 5 * 2**30
FULL_DISK_BYTES: Final = 2**30


def settings_in_order() -> Iterator[Finding]:
    """Django's checks and ours, as `manage.py check` runs them."""
    messages = [message for message in checks.run_checks() if message.level >= checks.WARNING]
    for message in messages:
        state = State.FAULT if message.is_serious() else State.WARNING
        hint = f" {message.hint}" if message.hint else ""
        yield Finding("Settings", state, f"{message.msg}{hint} ({message.id})")
    if not messages:
        yield Finding("Settings", State.OK, "every check passes")


def free_disk() -> Finding:
    """Room for DATA_DIR; an outside PostgreSQL has its own disk, which this does not see."""
    usage = shutil.disk_usage(settings.DATA_DIR if settings.DATA_DIR.exists() else settings.BASE_DIR)
    says = f"{usage.free / 2**30:,.1f} GiB of {usage.total / 2**30:,.1f} GiB free"
    if usage.free < FULL_DISK_BYTES:
        return Finding("Disk", State.FAULT, f"{says}: make room, since PostgreSQL stops on a full disk")
    return Finding("Disk", State.OK if usage.free >= LOW_DISK_BYTES else State.WARNING, says)


def private_files() -> Iterator[Finding]:
    """The generated secrets of the embedded default belong to their owner alone."""
    folder = settings.DATA_DIR / "secrets"
    if not folder.is_dir():
        return
    opened = [path.name for path in (folder, *folder.iterdir()) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    yield found(
        "Secrets",
        not opened,
        f"{folder} is readable by its owner only",
        f"others may read {', '.join(sorted(opened))}: chmod -R go= {folder}",
    )
