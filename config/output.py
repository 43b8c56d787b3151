"""What the supervisor prints: one line at a time, each with the name of the process that said it."""

import os
import sys
from collections.abc import Callable
from typing import TextIO

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92)
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(0x80, 0xA0)) if code != 9}


class Output:
    """Prefixes lines. Colours only on a terminal, and not where NO_COLOR is set."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._coloured = self._stream.isatty() and not os.environ.get("NO_COLOR")
        self._width = 0
        self._colours: dict[str, int] = {}
        self.on_lost: Callable[[], None] = lambda: None

    def introduce(self, *names: str) -> None:
        """Make room for these names, each in a colour of its own."""
        for name in names:
            self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
            self._width = max(self._width, len(name))

    def line(self, name: str, text: str) -> None:
        """One line of one process; control characters, which could write over the terminal, are shown as codes."""
        prefix = f"{name:<{self._width}} |"
        if self._coloured:
            prefix = f"\033[{self._colours.get(name, 37)}m{prefix}\033[0m"
        self._write(f"{prefix} {text.translate(_CONTROL)}")

    def notice(self, text: str) -> None:
        """A line of Longshore itself, meant for the person at the terminal."""
        self._write(text)

    def _write(self, text: str) -> None:
        try:
            encoding = self._stream.encoding or "utf-8"
            self._stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            # The reader is gone (`make up | head`): stop in order rather than die in the middle of a line.
            self._stream = open(os.devnull, "w")  # noqa: SIM115, PTH123 - stays open as long as we do
            self.on_lost()
