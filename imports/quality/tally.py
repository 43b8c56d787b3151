"""What one batch notes of its records' quality while they are sorted out: counts, codes and places, never a value.

A record that is as it should be costs nothing here; what is counted of it follows from the others.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Literal

from imports.checking import Refused
from imports.outcome import Outcome

UNKNOWN: Final = "unknown"
"""The type of records that name none of ours."""

_STORED: Final = (Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED)


class Tally:
    """`missing` has the counters that a mapper takes, by record type, each as wide as the mapping has fields."""

    def __init__(self, widths: Mapping[str, int]) -> None:
        self.missing = {record_type: [0] * width for record_type, width in widths.items()}
        self._unfit = {record_type: [0] * width for record_type, width in widths.items()}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._codes: Counter[tuple[str, str]] = Counter()

    def pass_over(self, record_type: str, *, is_erased: bool) -> None:
        """A record that nobody looks at, since a later one of the same body replaces it; or it was erased on request,
        and says nothing of the file."""
        self._counts[record_type or UNKNOWN, "unjudged" if is_erased else "repeated"] += 1

    def refuse(self, record_type: str, refused: Refused, *, has_id: bool) -> None:
        """A record that fails, by the first of the ways in which it can: no key, form, a field's value, a rule."""
        record_type = record_type or UNKNOWN
        if not has_id or record_type == UNKNOWN:
            way = "unkeyed"
        elif not refused.problems[0].mapping_stage:
            way = "malformed"
        elif refused.unfit:
            way = "unfit"
            counters = self._unfit[record_type]
            for index in refused.unfit:
                counters[index] += 1
        else:
            way = "broken"
        self._counts[record_type, way] += 1
        for code in {problem.code for problem in refused.problems}:
            self._codes[record_type, code] += 1

    def as_json(self, outcomes: Mapping[tuple[str, int], int]) -> dict[str, Any]:
        """By record type: `counts`, and where there are any `codes`, `missing` and `unfit`, these by field.

        `outcomes` counts the batch's records by type ("" for none of ours) and outcome byte.
        """
        counts: dict[str, Counter[str]] = {}
        for (record_type, byte), number in outcomes.items():
            of_type = counts.setdefault(record_type or UNKNOWN, Counter())
            of_type["records"] += number
            for outcome in _STORED:
                if byte == outcome.byte:
                    of_type[outcome.label] += number
        for (record_type, way), number in self._counts.items():
            counts[record_type][way] += number
        result: dict[str, Any] = {}
        for record_type, of_type in counts.items():
            entry: dict[str, Any] = {"counts": of_type}
            if record_type in self.missing:
                of_type["mapped"] = (
                    of_type["records"]
                    - of_type["unjudged"]
                    - of_type["repeated"]
                    - of_type["unkeyed"]
                    - of_type["malformed"]
                )
                entry |= {"missing": self.missing[record_type], "unfit": self._unfit[record_type]}
            codes = {code: number for (its_type, code), number in self._codes.items() if its_type == record_type}
            result[record_type] = entry | ({"codes": codes} if codes else {})
        return result


def of_one(record_type: str, way: Literal["unjudged", "repeated"]) -> dict[str, Any]:
    """The same for one record that was never looked at, since this server failed on it, or a later one replaces it."""
    return {record_type or UNKNOWN: {"counts": {"records": 1, way: 1}}}
