"""Small mappings for tests of versions and of the pipeline, and the way to publish one."""

from typing import Any

from imports import mapping_versions
from imports.mapping.definition import FieldRule, Mapping
from imports.models import Mapping as Version
from tests.imports.pipeline import Caller, acting_as_command


def field(target: str, source: str | None = None, **members: Any) -> FieldRule:
    """A text field, taken from the same place as it goes to unless another is named."""
    return FieldRule(target=target, source=source or target, **{"type": "string", **members})


def mapping(*fields: FieldRule, record_type: str = "customer", **members: Any) -> Mapping:
    return Mapping(type=record_type, fields=fields or (field("attributes.name"),), **members)


def publish(caller: Caller, *meant: Mapping) -> list[Version]:
    """A published version of each."""
    with acting_as_command():
        return [mapping_versions.publish(mapping_versions.draft(caller.customer, one)) for one in meant]
