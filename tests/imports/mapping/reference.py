"""What a mapping does, written to be read: one record, one rule, one element after the other."""

from typing import Any

from msgspec import UNSET

from imports.mapping.casting import caster
from imports.mapping.definition import FieldRule, Mapping
from imports.mapping.expression import Expression
from imports.mapping.number import for_expression
from imports.mapping.path import EVERY, MISSING, Steps, find, parse, pointer, put
from imports.mapping.problem import Unfit
from imports.mapping.transforms import REGISTRY, prepare
from imports.mapping.transforms.registry import adapted

Found = tuple[str, str, str]


class Reference:
    """Gives (attributes, customFields, problems as (code, pointer, target), which fields had no value)."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping

    def __call__(self, record: dict[str, Any]) -> tuple[Any, Any, list[Found], list[int]]:
        mapped: dict[str, Any] = {"attributes": {}, "customFields": {}}
        problems: list[Found] = []
        lacking = []
        for rule in self.mapping.fields:
            lacking.append(int(self._field(rule, record, mapped, problems)))
        self._unread(record, mapped, problems)
        return mapped["attributes"], mapped["customFields"], problems, lacking

    def _field(self, rule: FieldRule, record: Any, mapped: Any, problems: list[Found]) -> bool:
        target = parse(rule.target)
        if EVERY in target:
            assert rule.source is not UNSET
            return self._each(rule, record, (), parse(rule.source), mapped, (), target, problems)
        source = parse(rule.source) if rule.source is not UNSET else ()
        places = (pointer(source), pointer(target))
        try:
            value, was_missing = self._value(rule, self._read(rule, record))
        except Unfit as err:
            problems.append((err.code, *places))
            return False
        if value is not MISSING:
            put(mapped, target, value)
        elif rule.mandatory:
            problems.append(("field_missing", *places))
        return was_missing

    def _read(self, rule: FieldRule, record: Any) -> Any:
        if rule.expression is not UNSET:
            return Expression(rule.expression)(for_expression(record))
        if rule.sources:
            return self._gathered(rule, [self._at(record, parse(text)) for text in rule.sources])
        if rule.source is UNSET:
            return MISSING
        steps = parse(rule.source)
        found = self._at(record, steps)
        return self._gathered(rule, found) if EVERY in steps else found

    def _at(self, record: Any, steps: Steps) -> Any:
        if EVERY not in steps:
            ((_, value),) = find(record, steps)
            return value
        first = steps.index(EVERY)
        ((_, elements),) = find(record, steps[:first])
        if elements is None or elements is MISSING:
            return MISSING
        return [value for _, value in find(record, steps)]

    def _gathered(self, rule: FieldRule, found: Any) -> Any:
        if not isinstance(found, list):
            return found
        kept = [MISSING if self._is_absent(rule, one) else one for one in found]
        return MISSING if kept and all(one is MISSING for one in kept) else kept

    def _value(self, rule: FieldRule, value: Any) -> tuple[Any, bool]:
        """(the value, whether there was none before the default)."""
        if self._is_absent(rule, value):
            value = MISSING
        for transform in rule.transforms:
            step, _ = prepare(transform, place="")
            assert step is not None
            value = adapted(REGISTRY[transform.name].takes, step)(value)
        if self._is_absent(rule, value):
            default = MISSING if rule.default is UNSET else rule.default
            return (self._cast(rule, default), True) if default is not MISSING else (MISSING, True)
        return self._cast(rule, value), False

    def _cast(self, rule: FieldRule, value: Any) -> Any:
        if value is None:
            return None
        value = caster(rule.type, rule.values)(value)
        if rule.target.startswith("customFields") and len(value) > 1024:
            raise Unfit("custom_field_too_long")
        return value

    def _is_absent(self, rule: FieldRule, value: Any) -> bool:
        if value is None:
            return rule.absent != "missing" or rule.target.startswith("customFields")
        return value is MISSING or (rule.absent == "blank" and isinstance(value, str) and value.strip() == "")

    def _each(
        self,
        rule: FieldRule,
        value: Any,
        at: Steps,
        source: Steps,
        mapped: Any,
        into: Steps,
        target: Steps,
        problems: list[Found],
    ) -> bool:
        """`at` and `into` are where this list stands, `source` and `target` the rest of the way."""
        if EVERY not in source:
            places = (pointer((*at, *source)), pointer((*into, *target)))
            try:
                ((_, found),) = find(value, source)
                result, was_missing = self._value(rule, found)
            except Unfit as err:
                problems.append((err.code, *places))
                return False
            if result is not MISSING:
                put(mapped, (*into, *target), result)
            elif rule.mandatory:
                problems.append(("field_missing", *places))
            return was_missing
        source_end, target_end = source.index(EVERY), target.index(EVERY)
        at, into = (*at, *source[:source_end]), (*into, *target[:target_end])
        try:
            ((_, elements),) = find(value, source[:source_end])
        except Unfit as err:
            problems.append((err.code, pointer(at), pointer(into)))
            return False
        if not isinstance(elements, list):
            if elements is not None and elements is not MISSING:
                problems.append(("source_shape", pointer(at), pointer(into)))
                return False
            if rule.mandatory:
                problems.append(("field_missing", pointer(at), pointer(into)))
            return True
        rest = target[target_end + 1 :]
        self._make(mapped, into, [])
        was_missing = False
        for index, element in enumerate(elements):
            if rest:
                self._make(mapped, (*into, index), {} if isinstance(rest[0], str) else [])
            elif not find(mapped, into)[0][1][index:]:
                find(mapped, into)[0][1].append(None)
            was_missing |= self._each(
                rule, element, (*at, index), source[source_end + 1 :], mapped, (*into, index), rest, problems
            )
        return was_missing

    def _make(self, mapped: Any, place: Steps, empty: Any) -> None:
        try:
            if find(mapped, place)[0][1] in (MISSING, None):
                put(mapped, place, empty)
        except Unfit:
            put(mapped, place, empty)

    def _unread(self, record: Any, mapped: Any, problems: list[Found]) -> None:
        if self.mapping.unmapped == "drop":
            return
        read = [parse(text) for rule in self.mapping.fields for text in (*_source(rule), *rule.sources)]
        ignored = [parse(text) for text in self.mapping.ignored]
        targets = [parse(rule.target) for rule in self.mapping.fields]
        for part in ("attributes", "customFields"):
            for name, value in record[part].items():
                for place, kept in self._leaves((part, name), value, read, ignored):
                    if self.mapping.unmapped == "refuse":
                        problems.append(("unmapped_field", pointer(place), ""))
                    elif any(_meet(place, target) for target in targets):
                        problems.append(("unmapped_conflict", pointer(place), pointer(place)))
                    else:
                        put(mapped, place, kept)
        if len(mapped["customFields"]) > 50:
            problems.append(("too_many_custom_fields", "", "/customFields"))

    def _leaves(self, place: Steps, value: Any, read: list[Steps], ignored: list[Steps]) -> list[tuple[Steps, Any]]:
        """The topmost places at or below this one that nothing reads."""
        known = read + ignored
        if any(_fits(place[: len(path)], path) for path in known if len(path) <= len(place)):
            return []
        if not any(_fits(place, path[: len(place)]) for path in known):
            return [(place, value)]
        if isinstance(value, dict):
            return [
                leaf for name, member in value.items() for leaf in self._leaves((*place, name), member, read, ignored)
            ]
        if isinstance(value, list):
            return [
                leaf
                for index, element in enumerate(value)
                for leaf in self._leaves((*place, index), element, read, ignored)
            ]
        is_seen = value is None or any(_fits(place, path[: len(place)]) for path in read)
        return [] if is_seen else [(place, value)]


def _source(rule: FieldRule) -> list[str]:
    return [] if rule.source is UNSET else [rule.source]


def _fits(place: Steps, path: Steps) -> bool:
    return len(place) == len(path) and all(
        one == other if other is not EVERY else isinstance(one, int) for one, other in zip(place, path, strict=True)
    )


def _meet(place: Steps, target: Steps) -> bool:
    """Whether one is the other or lies inside it, or one needs a list where the other needs an object."""
    for one, other in zip(place, target, strict=False):
        if isinstance(one, str) != isinstance(other, str):
            return True
        if other is not EVERY and one != other:
            return False
    return True
