"""A mapping as frozen values: how records of one type become ours."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

DataType = Literal["string", "integer", "decimal", "boolean", "date", "datetime", "enum", "list", "object"]
Classification = Literal["public", "internal", "confidential", "restricted"]
UnmappedPolicy = Literal["keep", "drop", "refuse"]
Absent = Literal["missing", "null", "blank"]
Masking = Literal["full", "partial", "custom"]


class Transform(Struct, frozen=True, forbid_unknown_fields=True):
    """One step by its name in the registry, with its arguments as JSON values."""

    name: str
    arguments: dict[str, Any] = {}


class MaskPattern(Struct, frozen=True, forbid_unknown_fields=True):
    """What a custom mask shows: each match of the RE2 pattern is replaced by the text."""

    pattern: str
    by: str


class FieldRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most one of source, sources and expression. `absent` says what counts as no value, beside a missing member.

    Where `mask` is unset the classification decides how the field is masked.
    """

    target: str
    type: DataType
    source: str | UnsetType = UNSET
    sources: tuple[str, ...] = ()
    expression: str | UnsetType = UNSET
    transforms: tuple[Transform, ...] = ()
    values: tuple[str, ...] = ()
    default: Any = UNSET
    mandatory: bool = False
    absent: Absent = "missing"
    classification: Classification = "internal"
    mask: Masking | UnsetType = UNSET
    mask_pattern: MaskPattern | UnsetType = UNSET


class RecordRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`that` is JSONata over the mapped record and must be true; `message` is shown as it stands."""

    code: str
    that: str
    message: str


class Mapping(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ignored` names source paths that are left out on purpose: they are neither kept nor refused."""

    type: str
    fields: tuple[FieldRule, ...]
    unmapped: UnmappedPolicy = "refuse"
    ignored: tuple[str, ...] = ()
    rules: tuple[RecordRule, ...] = ()
    schema: dict[str, Any] | UnsetType = UNSET
