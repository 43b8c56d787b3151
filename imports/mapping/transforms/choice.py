"""Transforms that choose a value."""

from typing import Any, Literal

from imports.mapping.path import MISSING
from imports.mapping.problem import Unfit
from imports.mapping.transforms.registry import Step, transform


@transform(takes=object, gives=object, example=({"value": "EUR"}, "anything", "EUR"))
def constant(*, value: Any) -> Step:
    """Always the same value, also where there is none."""
    return lambda _: value


@transform(takes=list, gives=object, example=({}, [None, "", "b"], "b"))
def first() -> Step:
    """The first value of a list that is neither missing, null nor blank text."""

    def step(value: list[Any]) -> Any:
        for one in value:
            if one is not None and one is not MISSING and not (isinstance(one, str) and not one.strip()):
                return one
        return MISSING

    return step


@transform(
    takes=str, gives=object, example=({"table": {"A": "Active", "I": "Inactive"}, "else": "Unknown"}, "A", "Active")
)
def lookup(*, table: dict[str, Any], else_: Any = None, unknown: Literal["refuse", "keep", "else"] = "else") -> Step:
    """CASE … WHEN: the table's value for this text. `unknown` says what becomes of one not in it.

    `else` takes what the argument else says, `keep` leaves the text as it is, `refuse` is a problem.
    """

    def step(value: str) -> Any:
        found = table.get(value, MISSING)
        if found is not MISSING:
            return found
        if unknown == "refuse":
            raise Unfit("not_in_table")
        return value if unknown == "keep" else else_

    return step
