"""Every transform does what its example says, and a wrong use of one is refused beforehand."""

import hashlib
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from imports.checking import encode
from imports.mapping.casting import caster
from imports.mapping.definition import Transform
from imports.mapping.path import MISSING
from imports.mapping.problem import CODES, Unfit
from imports.mapping.transforms import REGISTRY, prepare
from tests.imports.mapping.transforms.steps import code, run


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_its_example_holds(name: str) -> None:
    arguments, given, gives = REGISTRY[name].example
    assert isinstance(given, REGISTRY[name].takes)
    found = run(name, given, **arguments)
    assert found == gives
    assert isinstance(found, REGISTRY[name].gives)
    assert REGISTRY[name].prepare.__doc__


def test_every_mistake_in_the_arguments_is_listed_with_its_place() -> None:
    _, mistakes = prepare(Transform("replace", {"text": 1, "bye": ""}), place="fields[2].transforms[0]")
    assert [mistake.place.rpartition(".")[2] for mistake in mistakes] == ["bye", "text", "by"]


@pytest.mark.parametrize(
    "step",
    [
        Transform("nonsense"),
        Transform("replace", {"text": "", "by": "x"}),
        Transform("replace_pattern", {"pattern": "(?=a)", "by": ""}),
        Transform("substring", {"start": -1}),
        Transform("split", {"separator": ""}),
        Transform("split", {"separator": ",", "index": -1}),
        Transform("pad", {"length": 0}),
        Transform("pad", {"length": 5, "by": "ab"}),
        Transform("extract", {"pattern": "a(b)", "group": 2}),
        Transform("mask", {"how": "custom"}),
        Transform("mask", {"pattern": {"pattern": "a", "by": "b"}}),
    ],
)
def test_a_wrong_use_is_refused_beforehand(step: Transform) -> None:
    prepared, mistakes = prepare(step, place="here")
    assert prepared is None
    assert mistakes[0].place.startswith("here")


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("replace", "a" * 100_000, {"text": "a", "by": "b" * 1_000}),
        ("replace_pattern", "a" * 100_000, {"pattern": "a", "by": "b" * 1_000}),
        ("join", [""] * 100_000, {"separator": "b" * 1_000}),
        ("prefix", "a" * 1_048_576, {"text": "b"}),
    ],
)
def test_a_text_that_grows_without_bound_is_stopped(name: str, value: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(Unfit, match="text_too_long"):
        run(name, value, **arguments)


def test_a_part_that_is_not_there_is_missing() -> None:
    assert run("split", "a,b", separator=",", index=1) == "b"
    assert run("split", "a,b", separator=",", index=2) is MISSING
    assert run("first", [None, MISSING, " "]) is MISSING


def test_a_text_outside_the_table_follows_its_policy() -> None:
    assert run("lookup", "x", table={}, **{"else": "Unknown"}) == "Unknown"
    assert run("lookup", "x", table={}, unknown="keep") == "x"
    with pytest.raises(Unfit, match="not_in_table"):
        run("lookup", "x", table={}, unknown="refuse")


def test_a_pattern_counts_characters_and_takes_its_replacement_literally() -> None:
    assert run("replace_pattern", "é1ü22😀3", pattern="([0-9]+)", by=r"\1") == r"é\1ü\1😀\1"


def test_a_list_with_anything_but_text_is_not_joined() -> None:
    with pytest.raises(Unfit, match="wrong_list"):
        run("join", ["a", {}])


def test_a_step_on_text_takes_numbers_by_their_digits_and_lists_by_their_elements() -> None:
    assert run("pad", 82520, length=6, by="0") == "082520"
    assert run("suffix", Raw(b"1.50"), text=" EUR") == "1.50 EUR"
    assert run("upper", ["a", None, MISSING, ["b"]]) == ["A", None, MISSING, ["B"]]
    assert code("upper", {}) == "wrong_type"
    assert code("join", "a") == "wrong_type"


def test_what_a_pattern_does_not_find_is_missing() -> None:
    assert run("extract", "no. 17", pattern="[a-z]+([0-9]+)?", group=1) is MISSING
    assert run("extract", "17", pattern="[a-z]") is MISSING


def test_a_hash_is_of_the_text_in_utf8() -> None:
    assert run("hash", "ü") == hashlib.sha256("ü".encode()).hexdigest()


def test_a_mask_keeps_no_more_than_it_says() -> None:
    assert run("mask", "4111111111111111") == "***"
    assert run("mask", "4111-1111", how="custom", pattern={"pattern": "[0-9]", "by": "#"}) == "####-####"
    assert run("mask", "nothing", how="custom", pattern={"pattern": "[0-9]", "by": "#"}) == "***"


anything = st.recursive(
    st.one_of(
        st.none(),
        st.just(MISSING),
        st.booleans(),
        st.integers(),
        st.text(max_size=20),
        st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: Raw(str(number).encode())),
        st.sampled_from([Raw(b"1e400000000"), "1e400000000", 10**450, "9999-12-31T23:59:59-23:59", "0001-01-01"]),
        st.dates(),
        st.datetimes(timezones=st.just(UTC)),
        st.decimals(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=5,
)


@pytest.mark.parametrize("name", sorted(REGISTRY))
@settings(max_examples=60)
@given(anything, st.sampled_from(["string", "integer", "decimal", "boolean", "date", "datetime", "list", "object"]))
def test_any_value_gives_a_value_of_the_type_or_a_problem_that_is_listed(name: str, value: Any, kind: str) -> None:
    arguments, _, _ = REGISTRY[name].example
    try:
        found = run(name, value, **arguments)
        if found is not None and found is not MISSING:
            encode(caster(kind)(found))
    except Unfit as err:
        assert err.code in CODES
