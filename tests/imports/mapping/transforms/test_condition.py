"""The transform that does one thing or another."""

from typing import Any

import pytest
from msgspec import Raw

from imports.mapping.definition import Transform
from imports.mapping.path import MISSING
from imports.mapping.transforms import prepare_all
from tests.imports.mapping.transforms.steps import code, refusal, run

YES_NO = {
    "then": [{"name": "constant", "arguments": {"value": "yes"}}],
    "else": [{"name": "constant", "arguments": {"value": "no"}}],
}


@pytest.mark.parametrize(
    ("when", "value", "gives"),
    [
        ({"equals": "1"}, "1", "yes"),
        ({"equals": "1"}, 1, "yes"),
        ({"equals": "1"}, Raw(b"1.0"), "no"),
        ({"equals": "true"}, True, "yes"),
        ({"equals": "1"}, None, "no"),
        ({"equals": "1"}, MISSING, "no"),
        ({"one_of": ["a", "b"]}, "b", "yes"),
        ({"one_of": []}, "b", "no"),
        ({"matches": "[0-9]+"}, "12", "yes"),
        ({"matches": "[0-9]+"}, "12a", "no"),
        ({"more_than": "0.1"}, Raw(b"0.10000000000000000001"), "yes"),
        ({"more_than": "0.1"}, Raw(b"0.1"), "no"),
        ({"less_than": "1e400"}, 10**399, "yes"),
        ({"less_than": "0"}, MISSING, "no"),
        ({"absent": True}, MISSING, "yes"),
        ({"absent": True}, " ", "yes"),
        ({"absent": False}, "a", "yes"),
        ({"that": "$length($) > 2"}, "abc", "yes"),
        ({"that": "$[0] = 'a' and $[1] > 5"}, ["a", 6], "yes"),
        ({"that": "$exists($)"}, MISSING, "no"),
    ],
)
def test_a_condition_chooses_the_steps(when: dict[str, Any], value: Any, gives: str) -> None:
    assert run("conditional", value, when=when, **YES_NO) == gives


def test_no_steps_leave_the_value_as_it_is() -> None:
    assert run("conditional", "a", when={"equals": "a"}) == "a"
    assert run("conditional", " b", when={"equals": "a"}, **{"else": [{"name": "trim"}]}) == "b"


def test_a_condition_that_is_neither_true_nor_false_is_a_problem() -> None:
    assert code("conditional", "a", when={"that": "$"}) == "condition_not_boolean"
    assert code("conditional", [], when={"equals": "a"}) == "wrong_type"
    assert code("conditional", "a", when={"more_than": "1"}) == "not_a_number"


@pytest.mark.parametrize(
    "when", [{}, {"equals": "a", "matches": "b"}, {"matches": "("}, {"more_than": "x"}, {"that": "1 +"}]
)
def test_a_wrong_condition_is_refused_beforehand(when: dict[str, Any]) -> None:
    assert refusal("conditional", when=when) == "here[0]"


def test_mistakes_in_the_inner_steps_have_their_places() -> None:
    inner = {"name": "conditional", "arguments": {"when": {"equals": "a"}, "then": [{"name": "pad"}]}}
    _, mistakes = prepare_all(
        [Transform("conditional", {"when": {"equals": "a"}, "then": [{"name": "nonsense"}], "else": [inner]})],
        place="t",
    )
    assert [mistake.place for mistake in mistakes] == ["t[0].then[0]", "t[0].else[0].then[0].length"]
