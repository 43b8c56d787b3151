"""The pages about mappings say what the engine does: their transforms, files and members are the code's own."""

import re

import msgspec
import pytest
import yaml

from imports.mapping import compiled, expression, field, masking, target, tree
from imports.mapping.definition import FieldRule, Mapping, RecordRule
from imports.mapping.document import load
from imports.mapping.transforms import REGISTRY
from tests.docs.transforms_page import PAGE, render

DOCS = PAGE.parent
BLOCKS = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_page_of_transforms_is_the_registrys() -> None:
    """Make it anew with: python -m tests.docs.transforms_page"""
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in REGISTRY if f"### {name}\n" not in page] == []
    assert page == render()


@pytest.mark.parametrize("block", BLOCKS.findall(PAGE.read_text(encoding="utf-8")))
def test_a_transform_can_be_written_as_its_page_says(block: str) -> None:
    steps = yaml.safe_load(block)
    rule = {"target": "attributes.a", "source": "attributes.b", "type": "string", "transforms": steps}
    text = yaml.safe_dump({"mappings": [{"type": "order", "fields": [rule]}]})
    ((_, mapping),) = load(text)
    assert [transform.name for transform in mapping.fields[0].transforms] == [
        step if isinstance(step, str) else next(iter(step)) for step in steps
    ]


def test_the_example_of_a_mapping_can_be_used() -> None:
    (block,) = BLOCKS.findall((DOCS / "mappings.md").read_text(encoding="utf-8"))
    ((customer, mapping),) = load(block)
    assert (customer, len(mapping.fields), len(mapping.rules)) == ("bigcorp", 2, 1)


def test_the_page_names_every_member_and_limit() -> None:
    page = (DOCS / "mappings.md").read_text(encoding="utf-8")
    members = [name for kind in (Mapping, FieldRule, RecordRule) for name in kind.__struct_fields__]
    assert [name for name in members if f"`{name}`" not in page and f"{name}:" not in page] == []
    for kind in msgspec.inspect.type_info(FieldRule).fields:  # type: ignore[attr-defined]
        for value in getattr(kind.type, "values", ()):
            assert f"`{value}`" in page or f"mask: {value}" in page
    assert f"{compiled.MAX_FIELDS} fields, {compiled.MAX_RULES} rules, {field.MAX_TRANSFORMS} transforms" in page
    assert f"an expression of {expression.MAX_SOURCE:,} characters" in page
    assert f"index of {target.MAX_INDEX} in a target" in page
    assert f"more than {tree.MAX_BYTES // 1024} KiB" in page
    assert f"at most {masking.MAX_SHOWN} characters" in page
    limits = expression.LIMITS
    assert f"{limits['max_steps']:,} steps, {limits['timeout']} s, {limits['max_depth']} levels" in page
    assert f"lists of {limits['max_array_length']:,}, texts of {limits['max_string_length']:,} bytes" in page
