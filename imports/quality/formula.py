"""From counts to scores, as docs/quality.md explains it. Exact fractions, so that a person gets the same by hand."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final, Literal

Counts = Mapping[str, int]
Dimensions = dict[str, Fraction | None]
Trend = Literal["better", "worse", "steady"]

DIMENSIONS: Final = (
    "recordCount",
    "keyCompleteness",
    "uniqueness",
    "typeValidity",
    "businessRules",
    "completeness",
)
THRESHOLD: Final = 0.01
"""Less than this, a hundredth, is no change."""

_DIGITS: Final = 6


def dimensions(counts: Counts) -> Dimensions:
    """Each a share from 0 to 1; None where there was nothing to judge it by.

    A record goes as far as it can: it has a key, is not repeated, fits its form and types, obeys the rules. Each of
    these is a share of what the one before let through, so that their product is the share of records that passed.
    """

    def count(name: str) -> int:
        return counts.get(name, 0)

    judged = count("records") - count("unjudged")
    keyed = judged - count("unkeyed")
    looked_at = keyed - count("repeated")
    fit = looked_at - count("malformed") - count("unfit")
    announced, received = counts.get("announced"), count("received")
    return {
        "recordCount": None if announced is None else _share(min(announced, received), max(announced, received, 1)),
        "keyCompleteness": _share(keyed, judged),
        "uniqueness": _share(looked_at, keyed),
        "typeValidity": _share(fit, looked_at),
        "businessRules": _share(fit - count("broken"), fit) if count("mapped") else None,
        "completeness": _share(count("fields") - count("missing"), count("fields")),
    }


def score(found: Dimensions) -> Fraction | None:
    """The product of the dimensions that there are; None where no record was judged."""
    if found["keyCompleteness"] is None:
        return None
    return math.prod((share for share in found.values() if share is not None), start=Fraction(1))


def field_shares(counts: Counts) -> tuple[Fraction | None, Fraction | None]:
    """(completeness, validity) of one field of a mapping; its score is their product. None where no record came."""
    records = counts["records"]
    return _share(records - counts["missing"], records), _share(records - counts["unfit"], records)


def shown(share: Fraction | None) -> float | None:
    """Rounded down to six digits: 1 is without a fault."""
    return None if share is None else math.floor(share * 10**_DIGITS) / 10**_DIGITS


def trend(latest: float | None, earlier: Sequence[float | None]) -> Trend | None:
    """The latest score against the mean of the earlier ones; None where there is nothing to compare."""
    known = [one for one in earlier if one is not None]
    if latest is None or not known:
        return None
    change = round(latest - sum(known) / len(known), _DIGITS)
    if abs(change) <= THRESHOLD:
        return "steady"
    return "better" if change > 0 else "worse"


def _share(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole else None
