"""Records of the machine: few names and values, so that imports meet each other on almost every one."""

import json
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

# A small letter is an order, a large one a customer: `a` and `A` have the same id and are two records.
NAMES: Final = ("A", "B", "C", "a")
LOW_LIMIT: Final = 200

GOOD, LARGE, BAD, NAMELESS = "good", "large", "bad", "nameless"


@dataclass(frozen=True, slots=True)
class Item:
    """A record as sent. A large one is good unless the server's limit is low; a nameless one has no known type."""

    name: str
    value: int = 0
    kind: str = GOOD

    @property
    def type(self) -> str:
        return "" if self.kind == NAMELESS else type_of(self.name)

    @property
    def key(self) -> str | None:
        """What identifies the record, where something does."""
        return None if self.kind == NAMELESS else self.name

    def refusal(self, *, is_limit_low: bool) -> str:
        """The code that it fails with; empty for none."""
        if self.kind == LARGE:
            return "record_too_large" if is_limit_low else ""
        return {GOOD: "", BAD: "custom_field_not_a_string", NAMELESS: "unknown_type"}[self.kind]

    @property
    def raw(self) -> bytes:
        attributes: dict[str, Any] = {"v": self.value, **({"pad": "x" * LOW_LIMIT} if self.kind == LARGE else {})}
        members: dict[str, Any] = {"id": self.name.upper(), "type": self.type or "pear", "attributes": attributes}
        if self.kind == BAD:
            members["customFields"] = {"tier": 7}
        return json.dumps(members).encode()

    @classmethod
    def read(cls, raw: bytes) -> "Item":
        """The item that was sent as `raw`, or stored as it."""
        found = json.loads(raw)
        kind = BAD if "customFields" in found else LARGE if "pad" in found["attributes"] else GOOD
        if found["type"] == "pear":
            kind = NAMELESS
        name = found["id"].lower() if found["type"] == "order" else found["id"]
        return cls(name, found["attributes"]["v"], kind)


def type_of(name: str) -> str:
    return "order" if name.islower() else "customer"


names = st.sampled_from(NAMES)
values = st.integers(0, 1)
good_items = st.builds(Item, names, values, st.sampled_from([GOOD, GOOD, LARGE]))
items = st.one_of(
    good_items,
    good_items,
    st.builds(Item, names, values, st.just(BAD)),
    st.builds(Item, st.sampled_from("AB"), values, st.just(NAMELESS)),
)
bodies = st.lists(items, min_size=1, max_size=6).map(tuple)
