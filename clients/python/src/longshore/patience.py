"""How long to go on trying: exponential pauses with jitter, what the server asks for, and an end."""

import email.utils
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 20.0


@dataclass(frozen=True)
class Timing:
    """The outside world's time, replaceable in tests."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random


class Patience:
    """One call's allowance of `seconds`, all attempts and pauses together."""

    def __init__(self, seconds: float, timing: Timing) -> None:
        self._timing = timing
        self._until = timing.monotonic() + seconds
        self._attempts = 0

    @property
    def left(self) -> float:
        return max(0.0, self._until - self._timing.monotonic())

    def next_pause(self, retry_after: float | None = None) -> float | None:
        """Seconds to wait before the next attempt, never less than the server asks; None when time is up."""
        longest = min(FIRST_PAUSE_SECONDS * 2**self._attempts, LONGEST_PAUSE_SECONDS)
        self._attempts = min(self._attempts + 1, 16)
        pause = longest * (0.5 + self._timing.jitter() / 2)
        if retry_after is not None:
            pause = max(retry_after, pause if retry_after == 0 else retry_after + self._timing.jitter())
        return pause if pause < self.left else None

    def wait(self, seconds: float) -> None:
        self._timing.sleep(seconds)


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """The header as seconds from now; it may be a number or a date."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    date = parse_date(value)
    return None if date is None else max(0.0, date.timestamp() - now)


def parse_date(value: str | None) -> datetime | None:
    """An HTTP date, or None where it is none."""
    try:
        date = email.utils.parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
