"""Child processes: what one is, and how it is started so that it never outlives the process that started
it.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from config.warden import Warden

_PR_SET_PDEATHSIG = 1


class CannotStart(Exception):
    """A child cannot be started, and trying again will not help. The message says what to do."""


@dataclass(frozen=True)
class Account:
    """The user a child runs as, where that is not the user who starts it."""

    uid: int
    gid: int
    name: str


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """One child, and how it is started, waited for and stopped.

    `prepare` runs before every start. `is_ready(pid)` says when what comes after it may start, and `waits_for(pid)`
    what for it is not ready yet; a child with `once` runs to its end first. `orphan_signal` is what the child gets when
    its parent dies.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    account: Account | None = None
    stdin: bytes = field(default=b"", repr=False)
    prepare: Callable[[], None] = lambda: None
    is_ready: Callable[[int], bool] | None = None
    waits_for: Callable[[int], str] = lambda _pid: ""
    once: bool = False
    stop_signal: signal.Signals = signal.SIGTERM
    hurry_signal: signal.Signals = signal.SIGKILL
    orphan_signal: signal.Signals = signal.SIGKILL
    grace_seconds: float = 10.0


def start_arguments(spec: ProcessSpec) -> dict[str, Any]:
    """Keyword arguments for Popen or create_subprocess_exec. Close `stdin` once the child runs.

    The child gets a session of its own, so that Ctrl-C reaches the starter alone and children stop in order.
    Start it from the main thread: the kernel sends the death signal when the thread that forked ends.
    """
    reader, writer = os.pipe()
    os.write(writer, spec.stdin)
    os.close(writer)
    arguments: dict[str, Any] = {
        "stdin": reader,
        "env": None if spec.environment is None else dict(spec.environment),
        "start_new_session": True,
        "preexec_fn": dies_with(os.getpid(), spec.orphan_signal),
    }
    return arguments | _as_account(spec.account)


def run(
    command: Sequence[str], *, account: Account | None, environment: Mapping[str, str], stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a tool to its end as `account`, with its output captured; it dies with this process too."""
    return subprocess.run(
        list(command),
        input=stdin,
        capture_output=True,
        text=True,
        cwd="/",
        env=dict(environment),
        check=False,
        preexec_fn=dies_with(os.getpid(), signal.SIGKILL),
        **_as_account(account),
    )


def start(spec: ProcessSpec, output: int | None = None) -> "subprocess.Popen[bytes]":
    """Start the child with standard output and error going to `output`."""
    arguments = start_arguments(spec)
    try:
        return subprocess.Popen(list(spec.command), stdout=output, stderr=subprocess.STDOUT, **arguments)
    finally:
        os.close(arguments["stdin"])


def dies_with(parent: int, number: signal.Signals) -> Callable[[], None]:
    """A function for the child to call before exec: the kernel then sends it `number` when `parent` dies.

    It must run after the change of user, which clears the wish; subprocess keeps to that order. Where there
    is no prctl (macOS) it does nothing, and config.warden watches instead.
    """
    prctl = _prctl()

    def bind() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return bind


def has_death_signal() -> bool:
    """Whether this system can tie a child's life to its parent's."""
    return _prctl() is not None


def watch(pid: int, spec: ProcessSpec) -> None:
    """Call once a child runs: ties its life to ours where the kernel does not."""
    if not has_death_signal():
        _warden().watch(pid, spec.orphan_signal)


def forget(pid: int) -> None:
    """Call once a child has ended."""
    if not has_death_signal():
        _warden().forget(pid)


def stop(child: "subprocess.Popen[bytes]", spec: ProcessSpec) -> None:
    """Ask the child to stop, wait for its grace, then hurry it. Returns when it has ended."""
    for number, seconds in ((spec.stop_signal, spec.grace_seconds), (spec.hurry_signal, 5.0)):
        if child.poll() is not None:
            return
        child.send_signal(number)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    if child.poll() is None:
        child.kill()
        child.wait()


def _as_account(account: Account | None) -> dict[str, Any]:
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


@cache
def _warden() -> Warden:
    return Warden()


def _prctl() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    return ctypes.CDLL(None, use_errno=True).prctl
