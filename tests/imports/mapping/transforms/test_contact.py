"""Telephone numbers, e-mail addresses and countries."""

import pytest

from imports.mapping.path import MISSING
from tests.imports.mapping.transforms.steps import code, refusal, run


@pytest.mark.parametrize(
    ("region", "text", "gives"),
    [
        ("DE", "030-0074321", "+49300074321"),
        ("GB", "(171) 555-7788", "+441715557788"),
        (None, "+1 (503) 555-7555", "+15035557555"),
        ("US", "1-800-FLOWERS", "+18003569377"),
        ("FR", "0033 1 42 68 53 00", "+33142685300"),
    ],
)
def test_a_phone_number_becomes_e164(region: str | None, text: str, gives: str) -> None:
    assert run("phone", text, region=region) == gives


@pytest.mark.parametrize(
    ("region", "text"), [(None, "030 901820"), ("DE", "1"), ("DE", "n/a"), ("DE", "1" * 101), ("DE", "")]
)
def test_what_is_no_phone_number_is_refused(region: str | None, text: str) -> None:
    assert code("phone", text, region=region) == "not_a_phone_number"


def test_a_valid_number_is_more_than_a_possible_one() -> None:
    assert run("phone", "123 456 7890", region="US") == "+11234567890"
    assert code("phone", "123 456 7890", region="US", check="valid") == "not_a_phone_number"


def test_an_extension_is_refused_unless_it_is_to_be_dropped() -> None:
    assert code("phone", "030 901820 ext. 12", region="DE") == "not_a_phone_number"
    assert run("phone", "030 901820 ext. 12", region="DE", extension="drop") == "+4930901820"


def test_what_is_no_phone_number_may_be_kept_or_dropped() -> None:
    assert run("phone", "n/a", region="DE", unknown="keep") == "n/a"
    assert run("phone", "n/a", region="DE", unknown="drop") is MISSING


def test_a_phone_number_takes_its_region_from_another_field() -> None:
    assert run("phone_of_country", ["(171) 555-7788", "UK"]) == "+441715557788"
    assert run("phone_of_country", [MISSING, "UK"]) is MISSING
    assert code("phone_of_country", ["(171) 555-7788", "Atlantis"]) == "not_a_country"
    assert code("phone_of_country", ["(171) 555-7788", None]) == "wrong_list"
    assert code("phone_of_country", ["(171) 555-7788"]) == "wrong_list"


@pytest.mark.parametrize(
    ("text", "gives"),
    [
        ("Maria@EXAMPLE.com", "Maria@example.com"),
        (" a.b+c@mail.example.co.uk\n", "a.b+c@mail.example.co.uk"),
        ("user@Bücher.example", "user@bücher.example"),
        ("u\u0308@example.com", "ü@example.com"),
    ],
)
def test_an_address_is_normalised(text: str, gives: str) -> None:
    assert run("email", text) == gives


def test_the_local_part_is_lowered_on_request_alone() -> None:
    assert run("email", "Maria@example.com", local="lower") == "maria@example.com"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "maria",
        "@example.com",
        "maria@",
        "maria@example",
        "a@b@example.com",
        "a b@example.com",
        ".a@example.com",
        "a..b@example.com",
        "a@-example.com",
        "a@example..com",
        "a@example.com, b@example.com",
        "Maria <maria@example.com>",
        "a@exa\0mple.com",
        "a" * 65 + "@example.com",
        "a@" + "b." * 126 + "com",
        "a@" + "b" * 10_000_000 + ".com",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert code("email", text) == "not_an_email"


@pytest.mark.parametrize(
    ("text", "gives"),
    [
        ("Germany", "DE"),
        ("germany ", "DE"),
        ("DEU", "DE"),
        ("276", "DE"),
        ("USA", "US"),
        ("U.S.A.", "US"),
        ("UK", "GB"),
        ("Venezuela", "VE"),
        ("ZAR", "CD"),
    ],
)
def test_a_country_has_one_code(text: str, gives: str) -> None:
    assert run("country", text) == gives


def test_a_country_is_given_in_the_form_that_was_asked_for() -> None:
    given = {to: run("country", "Deutschland", to=to, locales=["de"]) for to in ("alpha2", "alpha3", "numeric", "name")}
    assert given == {"alpha2": "DE", "alpha3": "DEU", "numeric": "276", "name": "Deutschland"}
    assert run("country", "Germany", to="name", locales=["fr", "en"]) == "Allemagne"


@pytest.mark.parametrize("text", ["", "Atlantis", "ZZ", "EU", "Deutschland", "SUN", "1"])
def test_what_is_no_country_is_refused(text: str) -> None:
    assert code("country", text) == "not_a_country"


def test_every_country_goes_round_all_its_codes() -> None:
    numbers = [f"{number:03}" for number in range(1000) if not code("country", f"{number:03}")]
    codes = {run("country", number) for number in numbers}
    assert len(codes) == 250
    for country in codes:
        for to in ("alpha3", "numeric", "name"):
            assert run("country", run("country", country, to=to)) == country


def test_a_wrong_use_is_refused_beforehand() -> None:
    assert refusal("phone", region="Germany") == "here[0]"
    assert refusal("country", to="iso") == "here[0].to"
    assert refusal("country", locales=["nowhere"]) == "here[0]"
