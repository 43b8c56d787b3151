"""The example mapping over the whole Northwind sample, where that is beside the checkout."""

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from imports import checking
from imports.mapping.compiled import compile_mapping
from imports.mapping.document import dump, load

HOUSE = Path(__file__).resolve().parents[3]
EXAMPLE = HOUSE / "docs" / "examples" / "northwind.yaml"
SAMPLE = HOUSE.parent / "shared" / "data" / "northwind-bulk.json"
GOLDEN = Path(__file__).with_name("northwind.json")


class Body(msgspec.Struct):
    records: list[msgspec.Raw]


def summary() -> dict[str, Any]:
    """By type: records, a digest of what they became, in order, and the fields that had no value, how often."""
    if not SAMPLE.exists():
        pytest.skip("NOT CHECKED: shared/data/northwind-bulk.json is not beside this checkout")
    mappings = {mapping.type: compile_mapping(mapping) for _, mapping in load(EXAMPLE.read_bytes())}
    missing = {kind: [0] * len(mapping.targets) for kind, mapping in mappings.items()}
    digests: dict[str, Any] = defaultdict(hashlib.sha256)
    counts: dict[str, int] = defaultdict(int)
    for raw in msgspec.json.decode(SAMPLE.read_bytes(), type=Body).records:
        record, _ = checking.read(raw)
        mapped = mappings[record.type](
            record.id, record.type, record.attributes, record.customFields or {}, missing[record.type]
        )
        digests[record.type].update(checking.encode([record.id, *mapped]) + b"\n")
        counts[record.type] += 1
    return {
        kind: {
            "records": counts[kind],
            "sha256": digests[kind].hexdigest(),
            "withoutValue": {
                target: count for target, count in zip(mappings[kind].targets, missing[kind], strict=True) if count
            },
        }
        for kind in mappings
    }


def test_every_record_becomes_what_it_became_before() -> None:
    """After a change that is meant: python -m tests.imports.mapping.test_northwind"""
    assert summary() == json.loads(GOLDEN.read_text())


def test_the_example_is_written_as_it_is_read() -> None:
    mappings = load(EXAMPLE.read_bytes())
    assert [mapping.type for _, mapping in mappings] == ["customer", "product", "order"]
    assert load(dump(mappings)) == mappings


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(summary(), indent=2) + "\n")
