"""docs/transforms.md, made from the registry of transforms itself: python -m tests.docs.transforms_page"""

import inspect
import json
import types
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from msgspec import UNSET, UnsetType

from imports.mapping.definition import MaskPattern, Transform
from imports.mapping.transforms import REGISTRY
from imports.mapping.transforms.amount import UNITS
from imports.mapping.transforms.condition import Condition
from imports.mapping.transforms.registry import Entry
from imports.mapping.transforms.time_format import DIRECTIVES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "transforms.md"

_INTRODUCTION = """# Transforms of mappings

Steps of a field, in the order in which they stand under `transforms`; [mappings.md](mappings.md) says how fields work.
A step is written as its name, `trim`, or with its arguments, `pad: {length: 5}`. An argument with a default may be left
out. Texts may have up to 1,048,576 characters on the way; patterns are [RE2](https://github.com/google/re2/wiki/Syntax),
at most 1,000 characters.

Made from the code by `python -m tests.docs.transforms_page`, and every example is run by a test.
"""

_GROUPS = {
    "text": "Text",
    "choice": "Choices",
    "condition": "Conditions",
    "moment": "Dates and times",
    "amount": "Numbers",
    "contact": "Contacts",
    "country": "Countries",
    "protection": "Protection",
}
_TAKES = {
    str: "text; numbers and truth values by their text; a list element by element",
    Decimal: "numbers and their text, exactly; a list element by element",
    date: "dates and times, and their text as in ISO 8601; a list element by element",
    list: "a list",
    object: "any value, also none",
}
_WORDS = {
    str: "text",
    int: "whole number",
    bool: "true or false",
    Any: "any value",
    Condition: "condition",
    MaskPattern: "pattern and by",
    dict[str, Any]: "table",
    list[str]: "list of texts",
    list[Transform]: "steps",
}


def render() -> str:
    """The page as it has to stand in docs/."""
    parts = [_INTRODUCTION]
    for module, title in _GROUPS.items():
        parts += [f"## {title}", ""]
        for entry in REGISTRY.values():
            if entry.prepare.__module__.endswith(f".{module}"):
                parts += _transform(entry)
        if module == "moment":
            parts += ["### Formats", "", "| directive | means |", "|---|---|"]
            parts += [f"| `%{letter}` | {meaning} |" for letter, meaning in DIRECTIVES.items()]
            parts.append("")
        if module == "amount":
            parts += ["### Units", "", *(f"- {', '.join(f'`{unit}`' for unit in row)}" for row in UNITS), ""]
        if module == "condition":
            parts += ["### Conditions", "", *_paragraphs(Condition.__doc__ or "")]
            parts += [f"- `{name}`" for name in Condition.__struct_fields__]
            parts.append("")
    return "\n".join(parts)


def _transform(entry: Entry) -> Iterator[str]:
    arguments, given, gives = entry.example
    yield f"### {entry.name}"
    yield ""
    yield from _paragraphs(entry.prepare.__doc__ or "")
    yield f"Takes {_TAKES[entry.takes]}."
    yield ""
    parameters = inspect.signature(entry.prepare, eval_str=True).parameters.values()
    if parameters:
        yield "| argument | value | default |"
        yield "|---|---|---|"
        for parameter in parameters:
            yield f"| `{parameter.name.rstrip('_')}` | {_word(parameter.annotation)} | {_default(parameter)} |"
        yield ""
    yield "```yaml"
    step = {entry.name: _short(arguments)} if arguments else entry.name
    yield yaml.safe_dump([step], sort_keys=False, allow_unicode=True, default_flow_style=None, width=110).rstrip()
    yield "```"
    yield ""
    yield f"`{_value(given)}` becomes `{_value(gives)}`."
    yield ""


def _short(value: Any) -> Any:
    """Steps inside arguments as they are written in a mapping."""
    if isinstance(value, list) and all(isinstance(one, dict) and "name" in one for one in value):
        return [{one["name"]: one["arguments"]} if one.get("arguments") else one["name"] for one in value]
    return {name: _short(member) for name, member in value.items()} if isinstance(value, dict) else value


def _paragraphs(docstring: str) -> Iterator[str]:
    yield from inspect.cleandoc(docstring).split("\n")
    yield ""


def _word(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_word(one) for one in get_args(annotation) if one not in (types.NoneType, UnsetType))
    return _WORDS[annotation]


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return "has to be given"
    if parameter.default is None or parameter.default is UNSET:
        return "none"
    return f"`{json.dumps(parameter.default)}`"


def _value(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
