"""Paths into a record."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imports.mapping.path import EVERY, MISSING, find, parse, pointer, put, write
from imports.mapping.problem import Unfit

RECORD: dict[str, Any] = {
    "id": "1",
    "attributes": {"a.b": {"c": None}, "items": [{"sku": "x"}, {}, {"sku": None}], "text": "t"},
}


def test_names_indexes_wildcards_and_quotes_are_read() -> None:
    assert parse('attributes.items[*]."a.b"[0].x') == ("attributes", "items", EVERY, "a.b", 0, "x")


@given(st.lists(st.one_of(st.text(), st.integers(0, 9999), st.just(EVERY)), max_size=6))
def test_every_path_is_written_and_read_back(steps: list[Any]) -> None:
    path = ("attributes", *steps)
    try:
        "".join(step for step in steps if isinstance(step, str)).encode()
    except UnicodeEncodeError:
        return
    assert parse(write(path)) == path


@pytest.mark.parametrize(
    "text", ["", "name", "attributes.", "attributes..a", "attributes[-1]", "attributes[", "[0]", 'attributes."a', "a b"]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="path"):
        parse(text)


def test_missing_and_null_are_different() -> None:
    assert find(RECORD, parse('attributes."a.b".c')) == [(("attributes", "a.b", "c"), None)]
    assert find(RECORD, parse("attributes.zip"))[0][1] is MISSING


def test_a_wildcard_finds_each_element_and_what_it_lacks() -> None:
    found = find(RECORD, parse("attributes.items[*].sku"))
    assert [value for _, value in found] == ["x", MISSING, None]
    assert pointer(found[2][0]) == "/attributes/items/2/sku"


@pytest.mark.parametrize("text", ["attributes.text.inner", "attributes.text[0]", "attributes.items.sku", "id[*]"])
def test_another_shape_is_not_taken_for_missing(text: str) -> None:
    with pytest.raises(Unfit, match="source_shape"):
        find(RECORD, parse(text))


def test_a_target_makes_objects_and_lists_on_the_way() -> None:
    mapped: dict[str, Any] = {}
    assert put(mapped, parse("attributes.lines[1].code"), "x")
    assert put(mapped, parse("attributes.lines[1].quantity"), 2)
    assert mapped == {"attributes": {"lines": [None, {"code": "x", "quantity": 2}]}}


def test_nothing_that_was_written_is_written_over() -> None:
    mapped: dict[str, Any] = {}
    assert put(mapped, parse("attributes.a"), "x")
    assert not put(mapped, parse("attributes.a"), "y")
    assert not put(mapped, parse("attributes.a.b"), "y")
    assert mapped == {"attributes": {"a": "x"}}
