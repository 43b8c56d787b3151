"""Time zones out of the tzdata package, so that every host has the same ones."""

from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Literal
from zoneinfo import ZoneInfo

from imports.mapping.mistake import WrongArgument
from imports.mapping.problem import Unfit


@cache
def zone_of(name: str) -> ZoneInfo:
    """A zone by its name, such as Europe/Berlin. Raises WrongArgument."""
    names = files("tzdata").joinpath("zones").read_text().split()
    if name not in names:
        raise WrongArgument("this is no time zone of the IANA; write it as Europe/Berlin or UTC")
    with files("tzdata.zoneinfo").joinpath(name).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def as_local(local: datetime, zone: ZoneInfo, *, twice: Literal["refuse", "earlier", "later"]) -> datetime:
    """The point in time at which the zone's clocks show this. Raises Unfit where they never or twice did."""
    first = local.replace(tzinfo=zone, fold=0)
    second = local.replace(tzinfo=zone, fold=1)
    before, after = first.utcoffset(), second.utcoffset()
    if before == after:
        return first
    assert before is not None and after is not None  # noqa: S101 - every zone of the IANA has offsets
    if before < after:
        raise Unfit("time_does_not_exist")
    if twice == "refuse":
        raise Unfit("time_is_ambiguous")
    return first if twice == "earlier" else second
