"""Two official suites that are not ours to ship. Whoever fetched them names where they are, else their tests are
skipped aloud.

JSON_SCHEMA_SUITE_DIR: a checkout of github.com/json-schema-org/JSON-Schema-Test-Suite.
JSONATA_SUITE_DIR: a checkout of github.com/jsonata-js/jsonata.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

exactly = msgspec.json.Decoder(float_hook=Raw).decode


def folder(variable: str, repository: str) -> Path:
    """Skips the test where the variable is not set."""
    found = os.environ.get(variable)
    if not found:
        pytest.skip(f"NOT CHECKED: set {variable} to a checkout of github.com/{repository}")
    return Path(found)


@dataclass(frozen=True, slots=True)
class SchemaGroup:
    """One schema and its cases: (what is looked at, the value, whether it is valid)."""

    name: str
    schema: Any
    cases: list[tuple[str, Any, bool]]


def schema_groups() -> list[SchemaGroup]:
    """Every group of draft 2020-12, optional ones too; numbers with a fraction are Raw, as in a record."""
    root = folder("JSON_SCHEMA_SUITE_DIR", "json-schema-org/JSON-Schema-Test-Suite") / "tests" / "draft2020-12"
    groups = []
    for file in sorted(root.rglob("*.json")):
        for group, exact in zip(json.loads(file.read_bytes()), exactly(file.read_bytes()), strict=True):
            cases = [
                (case["description"], found["data"], case["valid"])
                for case, found in zip(group["tests"], exact["tests"], strict=True)
            ]
            groups.append(
                SchemaGroup(f"{file.relative_to(root).as_posix()}: {group['description']}", group["schema"], cases)
            )
    assert len(groups) >= 400
    return groups


@dataclass(frozen=True, slots=True)
class ExpressionCase:
    """`gives` is the result, UNDEFINED or FAILS."""

    name: str
    source: str
    document: bytes
    gives: Any


UNDEFINED = object()
FAILS = object()


def expression_cases() -> list[ExpressionCase]:
    """Every case without bindings of its own, which a mapping has not."""
    root = folder("JSONATA_SUITE_DIR", "jsonata-js/jsonata") / "test" / "test-suite"
    datasets = {file.stem: file.read_bytes() for file in (root / "datasets").glob("*.json")}
    cases = []
    for file in sorted((root / "groups").rglob("*.json")):
        found = json.loads(file.read_bytes())
        for number, case in enumerate(found if isinstance(found, list) else [found]):
            if not case.get("bindings"):
                cases.append(_case(f"{file.parent.name}/{file.stem}[{number}]", file, case, datasets))
    assert len(cases) >= 1_600
    return cases


def _case(name: str, file: Path, case: dict[str, Any], datasets: dict[str, bytes]) -> ExpressionCase:
    source = case["expr"] if "expr" in case else (file.parent / case["expr-file"]).read_text()
    document = json.dumps(case["data"]).encode() if "data" in case else datasets.get(str(case.get("dataset")), b"null")
    gives = FAILS if "code" in case or "error" in case else UNDEFINED if case.get("undefinedResult") else case["result"]
    return ExpressionCase(name, source, document, gives)


def comparable(value: Any) -> Any:
    """With every number as the decimal it stands for."""
    if isinstance(value, dict):
        return {name: comparable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [comparable(element) for element in value]
    return Decimal(repr(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


def counts(of: Iterator[str]) -> dict[str, int]:
    """How often each text stands there, in order of the first."""
    found: dict[str, int] = {}
    for text in of:
        found[text] = found.get(text, 0) + 1
    return found
