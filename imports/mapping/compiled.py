"""A mapping made ready once, to be called for each record of its type."""

from typing import Any, Final

from msgspec import UNSET

from imports.checking import MAX_CUSTOM_FIELDS, TYPES
from imports.mapping.definition import Mapping
from imports.mapping.expression import Expression
from imports.mapping.field import Field, prepare_field
from imports.mapping.generation import generate
from imports.mapping.literal import literal_mistakes
from imports.mapping.mistake import Mistake, UnfitMapping, WrongArgument
from imports.mapping.narrowing import Narrow, narrower, schema_view
from imports.mapping.number import for_schema
from imports.mapping.path import Steps, parse, pointer, put, write
from imports.mapping.problem import CODES, MAX_PROBLEMS, Problem, Unfit, problem
from imports.mapping.schema import Schema
from imports.mapping.target import conflicts, touching
from imports.mapping.unread import Reads

MAX_FIELDS: Final = 200
MAX_RULES: Final = 50


class Unmapped(Exception):
    """The record does not fit; `problems` holds at least one and at most MAX_PROBLEMS, none quoting a value."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems[0].code)
        self.problems = problems[:MAX_PROBLEMS]


class CompiledMapping:
    """Call it with a record as imports.checking.read decodes it; safe to share and to call again.

    Gives (attributes, customFields) as imports.checking.encode takes them, or raises Unmapped. `missing` holds one
    counter for each of `targets`; it grows where the field had no value, whether or not a default took its place.
    Nothing that was given is changed, but what is kept may be shared with what is given back.
    """

    def __init__(self, mapping: Mapping, fields: list[Field], rules: list[Expression], schema: Schema | None) -> None:
        self.mapping = mapping
        self.targets: tuple[str, ...] = tuple(write(field.target) for field in fields)
        self._run = generate(fields)
        self._rules = rules
        self._schema = schema
        self._target_steps = [field.target for field in fields]
        self._reads = _reads(mapping, fields)
        self._looks_for_unread = mapping.unmapped != "drop"
        self._narrowed = narrower([rule.reads for rule in rules])
        self._view = _view(mapping, fields)
        self._is_validated = bool(rules) or schema is not None
        self._pointers = {field.target_pointer: field.pointer for field in fields}

    def __call__(
        self,
        record_id: str,
        record_type: str,
        attributes: dict[str, Any],
        custom_fields: dict[str, Any],
        missing: list[int],
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        problems: list[Problem] = []
        mapped, mapped_custom = self._run(record_id, record_type, attributes, custom_fields, missing, problems)
        if self._looks_for_unread and not self._reads.are_all(attributes, custom_fields):
            self._treat_unread(attributes, custom_fields, mapped, mapped_custom, problems)
        if self._is_validated and not problems:
            problems = self._validated(
                {"id": record_id, "type": record_type, "attributes": mapped, "customFields": mapped_custom}
            )
        if problems:
            raise Unmapped(problems)
        return mapped, mapped_custom

    def _treat_unread(
        self,
        attributes: dict[str, Any],
        custom_fields: dict[str, Any],
        mapped_attributes: dict[str, Any],
        mapped_custom: dict[str, Any],
        problems: list[Problem],
    ) -> None:
        record = {"attributes": attributes, "customFields": custom_fields}
        mapped = {"attributes": mapped_attributes, "customFields": mapped_custom}
        for place, value in self._reads.unread(record):
            if len(problems) >= MAX_PROBLEMS:
                return
            if self.mapping.unmapped == "refuse":
                problems.append(problem("unmapped_field", pointer(place)))
            elif any(touching(target, place) for target in self._target_steps) or not put(mapped, place, value):
                problems.append(problem("unmapped_conflict", pointer(place), pointer(place)))
        if len(mapped_custom) > MAX_CUSTOM_FIELDS:
            problems.append(problem("too_many_custom_fields", "", "/customFields"))

    def _validated(self, mapped: dict[str, Any]) -> list[Problem]:
        problems = []
        if self._rules:
            document = self._narrowed(mapped)
            for rule, expression in zip(self.mapping.rules, self._rules, strict=True):
                try:
                    if expression(document) is not True:
                        problems.append(Problem(rule.code, "", "", rule.message))
                except Unfit as err:
                    problems.append(problem(err.code))
        if self._schema is not None:
            try:
                view = self._view(mapped)
            except Unfit as err:
                # A number that is kept as it came, and too large to be compared with any other.
                return [*problems, problem(err.code)]
            problems += [
                Problem(found.code, self._source_of(found.target), found.target, found.message)
                for found in self._schema.check_view(view)
            ]
        return problems

    def _source_of(self, target: str) -> str:
        """Where the value at a pointer into the mapped record came from, also in a list's element; empty if unknown."""
        if target in self._pointers:
            return self._pointers[target]
        steps = target.split("/")
        indexes = iter([step for step in steps if step.isdecimal()])
        source = self._pointers.get("/".join("*" if step.isdecimal() else step for step in steps), "")
        return "/".join(next(indexes, "*") if step == "*" else step for step in source.split("/"))


