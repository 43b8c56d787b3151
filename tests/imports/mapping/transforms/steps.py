"""A transform on one value, as a field would run it."""

from typing import Any

from imports.mapping.definition import Transform
from imports.mapping.problem import Unfit
from imports.mapping.transforms import prepare_all


def run(name: str, given: Any, /, **arguments: Any) -> Any:
    steps, mistakes = prepare_all([Transform(name, arguments)], place="here")
    assert not mistakes, mistakes
    return steps[0].run(given)


def code(name: str, given: Any, /, **arguments: Any) -> str:
    """The code that the value fails with; empty where it does not."""
    try:
        run(name, given, **arguments)
    except Unfit as err:
        return err.code
    return ""


def refusal(name: str, /, **arguments: Any) -> str:
    """Where the first mistake in the arguments is; empty where there is none."""
    _, mistakes = prepare_all([Transform(name, arguments)], place="here")
    return mistakes[0].place if mistakes else ""
