"""Where things are printed: results to standard output, trouble to standard error."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TextIO

from rich.console import Console, RenderableType
from rich.text import Text

from longshore import exact
from longshore.cli.words import duration, plain
from longshore.errors import LongshoreError

Mode = Literal["people", "json", "quiet"]


class Screen:
    """One for each run. In mode `json` exactly one object goes to standard output; in `quiet` at most an id."""

    def __init__(self, mode: Mode = "people") -> None:
        self.mode: Mode = mode
        self.out = _console(sys.stdout)
        self.err = _console(sys.stderr)

    @property
    def has_bar(self) -> bool:
        return self.mode == "people" and self.out.is_terminal and not self.out.is_dumb_terminal

    def say(self, *things: RenderableType) -> None:
        """For people only."""
        if self.mode == "people":
            for thing in things:
                # The terminal itself breaks long lines of text, so that commands can be copied whole.
                self.out.print(thing, soft_wrap=isinstance(thing, Text))

    def give(self, answer: Mapping[str, Any], id: str | None = None) -> None:
        """The run's result, for scripts."""
        if self.mode == "json":
            self._write(exact.dumps(answer))
        elif self.mode == "quiet" and id:
            self._write(id)

    def warn(self, message: str) -> None:
        self.err.print(Text.assemble(("warning: ", "yellow"), plain(message)))

    def waiting(self, error: LongshoreError, seconds: float) -> None:
        """A pause before the next attempt."""
        if self.mode == "people":
            self.err.print(Text(f"{plain(error.message)} Trying again in {duration(seconds)}.", "yellow"))

    def fail(self, error: LongshoreError, advice: Sequence[str] = ()) -> None:
        """What went wrong and what to do; for scripts the same as an object."""
        if self.mode == "json":
            self.give({"error": _as_json(error)})
            return
        self.err.print(Text.assemble(("error: ", "bold red"), plain(error.message)))
        for entry in error.errors[:10]:
            place = plain(entry.get("pointer") or "")
            self.err.print(Text(f"  {place}: {plain(entry.get('detail') or entry.get('code') or '')}"))
        if len(error.errors) > 10:
            self.err.print(Text(f"  … and {len(error.errors) - 10} more"))
        for line in [*([error.hint] if error.hint else []), *advice]:
            self.err.print(Text(plain(line)))
        facts = [error.code, *([f"status {error.status}"] if error.status else [])]
        facts += [f"request id {error.request_id}"] if error.request_id else []
        self.err.print(Text(plain(f"({', '.join(facts)})"), "dim"))

    def _write(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _console(file: TextIO) -> Console:
    """Lines in a file or a pipe are as long as they need to be."""
    console = Console(file=file, highlight=False, markup=False)
    return console if console.is_terminal else Console(file=file, highlight=False, markup=False, width=500)


def _as_json(error: LongshoreError) -> dict[str, Any]:
    members = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "status": error.status,
        "requestId": error.request_id,
        "errors": list(error.errors) or None,
        "idempotencyKey": error.idempotency_key,
        "jobId": error.job_id,
    }
    return {name: value for name, value in members.items() if value is not None}
