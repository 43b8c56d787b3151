"""Records through the mapping of their type: the versions that a job was accepted with, or those published now.

A published version never changes, so each process compiles it once.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping as Members
from typing import Any, Final

from msgspec import UNSET

from imports import checking
from imports.mapping import definition, path
from imports.mapping.compiled import CompiledMapping, Unmapped, compile_mapping
from imports.mapping.problem import Problem, problem
from imports.mapping_rows import define
from imports.models import ImportJob, Mapping

_KEPT: Final = 256
_ROOTS: Final = frozenset(checking.Record.__struct_fields__)

_TOO_LARGE: Final = problem("mapped_too_large")

_Name = tuple[int, str, int]
"""Customer, record type, version."""


class Mapper:
    """One compiled version; safe to share among threads."""

    def __init__(self, version: Mapping) -> None:
        self.meant = define(version)
        self.names = _names(self.meant)
        self._compiled: CompiledMapping = compile_mapping(self.meant)
        self._rules = frozenset(rule.code for rule in self.meant.rules)
        self.targets = self._compiled.targets
        self.fields = tuple(rule.target for rule in self.meant.fields)

    def map(self, found: checking.Record, missing: list[int]) -> bytes:
        """The mapped record's canonical form; `found`, as checking.read gave it, is changed into the mapped record.

        `missing` has a counter for each of `targets`. Raises checking.Refused.
        """
        custom_fields = found.customFields
        try:
            found.attributes, mapped = self._compiled(
                found.id, found.type, found.attributes, {} if custom_fields is UNSET else custom_fields, missing
            )
        except Unmapped as unmapped:
            raise checking.Refused(
                [self._explain(found) for found in unmapped.problems], unfit=_unfit(unmapped.problems)
            ) from None
        found.customFields = mapped or UNSET
        canonical = checking.encode(found)
        if len(canonical) > checking.MAX_RECORD_BYTES:
            raise checking.Refused([self._explain(_TOO_LARGE)])
        return canonical

    def _explain(self, found: Problem) -> checking.Problem:
        is_of_record = found.code in self._rules or found.code.startswith("schema_")
        return checking.Problem(
            found.code,
            checking.shortened(found.pointer),
            checking.shortened(found.target),
            "validate" if is_of_record else "map",
            shown(found.pointer or found.target, self.names),
            found.message,
        )


def shown(pointer: str, names: frozenset[str]) -> str:
    """With the names that a mapping itself gives; all others are the caller's and may be personal."""
    steps = checking.shortened(pointer).split("/")[1:]
    return "".join(f"/{step}" if step in names else "/*" for step in steps)


def _unfit(problems: list[Problem]) -> frozenset[int]:
    """A mandatory field without a value is a rule that is broken, not a value that does not fit."""
    return frozenset(
        found.field_index for found in problems if found.field_index is not None and found.code != "field_missing"
    )


def pin(customer_id: int) -> dict[str, int]:
    """The versions published now, by record type. Whoever accepts a job calls it with the customer's row locked, as
    whoever publishes has, so that a job is wholly before a version or wholly after it."""
    published = Mapping.objects.filter(customer_id=customer_id, state=Mapping.State.PUBLISHED)
    return dict(published.order_by("record_type").values_list("record_type", "version"))


def as_detail(job: ImportJob) -> dict[str, list[str]]:
    """The pinned versions for the audit trail, such as customer/3; nothing where there are none."""
    names = [f"{record_type}/{version}" for record_type, version in (job.mappings or {}).items()]
    return {"mappings": names} if names else {}


def published(customer_id: int) -> dict[str, Mapper]:
    """What a record is tried with that is not of a batch: a retry, an edit, a validation. One query, where all are
    known."""
    return _load(customer_id, pin(customer_id))


def pinned(job: ImportJob) -> dict[str, Mapper]:
    """What the job's batches run with, by record type; no query where all are known."""
    return _load(job.customer_id, job.mappings or {})


def _load(customer_id: int, pins: Members[str, int]) -> dict[str, Mapper]:
    found: dict[str, Mapper] = {}
    for record_type, number in pins.items():
        name = (customer_id, record_type, number)
        mapper = _known.get(name)
        if mapper is None:
            version = Mapping.objects.prefetch_related("fields").get(
                customer_id=customer_id, record_type=record_type, version=number
            )
            mapper = Mapper(version)
            _known.put(name, mapper)
        found[record_type] = mapper
    return found


def _names(meant: definition.Mapping) -> frozenset[str]:
    """Every name of a member that stands in the definition, as it stands in a pointer."""
    paths = [*meant.ignored]
    for rule in meant.fields:
        paths += [rule.target, *rule.sources]
        if rule.source is not UNSET:
            paths.append(rule.source)
    names = {step for text in paths for step in path.parse(text) if isinstance(step, str)}
    if meant.schema is not UNSET:
        names |= _properties(meant.schema)
    return _ROOTS | {path.pointer((name,))[1:] for name in names}


def _properties(schema: Any) -> set[str]:
    names: set[str] = set()
    if isinstance(schema, dict):
        properties = schema.get("properties")
        names = set(properties) if isinstance(properties, dict) else set()
        names = names.union(*map(_properties, schema.values()))
    elif isinstance(schema, list):
        names = names.union(*map(_properties, schema))
    return names


class _Known:
    """The versions used last, a bounded number of them."""

    def __init__(self) -> None:
        self._mappers: OrderedDict[_Name, Mapper] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: _Name) -> Mapper | None:
        with self._lock:
            mapper = self._mappers.get(name)
            if mapper is not None:
                self._mappers.move_to_end(name)
            return mapper

    def put(self, name: _Name, mapper: Mapper) -> None:
        with self._lock:
            self._mappers[name] = mapper
            while len(self._mappers) > _KEPT:
                self._mappers.popitem(last=False)


_known = _Known()
