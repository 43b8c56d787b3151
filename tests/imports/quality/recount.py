"""Records with every fault there is, and a plain recount of them that shares nothing with the product."""

from collections import Counter
from typing import Any

from imports.mapping.definition import FieldRule, Mapping, RecordRule
from tests.imports.mappings import field, mapping

NAME, AGE = "attributes.name", "attributes.age"
CUSTOMER: Mapping = mapping(
    field(NAME, mandatory=True),
    FieldRule(target=AGE, type="integer", source="attributes.age"),
    rules=(
        RecordRule(
            code="of_age", that="$not($exists(attributes.age)) or attributes.age >= 18", message="Too young to order."
        ),
    ),
)
"""For customers; orders have no mapping."""

WAYS = ("unkeyed", "repeated", "malformed", "unfit", "broken")
TYPES = ("customer", "order", "product")


def recount(sent: list[dict[str, Any]]) -> dict[str, Counter[str]]:
    """The counts by type, of records that the mapping above is for, in one body."""
    found: dict[str, Counter[str]] = {}
    for place, one in enumerate(sent):
        its_type = one["type"] if one.get("type") in TYPES else "unknown"
        counts = found.setdefault(its_type, Counter())
        counts["records"] += 1
        way = _way(one, sent[place + 1 :])
        if way:
            counts[way] += 1
        if its_type == "customer" and way not in ("unkeyed", "repeated", "malformed"):
            counts["mapped"] += 1
            counts["fields"] += 2
            for name in ("name", "age"):
                counts["missing"] += name not in one["attributes"]
                counts[f"missing {name}"] += name not in one["attributes"]
                counts[f"unfit {name}"] += not _fits(one["attributes"], name)
    return found


def shares(counts: Counter[str]) -> dict[str, float | None]:
    """The dimensions, by the sentences of docs/quality.md and floating point."""
    keyed = counts["records"] - counts["unkeyed"]
    once = keyed - counts["repeated"]
    fit = once - counts["malformed"] - counts["unfit"]
    return {
        "keyCompleteness": keyed / counts["records"],
        "uniqueness": once / keyed if keyed else None,
        "typeValidity": fit / once if once else None,
        "businessRules": (fit - counts["broken"]) / fit if fit and counts["mapped"] else None,
        "completeness": 1 - counts["missing"] / counts["fields"] if counts["fields"] else None,
    }


def product(found: dict[str, float | None]) -> float:
    result = 1.0
    for share in found.values():
        result *= 1.0 if share is None else share
    return result


def _way(one: dict[str, Any], later: list[dict[str, Any]]) -> str:
    if not isinstance(one.get("id"), str) or one.get("type") not in TYPES:
        return "unkeyed"
    if any(other.get("id") == one["id"] and other.get("type") == one["type"] for other in later):
        return "repeated"
    attributes = one["attributes"]
    if not isinstance(attributes, dict):
        return "malformed"
    if one["type"] != "customer":
        return ""
    if not (_fits(attributes, "name") and _fits(attributes, "age")):
        return "unfit"
    is_broken = "name" not in attributes or "more" in attributes or int(attributes.get("age", 18)) < 18
    return "broken" if is_broken else ""


def _fits(attributes: dict[str, Any], name: str) -> bool:
    value = attributes.get(name, 0)
    return isinstance(value, str | int) if name == "name" else isinstance(value, int) or value.isdigit()
