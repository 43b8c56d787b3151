"""The transform that does one thing or another."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from imports.mapping.casting import string
from imports.mapping.definition import Transform
from imports.mapping.expression import Expression
from imports.mapping.mistake import WrongArgument, WrongSteps
from imports.mapping.number import exact, for_expression
from imports.mapping.path import MISSING
from imports.mapping.pattern import pattern
from imports.mapping.problem import Unfit
from imports.mapping.transforms.registry import Step, prepare_all, transform

Test = Callable[[Any], bool]


class Condition(Struct, frozen=True, forbid_unknown_fields=True):
    """Exactly one of these. The value is compared as text, or as an exact number with more_than and less_than.

    `that` is JSONata over the value as $, and must be true or false. `matches` is a whole match of an RE2 pattern.
    `absent` asks whether there is no value: missing, null or blank.
    """

    equals: str | UnsetType = UNSET
    one_of: list[str] | UnsetType = UNSET
    matches: str | UnsetType = UNSET
    more_than: str | UnsetType = UNSET
    less_than: str | UnsetType = UNSET
    absent: bool | UnsetType = UNSET
    that: str | UnsetType = UNSET


@transform(
    takes=object,
    gives=object,
    example=(
        {
            "when": {"one_of": ["n/a", "-"]},
            "then": [{"name": "constant", "arguments": {"value": None}}],
            "else": [{"name": "trim"}],
        },
        " 17 ",
        "17",
    ),
)
def conditional(*, when: Condition, then: list[Transform] = [], else_: list[Transform] = []) -> Step:  # noqa: B006
    """The steps of `then` where the value is so, those of `else` where it is not; no steps leave it as it is."""
    is_so = _test(when)
    yes, mistakes = prepare_all(then, place="then")
    no, more = prepare_all(else_, place="else")
    if mistakes or more:
        raise WrongSteps([*mistakes, *more])

    def step(value: Any) -> Any:
        for one in yes if is_so(value) else no:
            value = one.run(value)
        return value

    return step


def _test(when: Condition) -> Test:
    given = [name for name in when.__struct_fields__ if getattr(when, name) is not UNSET]
    if len(given) != 1:
        raise WrongArgument(f"when has exactly one of {', '.join(when.__struct_fields__)}")
    if when.equals is not UNSET:
        return _in([when.equals])
    if when.one_of is not UNSET:
        return _in(when.one_of)
    if when.matches is not UNSET:
        search = pattern(when.matches)
        return lambda value: _has_value(value) and search.fullmatch(string(value)) is not None
    if when.more_than is not UNSET:
        low = _number(when.more_than)
        return lambda value: _has_value(value) and exact(value) > low
    if when.less_than is not UNSET:
        high = _number(when.less_than)
        return lambda value: _has_value(value) and exact(value) < high
    if when.absent is not UNSET:
        return lambda value: (not _has_value(value) or (type(value) is str and not value.strip())) is when.absent
    assert when.that is not UNSET  # noqa: S101 - the only one that is left
    return _expression(Expression(when.that))


def _in(texts: list[str]) -> Test:
    known = frozenset(texts)
    return lambda value: _has_value(value) and string(value) in known


def _number(text: str) -> Decimal:
    try:
        return exact(text)
    except Unfit:
        raise WrongArgument("more_than and less_than are numbers in quotes, as '0.5'") from None


def _expression(expression: Expression) -> Test:
    def test(value: Any) -> bool:
        found = expression(None if value is MISSING else for_expression(value))
        if not isinstance(found, bool):
            raise Unfit("condition_not_boolean")
        return found

    return test


def _has_value(value: Any) -> bool:
    return value is not None and value is not MISSING
