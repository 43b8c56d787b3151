"""One field rule made ready: where it reads, what it does with the value, where it writes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from msgspec import UNSET

from imports.checking import MAX_VALUE_LENGTH
from imports.mapping.casting import caster
from imports.mapping.definition import Absent, FieldRule
from imports.mapping.expression import Expression
from imports.mapping.literal import literal_mistakes
from imports.mapping.mistake import Mistake, WrongArgument
from imports.mapping.path import EVERY, MISSING, Steps, parse, pointer
from imports.mapping.pattern import pattern
from imports.mapping.problem import Unfit
from imports.mapping.target import parse_target
from imports.mapping.transforms import Ready, prepare_all

Value = Callable[[Any], Any]

MAX_TRANSFORMS: Final = 50
MAX_SOURCES: Final = 50
_TEXT_TYPES: Final = ("string", "enum", "date", "datetime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """`value` turns what was read into what is written, MISSING or null; it raises Unfit.

    One of `source`, `sources` and `expression` says what is read, or none of them. `is_each`: source and target hold as
    many wildcards, and each element goes to the same index.
    """

    rule: FieldRule
    target: Steps
    source: Steps | None
    sources: tuple[Steps, ...]
    expression: Expression | None
    is_each: bool
    absent: Absent
    chain: tuple[Ready, ...]
    cast: Value
    value: Value
    default: Any
    pointer: str
    target_pointer: str


def prepare_field(rule: FieldRule, *, place: str) -> tuple[Field | None, list[Mistake]]:
    """The field, or every mistake in its rule."""
    mistakes = literal_mistakes(rule, place)
    if mistakes:
        return None, mistakes
    mistakes = _mistakes_of_shape(rule, place)
    target = _parsed(parse_target, rule.target, f"{place}.target", mistakes)
    source = None if rule.source is UNSET else _parsed(_parse_source, rule.source, f"{place}.source", mistakes)
    sources = [
        _parsed(_parse_source, text, f"{place}.sources[{index}]", mistakes) for index, text in enumerate(rule.sources)
    ]
    expression = (
        None if rule.expression is UNSET else _parsed(Expression, rule.expression, f"{place}.expression", mistakes)
    )
    chain, found = prepare_all(rule.transforms, place=f"{place}.transforms")
    mistakes += found
    is_custom = target is not None and target[0] == "customFields"
    if is_custom and rule.type not in _TEXT_TYPES:
        mistakes.append(Mistake(f"{place}.type", f"a custom field is text: {', '.join(_TEXT_TYPES)}"))
    is_each = target is not None and EVERY in target
    if is_each and (source is None or source.count(EVERY) != (target or ()).count(EVERY)):
        mistakes.append(Mistake(f"{place}.target", "a target with [*] takes one source with as many [*]"))
    cast = caster(rule.type, rule.values)
    default: Any = MISSING
    if rule.default is not UNSET:
        try:
            default = None if rule.default is None else cast(rule.default)
        except Unfit as err:
            mistakes.append(Mistake(f"{place}.default", f"the default is not of the field's type: {err.code}"))
        if is_custom and not (isinstance(default, str) and len(default) <= MAX_VALUE_LENGTH):
            mistakes.append(
                Mistake(f"{place}.default", f"a custom field is a text of at most {MAX_VALUE_LENGTH} characters")
            )
    if mistakes or target is None:
        return None, mistakes
    absent: Absent = "null" if is_custom and rule.absent == "missing" else rule.absent
    if is_custom:
        cast = _short(cast)
    return Field(
        rule=rule,
        target=target,
        source=source,
        sources=tuple(steps for steps in sources if steps is not None),
        expression=expression,
        is_each=is_each,
        absent=absent,
        chain=tuple(chain),
        cast=cast,
        value=_value(absent, chain, cast, is_gathered=not is_each and (bool(sources) or EVERY in (source or ()))),
        default=default,
        pointer=pointer(source) if source is not None else "",
        target_pointer=pointer(target),
    ), []


def finisher(absent: Absent, cast: Value) -> Value:
    """What the last step left, cast; or MISSING, or null."""
    lacks = is_absent(absent)

    def finish(value: Any) -> Any:
        if lacks(value):
            return MISSING
        return None if value is None else cast(value)

    return finish


def is_absent(absent: Absent) -> Callable[[Any], bool]:
    """Whether a value counts as none."""
    if absent == "missing":
        return lambda value: value is MISSING
    if absent == "null":
        return lambda value: value is MISSING or value is None
    return lambda value: value is MISSING or value is None or (type(value) is str and not value.strip())


def _value(absent: Absent, chain: list[Ready], cast: Value, *, is_gathered: bool) -> Value:
    lacks, finish, steps = is_absent(absent), finisher(absent, cast), [ready.run for ready in chain]

    def value(found: Any) -> Any:
        if is_gathered and type(found) is list:
            # What counts as no value is missing in the list too, and a list without any is none; an empty one is.
            gathered = [MISSING if lacks(element) else element for element in found]
            found = gathered if not gathered or any(one is not MISSING for one in gathered) else MISSING
        elif lacks(found):
            found = MISSING
        for step in steps:
            found = step(found)
        return finish(found)

    return value


def _short(cast: Value) -> Value:
    def short(value: Any) -> Any:
        text = cast(value)
        if len(text) > MAX_VALUE_LENGTH:
            raise Unfit("custom_field_too_long")
        return text

    return short


def _parse_source(text: str) -> Steps:
    try:
        return parse(text)
    except ValueError as err:
        raise WrongArgument(str(err)) from None


def _parsed(parser: Callable[[str], Any], text: str, place: str, mistakes: list[Mistake]) -> Any:
    try:
        return parser(text)
    except WrongArgument as err:
        mistakes.append(Mistake(place, str(err)))
        return None


def _mistakes_of_shape(rule: FieldRule, place: str) -> list[Mistake]:
    mistakes = []
    inputs = (rule.source is not UNSET) + bool(rule.sources) + (rule.expression is not UNSET)
    if inputs > 1:
        mistakes.append(Mistake(place, "a field has one of source, sources and expression"))
    makes_value = any(step.name == "constant" for step in rule.transforms)
    if inputs == 0 and not makes_value and rule.default is UNSET:
        mistakes.append(Mistake(place, "say where the value comes from: source, sources, expression or constant"))
    if (rule.type == "enum") != bool(rule.values):
        mistakes.append(Mistake(f"{place}.values", "an enum has a list of values, and no other type has one"))
    if len(rule.transforms) > MAX_TRANSFORMS:
        mistakes.append(Mistake(f"{place}.transforms", f"a field has at most {MAX_TRANSFORMS} transforms"))
    if len(rule.sources) > MAX_SOURCES:
        mistakes.append(Mistake(f"{place}.sources", f"a field has at most {MAX_SOURCES} sources"))
    if (rule.mask == "custom") != (rule.mask_pattern is not UNSET):
        mistakes.append(Mistake(f"{place}.mask_pattern", "a custom mask has a mask_pattern, and no other mask has one"))
    if rule.mask_pattern is not UNSET:
        _parsed(pattern, rule.mask_pattern.pattern, f"{place}.mask_pattern.pattern", mistakes)
    return mistakes
