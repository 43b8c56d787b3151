"""The tallies of many batches added up: by PostgreSQL for those of a job, here for those that nobody stores."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from django.db import connection

Kind = Literal["counts", "codes", "missing", "unfit"]
Entry = tuple[str, Kind, str, int]
"""Record type, what is counted, under which name (of a field: its position from 1), how many."""


@dataclass(slots=True)
class Sums:
    """Of one record type. `missing` and `unfit` are by the position of the field in the mapping, from 1."""

    counts: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    missing: Counter[int] = field(default_factory=Counter)
    unfit: Counter[int] = field(default_factory=Counter)


def of_job(job_id: int) -> dict[str, Sums]:
    """By record type, over the batches of a job that are done: one query, and few rows however many batches."""
    with connection.cursor() as cursor:
        cursor.execute(_SUM, {"job": job_id})
        return add_up(cursor.fetchall())


def of_tallies(tallies: Iterable[Mapping[str, Any]]) -> dict[str, Sums]:
    """The same over what Tally.as_json gave."""
    return add_up(entry for tally in tallies for entry in _entries(tally))


def add_up(entries: Iterable[Entry]) -> dict[str, Sums]:
    """By record type, in the order of the alphabet."""
    found: dict[str, Sums] = defaultdict(Sums)
    for record_type, kind, name, number in entries:
        sums = found[record_type]
        if kind == "counts":
            sums.counts[name] += int(number)
        elif kind == "codes":
            sums.codes[name] += int(number)
        else:
            (sums.missing if kind == "missing" else sums.unfit)[int(name)] += int(number)
    return dict(sorted(found.items()))


def _entries(tally: Mapping[str, Any]) -> Iterator[Entry]:
    for record_type, entry in tally.items():
        for name, number in entry["counts"].items():
            yield record_type, "counts", name, number
        for name, number in entry.get("codes", {}).items():
            yield record_type, "codes", name, number
        for position, number in enumerate(entry.get("missing", ()), 1):
            yield record_type, "missing", str(position), number
        for position, number in enumerate(entry.get("unfit", ()), 1):
            yield record_type, "unfit", str(position), number


# Batches that an older release did have no tally.
_SUM: Final = """
    WITH tally AS (
        SELECT entry.key AS type, entry.value AS noted
        FROM imports_importbatch batch CROSS JOIN LATERAL jsonb_each(batch.quality) entry
        WHERE batch.job_id = %(job)s AND batch.state = 'done' AND jsonb_typeof(batch.quality) = 'object'
    )
    SELECT type, 'counts', key, sum(value::bigint) FROM tally, jsonb_each_text(noted->'counts') GROUP BY type, key
    UNION ALL
    SELECT type, 'codes', key, sum(value::bigint) FROM tally, jsonb_each_text(noted->'codes') GROUP BY type, key
    UNION ALL
    SELECT type, 'missing', place::text, sum(value::bigint)
    FROM tally, jsonb_array_elements_text(noted->'missing') WITH ORDINALITY counter (value, place) GROUP BY type, place
    UNION ALL
    SELECT type, 'unfit', place::text, sum(value::bigint)
    FROM tally, jsonb_array_elements_text(noted->'unfit') WITH ORDINALITY counter (value, place) GROUP BY type, place
"""
