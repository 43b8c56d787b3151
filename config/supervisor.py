"""Keeps children running: starts them in stages, starts each again when it dies, stops them in the reverse order."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from config import processes
from config.output import Output
from config.patience import Patience
from config.processes import CannotStart, ProcessSpec
from imports import failpoints

_NAME = "up"
_LONGEST_LINE = 64 * 1024
_TELLING_SECONDS = 0.5


@dataclass(frozen=True)
class Backoff:
    """Seconds before a dead child is started again: doubled up to `most`, and `first` again after `healthy`.

    Also after a kill -9: that came from outside, and the child's work waits.
    """

    first: float = 0.2
    most: float = 2.0
    healthy: float = 10.0


@dataclass(eq=False)
class _Child:
    spec: ProcessSpec
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    process: asyncio.subprocess.Process | None = None
    task: "asyncio.Task[None] | None" = None


class Supervisor:
    """Runs stages of children. The next stage starts once the children of the last one are ready.

    `run` lives until SIGINT, SIGTERM, SIGHUP or `stop`, and ends when every child has ended. A second signal takes
    each child's grace away. It must run in the main thread.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[ProcessSpec]],
        *,
        output: Output | None = None,
        backoff: Backoff | None = None,
        when_started: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._specs = stages
        self._output = output or Output()
        self._backoff = backoff or Backoff()
        self._when_started = when_started
        self._status = 0

    async def run(self) -> int:
        """The exit status: 0 after a stop, 1 where a child could not be started or a `once` child failed."""
        self._stopping, self._hurrying = asyncio.Event(), asyncio.Event()
        self._output.introduce(_NAME, *(spec.name for stage in self._specs for spec in stage))
        self._output.on_lost = self.stop
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop)
        stages: list[list[_Child]] = []
        announcement: asyncio.Task[None] | None = None
        try:
            for specs in self._specs:
                stages.append([_Child(spec) for spec in specs])
                for child in stages[-1]:
                    child.task = asyncio.create_task(self._keep(child))
                    child.task.add_done_callback(self._notice)
                for child in stages[-1]:
                    await self._wait_for_gate(child)
                if self._stopping.is_set():
                    break
            if self._when_started and not self._stopping.is_set():
                announcement = asyncio.create_task(self._when_started())
            await self._stopping.wait()
        finally:
            self._stopping.set()
            if announcement is not None:
                announcement.cancel()
            for children in reversed(stages):
                await asyncio.gather(*(self._end(child) for child in children))
        return self._status

    def stop(self) -> None:
        """Stop in order; said again, hurry."""
        if not self._stopping.is_set():
            self._output.line(_NAME, "stopping; once more to hurry")
            self._stopping.set()
        else:
            self._hurrying.set()

    async def _keep(self, child: _Child) -> None:
        """All lives of one child."""
        spec, loop = child.spec, asyncio.get_running_loop()
        pause = self._backoff.first
        while not self._stopping.is_set():
            began = loop.time()
            try:
                ended = await self._live(child)
                how = _how(ended)
            except CannotStart as err:
                return self._fail(f"{spec.name} cannot be started: {err}")
            except OSError as err:
                # A binary that is missing stays missing; a machine that is out of processes or memory recovers.
                if child.process is None:
                    return self._fail(f"{spec.name} cannot be started: {err}")
                ended, how = 1, f"could not be started ({err})"
            if self._stopping.is_set():
                return None
            if spec.once and ended == 0:
                return child.gate.set()
            if spec.once:
                return self._fail(f"{spec.name} {how}: see its lines above. Nothing after it was started")
            if ended == -signal.SIGKILL or loop.time() - began >= self._backoff.healthy:
                pause = self._backoff.first
            failpoints.hit("restarting")
            self._output.line(_NAME, f"{spec.name} {how}; starting it again in {pause:.1f} s")
            await self._either(asyncio.sleep(pause), self._stopping.wait())
            pause = min(pause * 2, self._backoff.most)
        return None

    async def _live(self, child: _Child) -> int:
        """One life: the exit status, or minus the number of the signal that ended it."""
        spec = child.spec
        await asyncio.to_thread(spec.prepare)
        async with child.lock:
            if self._stopping.is_set():
                return 0
            # A pipe of our own: with asyncio's the wait for a child ends only when its own children let go of it.
            reader, writer = os.pipe()
            pump = asyncio.create_task(self._pump(spec.name, os.fdopen(reader, "rb", 0)))
            arguments = processes.start_arguments(spec)
            try:
                process = child.process = await asyncio.create_subprocess_exec(
                    *spec.command, stdout=writer, stderr=writer, **arguments
                )
            finally:
                os.close(writer)
                os.close(arguments["stdin"])
        processes.watch(process.pid, spec)
        watch = asyncio.create_task(self._open_gate(child, process))
        ended = await process.wait()
        processes.forget(process.pid)
        watch.cancel()
        # What it left in its process group goes with it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.wait({pump}, timeout=1.0)
        return ended

    async def _wait_for_gate(self, child: _Child) -> None:
        """Until it is ready or all is to stop; no time is too long, since a database may recover for hours."""
        patience = Patience(lambda text: self._output.line(_NAME, text))
        while not (child.gate.is_set() or self._stopping.is_set()):
            await self._either(child.gate.wait(), self._stopping.wait(), timeout=_TELLING_SECONDS)
            if not child.gate.is_set() and child.process is not None and child.process.returncode is None:
                patience.tell(child.spec.waits_for(child.process.pid))

    async def _open_gate(self, child: _Child, process: asyncio.subprocess.Process) -> None:
        spec = child.spec
        if spec.once:
            return
        while spec.is_ready is not None and not await asyncio.to_thread(spec.is_ready, process.pid):
            await asyncio.sleep(0.02)
        child.gate.set()

    async def _pump(self, name: str, pipe: IO[bytes]) -> None:
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), pipe
        )
        rest = b""
        try:
            while chunk := await stream.read(_LONGEST_LINE):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) >= _LONGEST_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._output.line(name, line.decode(errors="backslashreplace"))
            if rest:
                self._output.line(name, rest.decode(errors="backslashreplace"))
        finally:
            transport.close()

    async def _end(self, child: _Child) -> None:
        """Stop signal and grace, then the hurry signal, then SIGKILL; returns when the child has ended."""
        async with child.lock:
            process = child.process
        spec = child.spec
        for number, seconds in ((spec.stop_signal, spec.grace_seconds), (spec.hurry_signal, 5.0)):
            if process is None or process.returncode is not None:
                break
            process.send_signal(number)
            hurry = self._hurrying.wait() if number is spec.stop_signal else asyncio.sleep(seconds)
            await self._either(process.wait(), hurry, timeout=seconds)
        if process is not None and process.returncode is None:
            process.kill()
        if child.task is not None:
            await asyncio.wait({child.task})

    def _notice(self, task: "asyncio.Task[None]") -> None:
        """A fault in our own code must not leave a child unwatched in a house that looks well."""
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fail(f"the supervisor itself failed: {fault!r}")

    def _fail(self, why: str) -> None:
        self._output.line(_NAME, why)
        self._status = 1
        self._stopping.set()

    @staticmethod
    async def _either(*waits: Awaitable[object], timeout: float | None = None) -> None:
        """Wait for the first of them, or the time."""
        tasks = {asyncio.ensure_future(wait) for wait in waits}
        try:
            await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


def _how(ended: int) -> str:
    if ended < 0:
        return f"was ended by {signal.Signals(-ended).name}"
    return f"ended with status {ended}"
