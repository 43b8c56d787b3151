"""Transforms of dates and points in time. Text is read strictly: what a format does not say is no date."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

from imports.mapping.mistake import WrongArgument
from imports.mapping.number import EXACT
from imports.mapping.problem import Unfit
from imports.mapping.transforms.registry import Step, transform
from imports.mapping.transforms.time_format import reader, writer
from imports.mapping.transforms.zone import as_local, zone_of

MAX_FORMATS: Final = 20
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}


@transform(takes=str, gives=date, example=({"formats": ["%d.%m.%Y", "%Y-%m-%d"]}, "15.03.2024", date(2024, 3, 15)))
def parse_date(*, formats: list[str], locale: str = "en") -> Step:
    """A date written in the first format that fits; a time of day in the format is read and left out."""
    _refuse_many(formats)
    readers = [reader(one, locale) for one in formats]

    def step(value: str) -> date:
        for read in readers:
            found = read(value)
            if found is not None:
                return found.day
        raise Unfit("not_a_date")

    return step


@transform(
    takes=str,
    gives=date,
    example=(
        {"formats": ["%Y-%m-%d %H:%M"], "zone": "Europe/Berlin"},
        "2024-07-01 09:30",
        datetime(2024, 7, 1, 9, 30, tzinfo=zone_of("Europe/Berlin")),
    ),
)
def parse_datetime(
    *,
    formats: list[str],
    zone: str | None = None,
    locale: str = "en",
    twice: Literal["refuse", "earlier", "later"] = "refuse",
) -> Step:
    """A point in time written in the first format that fits, with its own offset (%z) or as a local time of `zone`.

    A local time that clocks skipped is a problem. One that was twice is one too, unless `twice` says which is meant.
    """
    _refuse_many(formats)
    readers = [reader(one, locale) for one in formats]
    if not all(one.has_time for one in readers):
        raise WrongArgument(
            "each format has an hour (%H, or %I and %p) and a minute (%M); for days alone use parse_date"
        )
    if zone is None and not all(one.has_offset for one in readers):
        raise WrongArgument("say the zone of times that come without an offset, or put %z into each format")
    place = None if zone is None else zone_of(zone)

    def step(value: str) -> datetime:
        for read in readers:
            found = read(value)
            if found is not None:
                local = datetime.combine(found.day, found.time)
                if found.offset is not None:
                    return local.replace(tzinfo=found.offset)
                assert place is not None  # noqa: S101 - checked above, before any record
                return as_local(local, place, twice=twice)
        raise Unfit("not_a_date")

    return step


@transform(
    takes=Decimal,
    gives=date,
    example=({"unit": "milliseconds"}, Decimal("1710460800500"), datetime(2024, 3, 15, 0, 0, 0, 500_000, tzinfo=UTC)),
)
def from_unix(*, unit: Literal["seconds", "milliseconds", "microseconds"] = "seconds") -> Step:
    """A point in time counted from 1970-01-01T00:00:00Z; no fraction of a microsecond is lost."""
    factor = Decimal(_UNITS[unit])

    def step(value: Decimal) -> datetime:
        microseconds = EXACT.multiply(value, factor)
        if microseconds != microseconds.to_integral_value():
            raise Unfit("not_a_date")
        try:
            return _EPOCH + timedelta(microseconds=int(microseconds))
        except OverflowError:
            raise Unfit("not_a_date") from None

    return step


@transform(
    takes=date,
    gives=date,
    example=(
        {"zone": "America/New_York"},
        datetime(2024, 3, 15, 12, tzinfo=UTC),
        datetime(2024, 3, 15, 8, tzinfo=zone_of("America/New_York")),
    ),
)
def in_zone(*, zone: str) -> Step:
    """The same point in time on another zone's clocks; its date is then that zone's date."""
    place = zone_of(zone)

    def step(value: date) -> datetime:
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise Unfit("zone_missing")
        try:
            return value.astimezone(place)
        except OverflowError:
            raise Unfit("not_a_date") from None

    return step


@transform(takes=date, gives=str, example=({"format": "%d %b %Y"}, date(2024, 3, 15), "15 Mar 2024"))
def format_date(*, format: str, locale: str = "en") -> Step:
    """A date or point in time as text; put in_zone before it to choose the clocks."""
    return writer(format, locale)


def _refuse_many(formats: list[str]) -> None:
    if not 1 <= len(formats) <= MAX_FORMATS:
        raise WrongArgument(f"give 1 to {MAX_FORMATS} formats")
