"""The function that maps a record, generated for one mapping.

No text of the mapping stands in the generated source: names, values and steps come in through the function's globals,
under names that are counted. What a field usually is, a text through plain steps or a number as it came, is written
out; everything else calls Field.value, which does the same for any value.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec import Raw

from imports.checking import MAX_VALUE_LENGTH
from imports.mapping.each import EachField
from imports.mapping.field import Field, finisher
from imports.mapping.narrowing import narrower
from imports.mapping.path import EVERY, MISSING, Steps, put
from imports.mapping.problem import Problem, Unfit, problem
from imports.mapping.source import reader

Generated = Callable[
    [str, str, dict[str, Any], dict[str, Any], list[int], list[Problem]], tuple[dict[str, Any], dict[str, Any]]
]
"""(id, type, attributes, customFields, counters, problems) to (attributes, customFields); adds to the two before it."""

_METHODS: Final = {str.strip: "strip", str.upper: "upper", str.lower: "lower"}
_PARTS: Final = {"attributes": "attributes", "customFields": "custom_fields", "id": "record_id", "type": "record_type"}
_TESTS: Final = {
    "string": "type(v) is str",
    "enum": "type(v) is str",
    "date": "type(v) is str",
    "integer": "type(v) is int",
    "decimal": "type(v) is Raw or type(v) is int",
    "boolean": "v is True or v is False",
}


def generate(fields: list[Field]) -> Generated:
    """The function for these fields, in their order."""
    writer = _Writer()
    for index, field in enumerate(fields):
        writer.field(index, field)
    return writer.function(fields)


class _Writer:
    def __init__(self) -> None:
        self._lines: list[str] = []
        self._globals: dict[str, Any] = {
            "MISSING": MISSING,
            "Raw": Raw,
            "Unfit": Unfit,
            "put": put,
            "failed": _failed,
            "narrowed": None,
        }
        self._containers: dict[Steps, str] = {}

    def function(self, fields: list[Field]) -> Generated:
        head = [
            "def run(record_id, record_type, attributes, custom_fields, missing, problems):",
            " out_attributes, out_custom_fields = {}, {}",
            " attribute, custom_field = attributes.get, custom_fields.get",
            *(f" {name} = None" for name in self._containers.values()),
        ]
        if any(_needs_record(field) for field in fields):
            head += [
                " record = {'id': record_id, 'type': record_type, 'attributes': attributes,"
                " 'customFields': custom_fields}",
                " mapped = {'attributes': out_attributes, 'customFields': out_custom_fields}",
            ]
        expressions = [field.expression for field in fields if field.expression is not None]
        if expressions:
            self._globals["narrowed"] = narrower([expression.reads for expression in expressions])
            head.append(" document = narrowed(record)")
        source = "\n".join([*head, *self._lines, " return out_attributes, out_custom_fields", ""])
        exec(compile(source, "<mapping>", "exec"), self._globals)  # noqa: S102 - holds no text of a mapping
        run: Generated = self._globals["run"]
        return run

    def field(self, index: int, field: Field) -> None:
        if field.is_each:
            self._add(1, f"{self._bind(EachField(index, field))}(record, mapped, missing, problems)")
            return
        self._add(1, "try:")
        self._read(field)
        value = self._bind(field.value)
        test = self._fast_test(field)
        if test:
            self._add(2, f"if {test}:")
            may_be_missing = self._fast_steps(field)
            if may_be_missing:
                self._unless_missing(3, index, field)
            else:
                self._write(3, field)
            self._add(2, "else:")
            self._add(3, f"v = {value}(v)")
            self._unless_missing(3, index, field)
        else:
            self._add(2, f"v = {value}(v)")
            self._unless_missing(2, index, field)
        self._add(1, "except Unfit as err:")
        self._add(2, f"failed(problems, {index}, {self._bind(field)}, err.code)")

    def _read(self, field: Field) -> None:
        if field.expression is not None:
            self._add(2, f"v = {self._bind(field.expression)}(document)")
        elif field.sources:
            readers = ", ".join(f"{self._bind(reader(steps))}(record)" for steps in field.sources)
            self._add(2, f"v = [{readers}]")
        elif field.source is None:
            self._add(2, "v = MISSING")
        elif EVERY in field.source:
            self._add(2, f"v = {self._bind(reader(field.source))}(record)")
        else:
            self._read_path(field.source)

    def _read_path(self, steps: Steps) -> None:
        part, rest = str(steps[0]), steps[1:]
        getter = {"attributes": "attribute", "customFields": "custom_field"}.get(part)
        if getter is None or not rest or not isinstance(rest[0], str):
            self._add(2, f"v = {_PARTS[part]}")
        else:
            self._add(2, f"v = {getter}({self._bind(rest[0])}, MISSING)")
            rest = rest[1:]
        for step in rest:
            bound = self._bind(step)
            if isinstance(step, str):
                self._add(2, f"if type(v) is dict: v = v.get({bound}, MISSING)")
            else:
                self._add(2, f"if type(v) is list: v = v[{bound}] if {bound} < len(v) else MISSING")
            self._add(2, "elif v is None or v is MISSING: v = MISSING")
            self._add(2, "else: raise Unfit('source_shape')")

    def _fast_test(self, field: Field) -> str:
        """The test for values that the written-out steps take; empty where there are none."""
        if field.sources or EVERY in (field.source or ()) or (field.source is None and field.expression is None):
            return ""
        if field.chain:
            # A step that takes anything has to run where a blank text is no value, too.
            is_plain = field.absent != "blank" or all(ready.takes is not object for ready in field.chain)
            return "type(v) is str" if field.chain[0].takes is str and is_plain else ""
        return _TESTS.get(field.rule.type, "")

    def _fast_steps(self, field: Field) -> bool:
        """Whether the value may be missing after them."""
        kind = str if field.chain or field.rule.type in ("string", "enum", "date") else None
        if field.absent == "blank" and kind is str:
            self._add(3, "if not v or v.isspace(): v = MISSING")
            self._add(3, "else:")
            self._add(4, "pass")
            self._steps_and_cast(4, field, kind)
            return True
        return self._steps_and_cast(3, field, kind)

    def _steps_and_cast(self, depth: int, field: Field, kind: type | None) -> bool:
        for ready in field.chain:
            method = _METHODS.get(ready.step)
            if ready.takes is not kind or kind is list or kind is object:
                self._add(depth, f"v = {self._bind(ready.run)}(v)")
                kind = object
                continue
            self._add(depth, f"v = v.{method}()" if method else f"v = {self._bind(ready.step)}(v)")
            kind = ready.gives
        is_text = kind is str and field.rule.type in ("string", "enum")
        if kind is None:
            return False
        if kind in (object, list) or (field.absent == "blank" and field.chain):
            self._add(depth, f"v = {self._bind(finisher(field.absent, field.cast))}(v)")
            return True
        if not is_text:
            self._add(depth, f"v = {self._bind(field.cast)}(v)")
            return False
        if field.rule.type == "enum":
            self._add(depth, f"if v not in {self._bind(frozenset(field.rule.values))}: raise Unfit('not_in_enum')")
        if field.target[0] == "customFields":
            self._add(depth, f"if len(v) > {MAX_VALUE_LENGTH}: raise Unfit('custom_field_too_long')")
        return False

    def _unless_missing(self, depth: int, index: int, field: Field) -> None:
        self._add(depth, "if v is MISSING:")
        self._add(depth + 1, f"missing[{index}] += 1")
        if field.default is not MISSING:
            self._add(depth + 1, f"v = {self._bind(field.default)}")
            self._write(depth + 1, field)
        elif field.rule.mandatory:
            self._add(depth + 1, "raise Unfit('field_missing')")
        self._add(depth, "else:")
        self._write(depth + 1, field)

    def _write(self, depth: int, field: Field) -> None:
        part, rest = _PARTS[str(field.target[0])], field.target[1:]
        if not all(isinstance(step, str) for step in rest):
            self._add(depth, f"put(mapped, {self._bind(field.target)}, v)")
            return
        here = f"out_{part}"
        for count in range(1, len(rest)):
            way = field.target[: count + 1]
            container = self._containers.setdefault(way, f"o{len(self._containers)}")
            self._add(depth, f"if {container} is None: {container} = {here}.setdefault({self._bind(way[-1])}, {{}})")
            here = container
        self._add(depth, f"{here}[{self._bind(rest[-1])}] = v")

    def _bind(self, value: Any) -> str:
        name = f"g{len(self._globals)}"
        self._globals[name] = value
        return name

    def _add(self, depth: int, line: str) -> None:
        self._lines.append(" " * depth + line)


def _needs_record(field: Field) -> bool:
    return (
        field.is_each
        or bool(field.sources)
        or field.expression is not None
        or EVERY in (field.source or ())
        or not all(isinstance(step, str) for step in field.target)
    )


def _failed(problems: list[Problem], index: int, field: Field, code: str) -> None:
    problems.append(problem(code, field.pointer, field.target_pointer, index))
