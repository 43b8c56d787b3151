"""Patterns that users write."""

import pytest

from imports.mapping.mistake import WrongArgument
from imports.mapping.pattern import MAX_TEXT, bounded, pattern
from imports.mapping.problem import Unfit


@pytest.mark.parametrize("source", ["(a+)+$", "(a|aa)+$", "(a|a?)+$", "([a-z]+)*$"])
def test_an_exponential_pattern_ends_on_a_long_text(source: str) -> None:
    assert pattern(source).fullmatch("a" * 100_000 + "!") is None


@pytest.mark.parametrize("source", ["(", r"(a)\1", "(?=a)", "(?<!a)b", "a{2000}", "((a{100}){100}){100}", "a" * 1_001])
def test_what_has_no_linear_time_is_refused(source: str) -> None:
    with pytest.raises(WrongArgument, match="pattern"):
        pattern(source)


def test_a_text_over_the_limit_is_refused() -> None:
    assert len(bounded("a" * MAX_TEXT)) == MAX_TEXT
    with pytest.raises(Unfit, match="text_too_long"):
        bounded("a" * (MAX_TEXT + 1))