def compile_mapping(mapping: Mapping) -> CompiledMapping:
    """Raises UnfitMapping with every mistake in the mapping, each with its place."""
    mistakes = []
    if mapping.type not in TYPES:
        mistakes.append(Mistake("type", f"a record's type is one of {', '.join(TYPES)}"))
    if len(mapping.fields) > MAX_FIELDS:
        raise UnfitMapping([Mistake("fields", f"a mapping has at most {MAX_FIELDS} fields")])
    fields: list[Field] = []
    targets: list[tuple[str, Steps]] = []
    for index, rule in enumerate(mapping.fields):
        field, found = prepare_field(rule, place=f"fields[{index}]")
        mistakes += found
        if field is not None:
            fields.append(field)
            targets.append((f"fields[{index}]", field.target))
    mistakes += conflicts(targets)
    for index, text in enumerate(mapping.ignored):
        try:
            parse(text)
        except ValueError as err:
            mistakes.append(Mistake(f"ignored[{index}]", str(err)))
    rules = _rules(mapping, mistakes)
    schema = None
    if mapping.schema is not UNSET:
        try:
            schema = Schema(mapping.schema)
        except WrongArgument as err:
            mistakes.append(Mistake("schema", str(err)))
    if mistakes:
        raise UnfitMapping(mistakes)
    return CompiledMapping(mapping, fields, rules, schema)


def _rules(mapping: Mapping, mistakes: list[Mistake]) -> list[Expression]:
    rules = []
    if len(mapping.rules) > MAX_RULES:
        mistakes.append(Mistake("rules", f"a mapping has at most {MAX_RULES} rules"))
    for index, rule in enumerate(mapping.rules):
        mistakes += literal_mistakes(rule, f"rules[{index}]")
        if rule.code in CODES or rule.code.startswith("schema_"):
            mistakes.append(Mistake(f"rules[{index}].code", "this code has a meaning already; choose another"))
        try:
            rules.append(Expression(rule.that))
        except WrongArgument as err:
            mistakes.append(Mistake(f"rules[{index}].that", str(err)))
    return rules


def _view(mapping: Mapping, fields: list[Field]) -> Narrow:
    """What the schema sees; a quick way where it is known which fields can hold a number with a fraction."""
    is_known = mapping.unmapped != "keep" and all(
        field.rule.type not in ("list", "object") and all(isinstance(step, str) for step in field.target)
        for field in fields
    )
    if not is_known:
        return for_schema
    return schema_view([tuple(map(str, field.target)) for field in fields if field.rule.type == "decimal"])


def _reads(mapping: Mapping, fields: list[Field]) -> Reads:
    reads = Reads()
    for field in fields:
        for steps in (field.source, *field.sources):
            if steps is not None:
                reads.add(steps)
        if field.expression is not None:
            reads.add_expression(field.expression.reads)
    for text in mapping.ignored:
        reads.ignore(parse(text))
    reads.prepare()
    return reads
