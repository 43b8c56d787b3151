"""Dates and points in time."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imports.mapping.casting import caster
from tests.imports.mapping.transforms.steps import code, refusal, run


@pytest.mark.parametrize(
    ("format", "text", "gives"),
    [
        ("%Y-%m-%d", "2024-02-29", date(2024, 2, 29)),
        ("%-d.%-m.%Y", "1.2.2024", date(2024, 2, 1)),
        ("%d/%m/%y", "01/02/68", date(2068, 2, 1)),
        ("%d/%m/%y", "01/02/69", date(1969, 2, 1)),
        ("%Y-%m-%d %H:%M:%S.%f", "1996-08-01 13:00:00.000", date(1996, 8, 1)),
        ("%Y%j", "2024366", date(2024, 12, 31)),
        ("%a, %d %b %Y", "Fri, 15 Mar 2024", date(2024, 3, 15)),
        ("100%% %Y-%m-%d", "100% 2024-03-15", date(2024, 3, 15)),
    ],
)
def test_a_date_is_read_in_its_format(format: str, text: str, gives: date) -> None:
    assert run("parse_date", text, formats=[format]) == gives


@pytest.mark.parametrize(
    ("locale", "text"), [("de", "15. März 2024"), ("fr", "15. mars 2024"), ("pl", "15. marca 2024")]
)
def test_a_month_has_its_name_in_the_locale(locale: str, text: str) -> None:
    assert run("parse_date", text, formats=["%d. %B %Y"], locale=locale) == date(2024, 3, 15)


def test_a_short_name_may_lack_its_point() -> None:
    for text in ("15 sept. 2024", "15 Sept 2024"):
        assert run("parse_date", text, formats=["%d %b %Y"], locale="fr") == date(2024, 9, 15)


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("%Y-%m-%d", "2023-02-29"),
        ("%Y-%m-%d", "2024-2-1"),
        ("%Y-%m-%d", " 2024-02-01"),
        ("%Y-%m-%d", "2024-02-01\n"),
        ("%Y-%m-%d", "٢٠٢٤-02-01"),
        ("%Y-%m-%d", "0000-01-01"),
        ("%Y%j", "2023366"),
        ("%Y%j", "2023000"),
        ("%Y%j", "9999999"),
        ("%a %Y-%m-%d", "Mon 2024-03-15"),
        ("%Y-%m-%d %H:%M", "2024-03-15 24:00"),
        ("%Y-%m-%d %I:%M %p", "2024-03-15 13:00 PM"),
        ("%Y-%m-%d %H:%M %z", "2024-03-15 13:00 +0160"),
    ],
)
def test_what_is_not_in_the_format_is_no_date(format: str, text: str) -> None:
    assert code("parse_date", text, formats=[format]) == "not_a_date"


EARLIEST = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
BERLIN = {"formats": ["%Y-%m-%d %H:%M"], "zone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("text", "gives"),
    [
        ("2024-01-15 09:30", "2024-01-15T09:30:00+01:00"),
        ("2024-07-15 09:30", "2024-07-15T09:30:00+02:00"),
        ("2024-03-31 01:59", "2024-03-31T01:59:00+01:00"),
        ("2024-03-31 03:00", "2024-03-31T03:00:00+02:00"),
        ("1960-07-15 09:30", "1960-07-15T09:30:00+01:00"),
        ("2099-07-15 09:30", "2099-07-15T09:30:00+02:00"),
    ],
)
def test_a_local_time_gets_the_offset_of_its_zone_then(text: str, gives: str) -> None:
    assert caster("datetime")(run("parse_datetime", text, **BERLIN)) == gives


@pytest.mark.parametrize("text", ["0001-01-01 00:00", "9999-12-31 23:59"])
def test_the_first_and_last_times_are_times(text: str) -> None:
    for zone in ("Europe/Berlin", "Pacific/Kiritimati", "America/Los_Angeles"):
        found = run("parse_datetime", text, formats=["%Y-%m-%d %H:%M"], zone=zone)
        assert caster("datetime")(found).startswith(text[:10])
        assert caster("date")(found) == text[:10]


@given(st.text(max_size=12), st.sampled_from(["en", "de", "tr", "el", "lt", "az"]))
def test_any_text_is_a_date_or_is_none(text: str, locale: str) -> None:
    for format in ("%d %B %Y", "%d %b %Y", "%A %d %m %Y"):
        assert code("parse_date", text, formats=[format], locale=locale) in ("", "not_a_date")
        assert code("parse_date", f"01 {text} 2024", formats=[format], locale=locale) in ("", "not_a_date")


def test_a_time_in_the_gap_never_was() -> None:
    assert code("parse_datetime", "2024-03-31 02:30", **BERLIN) == "time_does_not_exist"
    assert code("parse_datetime", "2024-03-31 02:30", **BERLIN, twice="later") == "time_does_not_exist"


def test_a_time_that_was_twice_is_refused_or_chosen() -> None:
    assert code("parse_datetime", "2024-10-27 02:30", **BERLIN) == "time_is_ambiguous"
    first = run("parse_datetime", "2024-10-27 02:30", **BERLIN, twice="earlier")
    second = run("parse_datetime", "2024-10-27 02:30", **BERLIN, twice="later")
    assert (first.utcoffset(), second.utcoffset()) == (timedelta(hours=2), timedelta(hours=1))


@pytest.mark.parametrize(("text", "gives"), [("Z", "Z"), ("+0530", "+05:30"), ("-03:00", "-03:00")])
def test_an_offset_in_the_text_stands(text: str, gives: str) -> None:
    found = run("parse_datetime", f"2024-03-15 12:00:01.5{text}", formats=["%Y-%m-%d %H:%M:%S.%f%z"])
    assert caster("datetime")(found) == f"2024-03-15T12:00:01.500000{gives}"


@given(st.datetimes(timezones=st.just(UTC), min_value=EARLIEST))
def test_a_point_in_time_is_written_and_read_back(moment: datetime) -> None:
    format = "%Y-%m-%dT%H:%M:%S.%f%z"
    for zone in ("America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia"):
        if moment.year < 9999:
            local = run("in_zone", moment, zone=zone)
            assert run("parse_datetime", run("format_date", local, format=format), formats=[format]) == moment


@given(
    st.dates(), st.sampled_from(["%Y-%m-%d", "%d. %B %Y", "%A %-d %b %Y", "%Y/%j"]), st.sampled_from(["en", "de", "es"])
)
def test_a_date_is_written_and_read_back(day: date, format: str, locale: str) -> None:
    assert (
        run("parse_date", run("format_date", day, format=format, locale=locale), formats=[format], locale=locale) == day
    )


def test_unix_times_are_exact() -> None:
    assert run("from_unix", "1710460800.000001") == datetime(2024, 3, 15, 0, 0, 0, 1, tzinfo=UTC)
    assert run("from_unix", -1, unit="milliseconds") == datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
    assert code("from_unix", "0.0000001") == "not_a_date"
    assert code("from_unix", Decimal("1e300")) == "not_a_date"


def test_iso_text_is_taken_for_a_date() -> None:
    assert run("format_date", "2024-03-15", format="%d.%m.%Y") == "15.03.2024"
    assert run("format_date", "2024-03-15T13:05:00+01:00", format="%I:%M %p %z") == "01:05 PM +01:00"
    assert code("format_date", "15.03.2024", format="%Y") == "not_a_date"


def test_a_day_has_no_time_and_a_bare_time_no_zone() -> None:
    assert code("format_date", date(2024, 3, 15), format="%H") == "wrong_type"
    assert code("format_date", "2024-03-15T13:05:00", format="%z") == "zone_missing"
    assert code("in_zone", date(2024, 3, 15), zone="UTC") == "zone_missing"
    assert code("in_zone", datetime(1, 1, 1, tzinfo=UTC), zone="America/New_York") == "not_a_date"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("parse_date", {"formats": []}),
        ("parse_date", {"formats": ["%Y-%m"]}),
        ("parse_date", {"formats": ["%Y-%m-%d %Y"]}),
        ("parse_date", {"formats": ["%Y-%m-%d %Q"]}),
        ("parse_date", {"formats": ["%Y-%m-%d %"]}),
        ("parse_date", {"formats": ["%Y-%m-%d %H"]}),
        ("parse_date", {"formats": ["%Y-%m-%d %I:%M"]}),
        ("parse_date", {"formats": ["%Y-%m-%d"], "locale": "xx-nowhere"}),
        ("parse_datetime", {"formats": ["%Y-%m-%d %H:%M"]}),
        ("parse_datetime", {"formats": ["%Y-%m-%d"], "zone": "UTC"}),
        ("parse_datetime", {"formats": ["%Y-%m-%d %H:%M"], "zone": "Europe/Atlantis"}),
        ("in_zone", {"zone": "../../etc/passwd"}),
        ("format_date", {"format": "%Y" * 51}),
    ],
)
def test_a_wrong_use_is_refused_beforehand(name: str, arguments: dict[str, Any]) -> None:
    assert refusal(name, **arguments) == "here[0]"
