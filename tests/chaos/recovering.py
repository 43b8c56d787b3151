"""How soon work goes on after a blow: by batches that were begun and committed after it, by the house as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

OUTAGE: Final = "outage of valkey"

Done = Sequence[tuple[float, float]]
"""When each attempt that did its batch began and ended, by the clock of the machine that all of them share."""


@dataclass(frozen=True, slots=True)
class Struck:
    """A blow that fell at a moment, or lasted until another one."""

    kind: str
    at: float
    until: float


def recovery_after(moment: float, done: Done) -> float | None:
    """Seconds until the first end of a batch that was begun after the moment; None where nothing was.

    A batch that others had under way proves nothing. An end that a kill or a crash kept from being noted makes the
    time longer, never shorter.
    """
    ends = [ended for began, ended in done if began > moment]
    return round(min(ends) - moment, 2) if ends else None


def slowest(blows: Sequence[Struck], done: Done) -> dict[str, float]:
    """The longest recovery after each kind of blow, whatever else fell meanwhile.

    After an outage it counts from the outage's end; a blow that an outage followed before work went on is left out.
    """
    found: dict[str, float] = {}
    outages = [blow.at for blow in blows if blow.kind == OUTAGE]
    for blow in blows:
        seconds = recovery_after(blow.until, done)
        if seconds is None or any(blow.until < at < blow.until + seconds for at in outages):
            continue
        found[blow.kind] = max(found.get(blow.kind, 0.0), seconds)
    return found
