"""A transform is one function: it takes typed arguments once, when a mapping is compiled, and returns the step."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec

from imports.mapping.casting import instant, string
from imports.mapping.definition import Transform
from imports.mapping.mistake import Mistake, WrongArgument, WrongSteps
from imports.mapping.number import exact
from imports.mapping.path import MISSING
from imports.mapping.problem import Unfit

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
    """The step with its arguments bound, or every mistake in them. Arguments are named without a closing underscore."""
    entry = REGISTRY.get(step.name)
    if entry is None:
        return None, [Mistake(place, f"there is no such transform; there are {', '.join(sorted(REGISTRY))}")]
    parameters = {
        name.rstrip("_"): parameter
        for name, parameter in inspect.signature(entry.prepare, eval_str=True).parameters.items()
    }
    mistakes = [
        Mistake(f"{place}.{name}", f"no such argument; there are {', '.join(parameters) or 'none'}")
        for name in step.arguments
        if name not in parameters
    ]
    arguments = {}
    for name, parameter in parameters.items():
        if name in step.arguments:
            try:
                arguments[parameter.name] = msgspec.convert(step.arguments[name], parameter.annotation)
            except msgspec.ValidationError as err:
                mistakes.append(Mistake(f"{place}.{name}", str(err)))
        elif parameter.default is inspect.Parameter.empty:
            mistakes.append(Mistake(f"{place}.{name}", "this argument is required"))
    if mistakes:
        return None, mistakes
    try:
        return entry.prepare(**arguments), []
    except WrongSteps as err:
        return None, [Mistake(f"{place}.{mistake.place}", mistake.message) for mistake in err.mistakes]
    except WrongArgument as err:
        return None, [Mistake(place, str(err))]


@dataclass(frozen=True, slots=True)
class Ready:
    """A step that a value of `takes` may be given to, and the same as `run` for any value; see Entry for both types."""

    takes: type
    gives: type
    step: Step
    run: Step


def prepare_all(steps: Sequence[Transform], *, place: str) -> tuple[list[Ready], list[Mistake]]:
    """The steps in their order, or every mistake in them."""
    ready, mistakes = [], []
    for index, step in enumerate(steps):
        prepared, found = prepare(step, place=f"{place}[{index}]")
        mistakes += found
        if prepared is not None:
            entry = REGISTRY[step.name]
            ready.append(Ready(entry.takes, entry.gives, prepared, adapted(entry.takes, prepared)))
    return ready, mistakes


def adapted(takes: type, step: Step) -> Step:
    """The step over all values that may reach it, as Entry.takes says."""
    if takes is object:
        return step
    if takes is list:

        def on_list(value: Any) -> Any:
            if type(value) is list:
                return step(value)
            if value is None or value is MISSING:
                return value
            raise Unfit("wrong_type")

        return on_list
    convert: Step = {str: string, Decimal: exact, date: instant}[takes]

    def on_each(value: Any) -> Any:
        if value is None or value is MISSING:
            return value
        if type(value) is list:
            return [on_each(element) for element in value]
        return step(convert(value))

    return on_each


def step_arguments(name: str) -> list[str]:
    """Which arguments of the transform are steps themselves."""
    entry = REGISTRY.get(name)
    if entry is None:
        return []
    parameters = inspect.signature(entry.prepare, eval_str=True).parameters
    return [name.rstrip("_") for name, parameter in parameters.items() if parameter.annotation == list[Transform]]
