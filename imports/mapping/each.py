"""A field whose target holds wildcards: each element of a list goes to the same index of another list."""

from typing import Any

from imports.mapping.field import Field
from imports.mapping.path import EVERY, MISSING, Step, Steps, pointer, put
from imports.mapping.problem import MAX_PROBLEMS, Problem, Unfit, problem
from imports.mapping.source import listed, reader
from imports.mapping.target import container, lengthen


class EachField:
    """The list at the target gets as many elements as its source has, so that fields of one list stay together.

    An element without a value gets the default, else nothing; where the target ends in the wildcard, null. The record
    counts as one without a value where the list is missing or any element lacks its value.
    """

    def __init__(self, index: int, field: Field) -> None:
        assert field.source is not None  # noqa: S101 - prepare_field gives such a field its one source
        self._index, self._field = index, field
        self._sources, self._targets = _split_at_wildcards(field.source), _split_at_wildcards(field.target)
        self._readers = [reader(steps) for steps in self._sources]

    def __call__(
        self, record: dict[str, Any], mapped: dict[str, Any], missing: list[int], problems: list[Problem]
    ) -> None:
        if self._fill(0, record, mapped, (), (), problems):
            missing[self._index] += 1

    def _fill(self, level: int, value: Any, here: Any, source: Steps, target: Steps, problems: list[Problem]) -> bool:
        """Whether a value was missing."""
        source, target = (*source, *self._sources[level]), (*target, *self._targets[level])
        try:
            elements = listed(self._readers[level](value))
        except Unfit as err:
            problems.append(problem(err.code, pointer(source), pointer(target), self._index))
            return False
        if elements is MISSING:
            if self._field.rule.mandatory:
                problems.append(problem("field_missing", pointer(source), pointer(target), self._index))
            return True
        into = container(here, self._targets[level], list) if self._targets[level] else here
        lengthen(into, len(elements), self._element_kind(level))
        is_last = level + 2 == len(self._sources)
        was_missing = False
        for index, element in enumerate(elements):
            if len(problems) >= MAX_PROBLEMS:
                break
            if is_last:
                was_missing |= self._write(element, into, index, source, target, problems)
            else:
                was_missing |= self._fill(level + 1, element, into[index], (*source, index), (*target, index), problems)
        return was_missing

    def _write(
        self, element: Any, into: list[Any], index: int, source: Steps, target: Steps, problems: list[Problem]
    ) -> bool:
        field, rest = self._field, self._targets[-1]
        code, was_missing = "", False
        try:
            value = field.value(self._readers[-1](element))
            if value is MISSING:
                was_missing = True
                value = field.default
            if value is not MISSING:
                if rest:
                    put(into[index], rest, value)
                else:
                    into[index] = value
            elif field.rule.mandatory:
                code = "field_missing"
        except Unfit as err:
            code = err.code
        if code:
            problems.append(
                problem(
                    code,
                    pointer((*source, index, *self._sources[-1])),
                    pointer((*target, index, *rest)),
                    self._index,
                )
            )
        return was_missing

    def _element_kind(self, level: int) -> type | None:
        following = self._targets[level + 1]
        if following:
            return dict if isinstance(following[0], str) else list
        return None if level + 2 == len(self._targets) else list


def _split_at_wildcards(steps: Steps) -> list[Steps]:
    """The parts of a path between its wildcards: one more than there are wildcards."""
    parts: list[list[Step]] = [[]]
    for step in steps:
        if step is EVERY:
            parts.append([])
        else:
            parts[-1].append(step)
    return [tuple(part) for part in parts]
