"""A transform is one function: it takes typed arguments once, when a mapping is compiled, and returns the step."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from imports.mapping.definition import Transform
from imports.mapping.mistake import Mistake, WrongArgument

Step = Callable[[Any], Any]
"""One value in, one value out. Raises Unfit."""

Prepare = Callable[..., Step]


@dataclass(frozen=True, slots=True)
class Entry:
    """`takes` and `gives` are types of a step's value; `example` is (arguments, given, gives), which a test runs.

    takes str: text, and numbers and truth values as their text. takes Decimal: numbers and their text. takes date:
    dates, points in time and their text as ISO 8601. All three work on each element of a list, and pass over null and
    what is missing. takes list: lists alone. takes object: everything, null and MISSING among it.
    gives object: anything, also null or MISSING.
    """

    name: str
    prepare: Prepare
    takes: type
    gives: type
    example: tuple[dict[str, Any], Any, Any]


REGISTRY: Final[dict[str, Entry]] = {}


def transform(*, takes: type, gives: type, example: tuple[dict[str, Any], Any, Any]) -> Callable[[Prepare], Prepare]:
    """Registers the function under its own name, without a closing underscore."""

    def register(prepare: Prepare) -> Prepare:
        name = prepare.__name__.rstrip("_")
        REGISTRY[name] = Entry(name, prepare, takes, gives, example)
        return prepare

    return register


def prepare(step: Transform, *, place: str) -> tuple[Step | None, list[Mistake]]:
    """The step with its arguments bound, or every mistake in them."""
    entry = REGISTRY.get(step.name)
    if entry is None:
        return None, [Mistake(place, f"there is no such transform; there are {', '.join(sorted(REGISTRY))}")]
    parameters = inspect.signature(entry.prepare, eval_str=True).parameters
    mistakes = [
        Mistake(f"{place}.{name}", f"no such argument; there are {', '.join(parameters) or 'none'}")
        for name in step.arguments
        if name not in parameters
    ]
    arguments = {}
    for name, parameter in parameters.items():
        if name in step.arguments:
            try:
                arguments[name] = msgspec.convert(step.arguments[name], parameter.annotation)
            except msgspec.ValidationError as err:
                mistakes.append(Mistake(f"{place}.{name}", str(err)))
        elif parameter.default is inspect.Parameter.empty:
            mistakes.append(Mistake(f"{place}.{name}", "this argument is required"))
    if mistakes:
        return None, mistakes
    try:
        return entry.prepare(**arguments), []
    except WrongArgument as err:
        return None, [Mistake(place, str(err))]
