"""What staff may see of a record."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from imports.mapping.definition import Mapping, MaskPattern
from imports.mapping.masking import Masker, custom, full, partial
from tests.imports.mapping.mapped import rule

RECORD: dict[str, Any] = {
    "id": "C-1",
    "type": "customer",
    "attributes": {
        "name": "Maria Anders",
        "city": "Berlin",
        "phone": "+49300074321",
        "income": Raw(b"51000.50"),
        "lines": [{"sku": "A-1", "note": "secret"}, {"sku": "A-2"}],
        "secret name": "x",
        "other secret": "y",
    },
    "customFields": {"iban": "DE02 1203 0000 0000 2020 51", "hobby": "chess"},
}


def masker(**members: Any) -> Masker:
    return Masker(Mapping(type="customer", fields=tuple(members.pop("fields")), **members))


def test_the_classification_decides_what_is_shown() -> None:
    shown = masker(
        fields=[
            rule("name", "n", classification="confidential"),
            rule("city", "c", classification="public"),
            rule("phone", "p"),
            rule("income", "i", type="decimal", classification="restricted"),
            rule("lines[*].sku", "l[*].s", classification="public"),
            rule("customFields.iban", "b", mask="custom", mask_pattern={"pattern": "[0-9]", "by": "•"}),
        ]
    ).mask(RECORD)
    assert shown == {
        "id": "C-1",
        "type": "customer",
        "attributes": {
            "name": "Ma***rs",
            "city": "Berlin",
            "phone": "+49300074321",
            "income": "***",
            "lines": [{"sku": "A-1", "*": "***"}, {"sku": "A-2"}],
            "*": "***",
        },
        "customFields": {"iban": "DE•• •••• •••• •••• •••• ••", "*": "***"},
    }


def test_without_a_mapping_only_id_and_type_are_shown() -> None:
    assert Masker(None).mask(RECORD) == {
        "id": "C-1",
        "type": "customer",
        "attributes": {"*": "***"},
        "customFields": {"*": "***"},
    }


def test_a_rules_own_mask_goes_before_its_classification() -> None:
    fields = [
        rule("name", "n", classification="public", mask="full"),
        rule("city", "c", classification="restricted", mask="partial"),
    ]
    assert masker(fields=fields).mask(RECORD)["attributes"] == {"name": "***", "city": "B***", "*": "***"}


def test_a_record_as_it_came_is_masked_by_the_strictest_rule_that_reads_it() -> None:
    shown = masker(
        fields=[
            rule("a", "name", classification="public"),
            rule("b", "name", classification="restricted"),
            rule("c", sources=["city", "phone"], classification="confidential"),
            rule("d", "lines", type="list", classification="public"),
            rule("e", "lines[*].note", type="list", classification="restricted"),
        ]
    ).mask_source(RECORD)["attributes"]
    assert shown == {
        "name": "***",
        "city": "B***",
        "phone": "+4***21",
        "lines": [{"sku": "A-1", "note": "***"}, {"sku": "A-2"}],
        "*": "***",
    }


@pytest.mark.parametrize("value", [True, ["a" * 20], {"a": "b"}, None, 10**5000], ids=range(5))
def test_partial_and_custom_show_nothing_but_text_and_numbers(value: Any) -> None:
    hidden = None if value is None else "***"
    assert partial(value) == hidden
    assert custom(MaskPattern("a", "b"))(value) == hidden
    assert full(value) == hidden


@given(st.text(min_size=0, max_size=300))
def test_a_mask_tells_little_of_a_text_and_nothing_of_its_length(text: str) -> None:
    assert full(text) == "***"
    shown = partial(text)
    assert shown in ("***", f"{text[:1]}***", f"{text[:2]}***{text[-2:]}")
    assert len(shown) - 3 <= len(text) / 2
    assert custom(MaskPattern("(?s).", "#"))(text) == ("#" * min(len(text), 64) or "***")


def test_a_custom_mask_that_matches_nothing_shows_nothing() -> None:
    assert custom(MaskPattern("[0-9]+", "#"))("one two") == "***"
    assert custom(MaskPattern("[0-9]+", "#"))("one 2 two 3") == "one # two #"
    assert custom(MaskPattern("z", ""))("z" + "a" * 1000) == "a" * 64
