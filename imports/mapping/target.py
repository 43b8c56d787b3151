"""Places that rules write to. Two rules never write to one place, and that is known before any record is seen."""

from itertools import pairwise
from typing import Any, Final

from imports.checking import MAX_CUSTOM_FIELDS, MAX_NAME_LENGTH
from imports.mapping.mistake import Mistake, WrongArgument
from imports.mapping.path import EVERY, Step, Steps, parse, put, write

MAX_STEPS: Final = 20
MAX_INDEX: Final = 99


def parse_target(text: str) -> Steps:
    """Raises WrongArgument for what is no place that a rule may write to."""
    try:
        steps = parse(text)
    except ValueError as err:
        raise WrongArgument(str(err)) from None
    if steps[0] not in ("attributes", "customFields") or len(steps) < 2:
        raise WrongArgument("a target lies under attributes or customFields; id and type stay as they came")
    if not isinstance(steps[1], str):
        raise WrongArgument(f"{steps[0]} is an object: write {steps[0]}.NAME")
    if steps[0] == "customFields" and (len(steps) > 2 or len(steps[1]) > MAX_NAME_LENGTH):
        raise WrongArgument(f"a custom field has one name of at most {MAX_NAME_LENGTH} characters: customFields.NAME")
    if len(steps) > MAX_STEPS:
        raise WrongArgument(f"a target has at most {MAX_STEPS} steps")
    if any(isinstance(step, int) and step > MAX_INDEX for step in steps):
        raise WrongArgument(f"a list's index in a target is at most {MAX_INDEX}")
    return steps


def conflicts(targets: list[tuple[str, Steps]]) -> list[Mistake]:
    """A mistake for each target that touches an earlier one; `targets` holds (place in the mapping, steps)."""
    mistakes = []
    for index, (place, steps) in enumerate(targets):
        for earlier_place, earlier in targets[:index]:
            reason = touching(earlier, steps)
            if reason:
                mistakes.append(Mistake(place, f"{reason}: {write(earlier)} of {earlier_place}"))
                break
    if sum(steps[0] == "customFields" for _, steps in targets) > MAX_CUSTOM_FIELDS:
        mistakes.append(Mistake("fields", f"a record has at most {MAX_CUSTOM_FIELDS} custom fields"))
    return mistakes


def touching(one: Steps, other: Steps) -> str:
    """Why two places cannot both be written; empty where they can. A wildcard means every index."""
    for left, right in zip(one, other, strict=False):
        if isinstance(left, str) != isinstance(right, str):
            return "one target makes a list where the other makes an object"
        if left != right and left is not EVERY and right is not EVERY:
            return ""
    return "the same target stands twice" if len(one) == len(other) else "one target lies inside the other"


def container(document: dict[str, Any], steps: Steps, kind: type) -> Any:
    """The object or list at the place, made where it is not there."""
    here: Any = document
    for step, following in pairwise((*steps, "" if kind is dict else 0)):
        inner = _at(here, step)
        if inner is None:
            inner = {} if isinstance(following, str) else []
            put(here, (step,), inner)
        here = inner
    return here


def lengthen(elements: list[Any], length: int, kind: type | None) -> None:
    """A list of at least so many elements; new ones, and those still null, are empty objects or lists, or null."""
    elements.extend([None] * (length - len(elements)))
    if kind is not None:
        for index in range(length):
            if elements[index] is None:
                elements[index] = kind()


def _at(here: Any, step: Step) -> Any:
    if isinstance(step, str):
        return here.get(step)
    return here[step] if step is not None and step < len(here) else None
