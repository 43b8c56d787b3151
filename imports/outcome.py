"""What became of a record. One byte each, stored with its batch."""

from enum import Enum


class Outcome(Enum):
    """The byte is a letter, so that a stored string of outcomes can be read by eye."""

    CREATED = b"c"
    UPDATED = b"u"
    UNCHANGED = b"="
    SUPERSEDED = b"s"
    FAILED = b"f"

    @property
    def byte(self) -> int:
        return self.value[0]

    @property
    def label(self) -> str:
        """The wire's word: created, updated, unchanged, superseded or failed."""
        return self.name.lower()


BY_BYTE = {outcome.byte: outcome for outcome in Outcome}
