"""Whose data is meant: which records are the person's own, and which of others mention it."""

from dataclasses import dataclass, field
from typing import Any, Final, Literal
from unicodedata import normalize

import msgspec

from customers.blind_index import BlindIndex
from imports.checking import TYPES, identity
from imports.mapping import path
from imports.mapping.problem import Unfit

UNKNOWN: Final = "unknown"
"""Stands for the type of a record that names none of TYPES."""

Tie = Literal["own", "related"]

_decode = msgspec.json.decode


@dataclass(frozen=True, slots=True)
class Subject:
    """A business id of one customer. Every content is looked at for itself, so an order that has gone over to somebody
    else is related only where it stood with the person.

    `types` narrows what is the person's own, none means any. `related` are paths in other records at which the id may
    stand. `in_unreadable` counts what is no JSON object, or has no id, where it holds the id as a quoted text.
    """

    customer_id: int
    external_id: str = field(repr=False)
    types: frozenset[str] = frozenset()
    related: tuple[path.Steps, ...] = ()
    in_unreadable: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "external_id", normalize("NFC", self.external_id))

    def keys(self, index: BlindIndex) -> list[tuple[str, bytes]]:
        """(type, blind index) of what may be the person's own, in the order in which rows are locked."""
        wanted = (record_type for record_type in TYPES if not self.types or record_type in self.types)
        return sorted((record_type, index.key(record_type, self.external_id)) for record_type in wanted)

    def tie(self, raw: bytes) -> Tie | None:
        """How a record as sent or stored has to do with the person; None where it has not."""
        if not raw:
            return None
        external_id, record_type = identity(raw)
        if external_id is None:
            return "own" if self.in_unreadable and f'"{self.external_id}"'.encode() in raw else None
        if self._is_the_id(external_id) and (not self.types or (record_type or UNKNOWN) in self.types):
            return "own"
        return "related" if self._is_mentioned(raw) else None

    def _is_mentioned(self, raw: bytes) -> bool:
        if not self.related or not self._may_hold_it(raw):
            return False
        try:
            document: Any = _decode(raw)
        except (ValueError, RecursionError):
            return False
        return any(self._stands_at(document, steps) for steps in self.related)

    def _stands_at(self, document: Any, steps: path.Steps) -> bool:
        try:
            return any(self._is_the_id(value) for _, value in path.find(document, steps))
        except Unfit:
            return False

    def _is_the_id(self, value: Any) -> bool:
        """Numbers count by their digits: an order may name its customer as 17 where that has the id "17"."""
        if isinstance(value, str):
            return value == self.external_id or normalize("NFC", value) == self.external_id
        return isinstance(value, int) and not isinstance(value, bool) and str(value) == self.external_id

    def _may_hold_it(self, raw: bytes) -> bool:
        """A quick look that errs towards yes alone: escapes and other forms of Unicode may hide the id."""
        return self.external_id.encode() in raw or b"\\" in raw or not self.external_id.isascii()
