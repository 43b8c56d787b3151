"""What `manage.py mappings rehearse` is asked, and what it prints for a person."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import UNSET

from imports.rehearsal import (
    DEFAULT_LAST,
    DEFAULT_SAMPLES,
    MAX_LAST,
    MAX_SAMPLES,
    SECONDS,
    Rehearsal,
    Sample,
)

MAX_SECONDS: Final = 3_600

_encode = msgspec.json.encode


def add_rehearsal_arguments(command: ArgumentParser) -> None:
    """--last, --samples and --seconds."""
    command.add_argument(
        "--last",
        type=_from_1_to(MAX_LAST),
        default=DEFAULT_LAST,
        metavar="N",
        help=f"how many records (%(default)s, at most {MAX_LAST:,})",
    )
    command.add_argument(
        "--samples",
        type=_from_1_to(MAX_SAMPLES),
        default=DEFAULT_SAMPLES,
        metavar="N",
        help="how many of each kind to show, masked (%(default)s)",
    )
    command.add_argument(
        "--seconds",
        type=_from_1_to(MAX_SECONDS),
        default=int(SECONDS),
        metavar="N",
        help="stop after this long with what was looked at by then (%(default)s)",
    )


def rehearsal_lines(found: Rehearsal) -> Iterator[str]:
    """Counts, places, reasons, then the samples."""
    against = "the records as they came" if found.against is None else f"version {found.against}"
    yield f"{found.customer} {found.type} version {found.version} beside {against}, {found.records:,} records:"
    for name, says in (
        ("unchanged", "unchanged"),
        ("changed", "changed"),
        ("newly_failing", "newly failing"),
        ("newly_passing", "newly passing"),
        ("failing", "failing both ways"),
        ("skipped", "not tried: they ended the process that read them"),
    ):
        count = getattr(found, name)
        if count or name not in ("failing", "skipped"):
            yield f"  {count:>9,} {says}"
    if not found.is_complete:
        yield "  The time was up before the end; --seconds gives it more."
    for place, count in found.places.items():
        yield f"  {count:>9,} change {place or '/'}"
    for reason in found.reasons:
        yield f"  {reason.count:>9,} would fail: {reason.code} {reason.place}".rstrip()
    for sample in found.samples:
        yield from _sample_lines(sample)


def _sample_lines(sample: Sample) -> Iterator[str]:
    yield ""
    yield f"{sample.outcome.replace('_', ' ')}: import {sample.job_id}, index {sample.index:,}"
    for problem in sample.problems:
        yield f"  ! {problem.code} {problem.place}: {problem.message}"
    for change in sample.changes:
        yield f"  ~ {change.place or '/'}: {_text(change.before)} -> {_text(change.after)}"
    if sample.change_count > len(sample.changes):
        yield f"    and {sample.change_count - len(sample.changes):,} more"


def _text(value: Any) -> str:
    return "nothing" if value is UNSET else _encode(value).decode()


def _from_1_to(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most):
            raise ArgumentTypeError(f"a whole number from 1 to {most:,}")
        return int(text)

    return number
