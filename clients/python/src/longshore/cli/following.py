"""How far it is: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.progress import BarColumn, ProgressColumn, Task
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from longshore.body import Phase
from longshore.cli.screen import Screen
from longshore.cli.words import plain, size, whole_duration
from longshore.watch import Progress

LINE_SECONDS = 1.0
LONGEST_NAME = 24
NAMED_WIDTH = 90

_PHASES: dict[Phase, str] = {"reading": "Reading", "packing": "Packing", "sending": "Sending"}


class Following(Protocol):
    """Told of bytes on their way, then of records; used as a context manager."""

    def bytes(self, phase: Phase, done: int, total: int | None) -> None: ...
    def records(self, progress: Progress) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def following(screen: Screen, name: str) -> Following:
    """The right one for where standard output goes."""
    if screen.has_bar:
        return _Bar(screen, name)
    return _Lines(screen)


class Pace:
    """Records a second and seconds left: the server's own figures, or measured here where it has none."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._first: tuple[float, int] | None = None

    def of(self, progress: Progress) -> tuple[float | None, float | None]:
        now = self._now()
        if self._first is None:
            self._first = (now, progress.processed)
        if progress.rate:
            return progress.rate, progress.seconds_left
        began, processed = self._first
        done = progress.processed - processed
        if done <= 0 or now <= began:
            return None, None
        rate = done / (now - began)
        return rate, (progress.total - progress.processed) / rate


class _Bar:
    def __init__(self, screen: Screen, name: str) -> None:
        self._name = _short(plain(name)) if screen.out.width >= NAMED_WIDTH else ""
        self._pace = Pace()
        self._bars = Bars(
            _Name(table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None, complete_style="cyan", finished_style="green", pulse_style="cyan"),
            _Counts(table_column=Column(no_wrap=True)),
            console=screen.out,
            expand=True,
            refresh_per_second=8,
        )
        self._task = self._bars.add_task(self._name, total=None, kind="bytes", phase="Reading", visible=False)

    def bytes(self, phase: Phase, done: int, total: int | None) -> None:
        self._bars.update(self._task, completed=done, total=total, phase=_PHASES[phase], visible=True)

    def records(self, progress: Progress) -> None:
        rate, seconds = self._pace.of(progress)
        self._bars.update(
            self._task,
            completed=progress.processed,
            total=progress.total or None,
            kind="records",
            progress=progress,
            rate=rate,
            seconds=seconds,
            visible=True,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not any(task.fields.get("kind") == "records" for task in self._bars.tasks):
            self._bars.update(self._task, visible=False)
        self._bars.stop()


class _Name(ProgressColumn):
    def render(self, task: Task) -> Text:
        if task.fields["kind"] == "records":
            return Text(task.description, "bold")
        return Text(f"{task.fields['phase']} {task.description}", "bold")


class _Counts(ProgressColumn):
    max_refresh = None

    def render(self, task: Task) -> Text:
        done = int(task.completed)
        if task.fields["kind"] == "bytes":
            if task.total is None:
                return Text(size(done))
            if done == task.total and task.fields["phase"] == _PHASES["sending"]:
                return Text(f"{size(done)}  waiting for the answer")
            return Text(f"{size(done)} of {size(int(task.total))}")
        progress: Progress = task.fields["progress"]
        text = Text(f"{percent(progress):>3} %  {progress.processed:,} of {progress.total:,}")
        for part in _parts(progress, task.fields["rate"], task.fields["seconds"]):
            text.append(f"  {part}", "dim")
        if progress.failed:
            text.append(f"  {progress.failed:,} failed", "bold red")
        return text


class _Lines:
    """At most one a second; the last state always."""

    def __init__(self, screen: Screen, now: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen
        self._now = now
        self._pace = Pace(now)
        self._printed_at = now()
        self._has_records = False

    def bytes(self, phase: Phase, done: int, total: int | None) -> None:
        if done != total and self._is_due():
            of = "" if total is None else f" of {size(total)}"
            self._print(f"{_PHASES[phase].lower()}: {size(done)}{of}")

    def records(self, progress: Progress) -> None:
        rate, seconds = self._pace.of(progress)
        if self._has_records and not progress.is_finished and not self._is_due():
            return
        self._has_records = True
        parts = [f"{progress.status}: {progress.processed:,} of {progress.total:,} ({percent(progress)} %)"]
        parts += _parts(progress, rate, seconds)
        parts += [f"{progress.failed:,} failed"] if progress.failed else []
        self._print(", ".join(parts))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def _is_due(self) -> bool:
        return self._now() - self._printed_at >= LINE_SECONDS

    def _print(self, line: str) -> None:
        self._printed_at = self._now()
        self._screen.say(Text(line))


def percent(progress: Progress) -> int:
    """Rounded down: 100 only when all are done."""
    return progress.processed * 100 // progress.total if progress.total else 0


def _parts(progress: Progress, rate: float | None, seconds: float | None) -> list[str]:
    if progress.is_finished:
        return []
    if progress.status == "pending":
        return ["waiting for a worker"]
    parts = [f"{rate:,.0f}/s"] if rate else []
    return parts + ([f"{whole_duration(seconds)} left"] if seconds else [])


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
