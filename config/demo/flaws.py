"""The ways in which records of real exports are broken, one function each."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

Record = dict[str, Any]


def _missing_id(record: Record) -> None:
    del record["id"]


def _number_as_id(record: Record) -> None:
    record["id"] = int("".join(filter(str.isdigit, record["id"])))


def _unknown_type(record: Record) -> None:
    record["type"] = "lead"


def _too_many_custom_fields(record: Record) -> None:
    custom = record["customFields"]
    custom |= {f"legacy{number:02d}": "" for number in range(51 - len(custom))}


def _long_custom_value(record: Record) -> None:
    record["customFields"]["history"] = ("2019: Umzug; 2020: rappelé; " * 40)[:1025]


def _custom_value_not_text(record: Record) -> None:
    record["customFields"]["score"] = 17


def _missing_attributes(record: Record) -> None:
    del record["attributes"]


def _nul_character(record: Record) -> None:
    record["attributes"]["remark"] = "copied from the terminal\0"


def _extra_member(record: Record) -> None:
    record["_etag"] = "W/41"


DUPLICATE: Final = "duplicate_id"
"""No fault of its own: the record comes again, newer, and the last one wins."""

FAULTS: Final[dict[str, Callable[[Record], None]]] = {
    "missing_id": _missing_id,
    "number_as_id": _number_as_id,
    "unknown_type": _unknown_type,
    "too_many_custom_fields": _too_many_custom_fields,
    "long_custom_value": _long_custom_value,
    "custom_value_not_text": _custom_value_not_text,
    "missing_attributes": _missing_attributes,
    "nul_character": _nul_character,
    "extra_member": _extra_member,
}
KINDS: Final = (*FAULTS, DUPLICATE)


def flaw_counts(*, records: int, broken: float) -> Counter[str]:
    """How many records of each kind an export has: equal shares, the first kinds taking what is left over."""
    share, rest = divmod(_broken_count(records, broken), len(KINDS))
    return Counter({kind: count for at, kind in enumerate(KINDS) if (count := share + (at < rest))})


def place_flaws(*, records: int, broken: float, seed: int) -> dict[int, str]:
    """Which positions have which flaw. The first record has none, so that a duplicate has something to repeat."""
    kinds = list(flaw_counts(records=records, broken=broken).elements())
    dice = random.Random(f"flaws-{seed}")  # noqa: S311  a story, not a secret
    dice.shuffle(kinds)
    return dict(zip(dice.sample(range(1, records), len(kinds)), kinds, strict=True)) if kinds else {}


def _broken_count(records: int, broken: float) -> int:
    if not 0 <= broken <= 1:
        raise ValueError("broken is a share between 0 and 1.")
    return min(round(records * broken), max(0, records - 1))
