import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imports import checking, record_difference
from imports.record_difference import MAX_CHANGES, MAX_POINTER_LENGTH, all_of, changes_between
from tests.imports.documents import searching

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=3), inner, max_size=3),
    max_leaves=12,
)


def shown(before: str, after: str) -> list[dict[str, Any]]:
    """The changes as they go over the wire."""
    wire = msgspec.json.encode(changes_between(before.encode(), after.encode()))
    return list(json.loads(wire, parse_float=str, parse_int=str))


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ('{"a":1}', '{"a":1}', []),
        ('{"a":1}', '{"a":2}', [{"pointer": "/a", "before": "1", "after": "2"}]),
        ('{"a":1}', '{"a":true}', [{"pointer": "/a", "before": "1", "after": True}]),
        ('{"a":0}', '{"a":false}', [{"pointer": "/a", "before": "0", "after": False}]),
        ('{"a":[1,{"b":1}]}', '{"a":[true,{"b":1}]}', [{"pointer": "/a/0", "before": "1", "after": True}]),
        ('{"a":null}', "{}", [{"pointer": "/a", "before": None}]),
        ("{}", '{"a":null}', [{"pointer": "/a", "after": None}]),
        ('{"a":{"b":{}}}', '{"a":{"b":[]}}', [{"pointer": "/a/b", "before": {}, "after": []}]),
        ('{"a":[1,2]}', '{"a":[1]}', [{"pointer": "/a", "before": ["1", "2"], "after": ["1"]}]),
        ('{"a/b":{"c~d":1}}', '{"a/b":{"c~d":2}}', [{"pointer": "/a~1b/c~0d", "before": "1", "after": "2"}]),
        ('{"b":1,"a":1}', '{"a":2,"b":2}', [{"pointer": f"/{n}", "before": "1", "after": "2"} for n in "ab"]),
    ],
)
def test_the_deepest_places_are_named(before: str, after: str, changes: list[dict[str, Any]]) -> None:
    assert shown(before, after) == changes


@pytest.mark.parametrize(
    ("old", "new"),
    [("1.0", "1.00"), ("1", "1.0"), ("1e2", "100"), ("123456789012345678901234567890", "1.5e400"), ("0.1", "0.10")],
)
def test_numbers_keep_their_digits(old: str, new: str) -> None:
    assert shown(f'{{"a":{old}}}', f'{{"a":{new}}}') == [{"pointer": "/a", "before": old, "after": new}]
    assert shown(f'{{"a":[{old}]}}', f'{{"a":[{old},1]}}')[0]["before"] == [old]


def test_a_new_record_is_one_change_with_all_of_it() -> None:
    assert msgspec.json.encode(all_of(b'{"a":1.50}')) == b'[{"pointer":"","after":{"a":1.50}}]'


def test_a_record_that_differs_in_too_many_places_is_told_by_its_members() -> None:
    many = {"attributes": {f"f{number}": number for number in range(MAX_CHANGES + 1)}, "id": "A", "z": 1}
    other = {**many, "attributes": {name: -value - 1 for name, value in many["attributes"].items()}}  # type: ignore[attr-defined]
    (change,) = shown(checking.encode(many).decode(), checking.encode(other).decode())
    assert change["pointer"] == "/attributes"
    assert len(change["before"]) == len(change["after"]) == MAX_CHANGES + 1


def test_no_pointer_is_too_long() -> None:
    name = "n" * (MAX_POINTER_LENGTH // 2)
    before = {"id": "A", "attributes": {name: {"x": {name: 1}, "y": 1}}}
    after = {"id": "B", "attributes": {name: {"x": {name: 2}, "y": 2}}}
    found = shown(checking.encode(before).decode(), checking.encode(after).decode())
    assert [change["pointer"] for change in found] == [f"/attributes/{name}/x", f"/attributes/{name}/y", "/id"]
    assert found[0]["after"] == {name: "2"}


def placed(document: Any, pointer: str) -> tuple[Any, Any]:
    """The container that a pointer leads into, and the last step."""
    *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    for step in steps:
        document = document[int(step) if isinstance(document, list) else step]
    return document, int(last) if isinstance(document, list) else last


@searching
@given(st.dictionaries(st.text("ab/~", max_size=3), VALUES), st.dictionaries(st.text("ab/~", max_size=3), VALUES))
def test_the_changes_turn_one_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    document = json.loads(json.dumps(before))
    for change in changes_between(checking.encode(before), checking.encode(after)):
        container, step = placed(document, change.pointer)
        if change.before is not msgspec.UNSET:
            assert checking.encode(container[step]) == checking.encode(change.before)
        if change.after is msgspec.UNSET:
            del container[step]
        else:
            container[step] = change.after
    assert checking.encode(document) == checking.encode(after)


def test_a_hostile_record_takes_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 levels deep and as wide as it may be: each value is looked at once or twice, never once a level."""
    looks = 0
    plain = checking.encode

    def counting(value: Any) -> bytes:
        nonlocal looks
        looks += 1
        return plain(value)

    monkeypatch.setattr(record_difference, "encode", counting)
    deep: Any = list(range(10_000))
    other: Any = list(range(10_000))
    for _ in range(60):
        deep, other = {"n": deep}, {"n": other}
    assert changes_between(plain({"attributes": deep}), plain({"attributes": other})) == []
    assert looks == 2 * 10_000
