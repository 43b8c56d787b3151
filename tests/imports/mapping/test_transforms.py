"""Every transform does what its example says, and a wrong use of one is refused beforehand."""

from typing import Any

import pytest

from imports.mapping.definition import Transform
from imports.mapping.path import MISSING
from imports.mapping.problem import Unfit
from imports.mapping.transforms import REGISTRY, prepare


def run(name: str, given: Any, /, **arguments: Any) -> Any:
    step, mistakes = prepare(Transform(name, arguments), place="")
    assert step is not None, mistakes
    return step(given)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_its_example_holds(name: str) -> None:
    arguments, given, gives = REGISTRY[name].example
    assert isinstance(given, REGISTRY[name].takes)
    assert run(name, given, **arguments) == gives
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
    assert run("lookup", "x", table={}, else_="Unknown") == "Unknown"
    assert run("lookup", "x", table={}, unknown="keep") == "x"
    with pytest.raises(Unfit, match="not_in_table"):
        run("lookup", "x", table={}, unknown="refuse")


def test_a_pattern_counts_characters_and_takes_its_replacement_literally() -> None:
    assert run("replace_pattern", "é1ü22😀3", pattern="([0-9]+)", by=r"\1") == r"é\1ü\1😀\1"


def test_a_list_with_anything_but_text_is_not_joined() -> None:
    with pytest.raises(Unfit, match="wrong_list"):
        run("join", ["a", {}])
