"""Numbers keep their digits on every way through the engine."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from imports.mapping.casting import caster
from imports.mapping.number import exact, for_expression, from_expression
from imports.mapping.problem import Unfit


def raw(value: Any) -> Any:
    return bytes(value).decode() if isinstance(value, Raw) else value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_a_decimal_keeps_every_digit(number: Decimal) -> None:
    assert exact(Raw(str(number).encode())) == number
    assert Decimal(raw(caster("decimal")(str(number)))) == number


@pytest.mark.parametrize(
    ("data_type", "value", "gives"),
    [
        ("string", Raw(b"1.50"), "1.50"),
        ("string", True, "true"),
        ("integer", "007", 7),
        ("integer", Raw(b"1.0"), 1),
        ("integer", 2**70, 2**70),
        ("decimal", Raw(b"1E+2"), "1E+2"),
        ("decimal", "1.50", "1.50"),
        ("boolean", "TRUE", True),
        ("date", "2024-02-29", "2024-02-29"),
        ("datetime", "2024-03-15T00:00:00Z", "2024-03-15T00:00:00Z"),
        ("enum", "a", "a"),
        ("list", [Decimal("1")], [1]),
        ("object", {"a": None}, {"a": None}),
    ],
)
def test_a_value_becomes_its_data_type(data_type: str, value: Any, gives: Any) -> None:
    assert raw(caster(data_type, ("a",))(value)) == gives


@pytest.mark.parametrize(
    ("data_type", "value", "code"),
    [
        ("integer", True, "wrong_type"),
        ("integer", "1.5", "wrong_type"),
        ("integer", Raw(b"1e400000000"), "number_out_of_range"),
        ("integer", "1" * 5000, "number_out_of_range"),
        ("decimal", "1.234,56", "not_a_number"),
        ("decimal", "NaN", "not_a_number"),
        ("boolean", 1, "wrong_type"),
        ("date", "2023-02-29", "not_a_date"),
        ("datetime", "2024-03-15T00:00:00", "zone_missing"),
        ("datetime", "2024-03-15", "not_a_date"),
        ("enum", "b", "not_in_enum"),
        ("list", "a", "wrong_type"),
        ("object", [], "wrong_type"),
        ("string", [], "wrong_type"),
    ],
)
def test_what_is_not_of_the_type_is_refused(data_type: str, value: Any, code: str) -> None:
    with pytest.raises(Unfit, match=code):
        caster(data_type, ("a",))(value)


def test_an_expression_never_sees_what_a_double_would_spoil() -> None:
    given_values = [2**53, 2**53 + 1, Raw(b"0.10"), {"a": Raw(b"1e400")}]
    assert for_expression(given_values) == [2**53, "9007199254740993", "0.10", {"a": "1e400"}]


@pytest.mark.parametrize("value", [0.1 + 0.2, 1 / 3, 10**15, [10**16], {"a": 1e300 * 1.1}])
def test_a_result_beyond_15_digits_is_an_error(value: Any) -> None:
    with pytest.raises(Unfit, match="number_not_exact"):
        from_expression(value)


def test_a_result_of_15_digits_is_the_decimal_it_stands_for() -> None:
    assert from_expression([2.5, 0.1, 999_999_999_999_999]) == [Decimal("2.5"), Decimal("0.1"), 999_999_999_999_999]
