"""What the person at the terminal is told while something takes its time."""

import time
from collections.abc import Callable

FIRST_SECONDS = 5.0
LONGEST_SECONDS = 60.0


class Patience:
    """One wait, which begins now. It has no end of its own: who waits decides whether to give up."""

    def __init__(self, say: Callable[[str], None], *, first: float | None = None) -> None:
        """Says nothing before `first` seconds, 5 where nothing is said."""
        self._say = say
        self._began = time.monotonic()
        self._next = FIRST_SECONDS if first is None else first

    def tell(self, what: str) -> None:
        """Call at each step. Says `what` and the seconds so far: at first, after 5, 10, 20, 40 s, then every minute."""
        seconds = time.monotonic() - self._began
        if seconds < self._next or not what:
            return
        self._say(f"{what} ({seconds:.0f} s)" if seconds >= 1 else what)
        while self._next <= seconds:
            self._next = max(FIRST_SECONDS, self._next + min(self._next, LONGEST_SECONDS))
