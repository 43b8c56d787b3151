from dataclasses import dataclass
from enum import Enum


class State(Enum):
    OK = "ok"
    WARNING = "warning"
    FAULT = "FAULT"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and in a fault or warning what to do."""

    subject: str
    state: State
    says: str


def found(subject: str, is_well: bool, says: str, otherwise: str) -> Finding:
    """`says` where all is well, else a fault that says `otherwise`."""
    return Finding(subject, State.OK if is_well else State.FAULT, says if is_well else otherwise)
