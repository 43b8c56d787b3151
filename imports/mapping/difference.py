"""What changed from one mapping to another: by field, by record rule, in the schema and in what holds for all of it."""

from collections.abc import Mapping as Members
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from imports.mapping.definition import Mapping


class Change(Struct, frozen=True):
    """`place` names the field's target, the rule's code or the schema's pointer, and "" the mapping itself.

    `before` and `after` are JSON values, UNSET where there is none.
    """

    place: str
    attribute: str
    before: Any = UNSET
    after: Any = UNSET


class Difference(Struct, frozen=True):
    """Empty where both mappings say the same. Fields are named by target, rules by code."""

    fields_added: tuple[str, ...] = ()
    fields_removed: tuple[str, ...] = ()
    fields_changed: tuple[Change, ...] = ()
    rules_added: tuple[str, ...] = ()
    rules_removed: tuple[str, ...] = ()
    rules_changed: tuple[Change, ...] = ()
    schema_changed: tuple[Change, ...] = ()
    settings_changed: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__struct_fields__)


_SETTINGS: Final = ("unmapped", "ignored")
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode
_decode: Final = msgspec.json.Decoder(float_hook=Decimal).decode


def difference(before: Mapping, after: Mapping) -> Difference:
    """Both must be of one record type. The order of rules counts only among those that both have."""
    old, new = _decode(_encode(before)), _decode(_encode(after))
    old_fields, new_fields = _by(old["fields"], "target"), _by(new["fields"], "target")
    old_rules, new_rules = _by(old["rules"], "code"), _by(new["rules"], "code")
    return Difference(
        fields_added=_beyond(new_fields, old_fields),
        fields_removed=_beyond(old_fields, new_fields),
        fields_changed=_changes(old_fields, new_fields),
        rules_added=_beyond(new_rules, old_rules),
        rules_removed=_beyond(old_rules, new_rules),
        rules_changed=_changes(old_rules, new_rules),
        schema_changed=tuple(_walk(old.get("schema", UNSET), new.get("schema", UNSET), "")),
        settings_changed=(
            *(
                Change("", name, old.get(name, UNSET), new.get(name, UNSET))
                for name in _SETTINGS
                if not _same(old.get(name, UNSET), new.get(name, UNSET))
            ),
            *_order("fields", old_fields, new_fields),
            *_order("rules", old_rules, new_rules),
        ),
    )


def _by(items: list[dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    """A name that stands twice, as in an unfinished draft, is told apart by its number."""
    named: dict[str, dict[str, Any]] = {}
    for item in items:
        key, number = item[name], 2
        while key in named:
            key, number = f"{item[name]} ({number})", number + 1
        named[key] = item
    return named


def _beyond(these: Members[str, Any], those: Members[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in these if name not in those)


def _changes(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> tuple[Change, ...]:
    return tuple(
        Change(name, attribute, before, after)
        for name in old
        if name in new
        for attribute in sorted(old[name].keys() | new[name].keys())
        if not _same(before := old[name].get(attribute, UNSET), after := new[name].get(attribute, UNSET))
    )


def _order(of: str, old: Members[str, Any], new: Members[str, Any]) -> tuple[Change, ...]:
    before, after = [name for name in old if name in new], [name for name in new if name in old]
    return () if before == after else (Change("", f"order of {of}", before, after),)


def _walk(before: Any, after: Any, place: str) -> list[Change]:
    """The deepest members of a schema that differ; lists are taken whole."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if _same(before, after) else [Change(place, "schema", before, after)]
    return [
        change
        for name in dict.fromkeys((*before, *after))
        for change in _walk(
            before.get(name, UNSET),
            after.get(name, UNSET),
            f"{place}/{name.replace('~', '~0').replace('/', '~1')}",
        )
    ]


def _same(before: Any, after: Any) -> bool:
    """As JSON: 1 is neither true nor 1.0."""
    if before is UNSET or after is UNSET:
        return before is after
    return _sorted(before) == _sorted(after)


_sorted: Final = msgspec.json.Encoder(decimal_format="number", order="sorted").encode
