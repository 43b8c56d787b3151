"""How good what an import brought was, on one screen."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from longshore.cli.words import plain
from longshore.shapes import Quality, TypeQuality

MOST_FIELDS = 20
MOST_REASONS = 20

_DIMENSIONS = (
    ("recordCount", "records as announced"),
    ("keyCompleteness", "with a usable key"),
    ("uniqueness", "sent once"),
    ("typeValidity", "fitting their types"),
    ("businessRules", "keeping the rules"),
    ("completeness", "fields with a value"),
)

_TRENDS = {"better": ", better than before", "worse": ", worse than before", "steady": ", as before"}


def quality_summary(job: str, answer: Quality) -> list[RenderableType]:
    """The score and its dimensions, by type, the worst fields, and why records are no better."""
    if answer["score"] is None:
        return [Text(f"\nImport {job} has no score: none of its records was judged.")]
    trend = _TRENDS.get(answer["trend"] or "", "")
    blocks: list[RenderableType] = [
        Text.assemble("\nThe records of ", (job, "bold"), " score ", (percent(answer["score"]), "bold"), trend),
        Text(_counted(answer), "dim"),
        _indented(_dimensions(answer)),
    ]
    faulty = [field for field in answer["fields"] if field["score"] is not None and field["score"] < 1]
    if faulty:
        faulty.sort(key=lambda field: field["score"] or 0.0)
        rows = [
            (
                plain(f"{field['type']} {field['target']}"),
                percent(field["score"]),
                f"{field['missing']:,} missing",
                f"{field['unfit']:,} unfit",
                plain(field["trend"] or ""),
            )
            for field in faulty[:MOST_FIELDS]
        ]
        more = len(faulty) - MOST_FIELDS
        blocks += [Text("\nFields", "bold"), _indented(_table(rows))]
        blocks += [Text(f"  … and {more} more fields", "dim")] if more > 0 else []
    if answer["reasons"]:
        reasons = [
            (plain(reason["code"]), f"{reason['records']:,}", plain(reason["type"]))
            for reason in sorted(answer["reasons"], key=lambda reason: -reason["records"])[:MOST_REASONS]
        ]
        blocks += [Text("\nWhat is wrong with records", "bold"), _indented(_table(reasons))]
    return blocks


def percent(share: float | None) -> str:
    """Rounded down: 100.0 % is without a fault."""
    return "-" if share is None else f"{round(share * 10**6) // 1000 / 10:.1f} %"


def _counted(answer: Quality) -> str:
    said = "" if answer["announced"] is None else f", {answer['announced']:,} were announced"
    return f"{answer['received']:,} records were received{said}."


def _dimensions(answer: Quality) -> Table:
    columns: list[tuple[str, TypeQuality]] = [("all", answer)]
    if len(answer["byType"]) > 1:
        columns += [(plain(name), of_type) for name, of_type in answer["byType"].items()]
    rows = [("", *(name for name, _ in columns))] if len(columns) > 1 else []
    rows += [
        (label, *(percent(one["dimensions"].get(name)) for _, one in columns))
        for name, label in _DIMENSIONS
        if answer["dimensions"].get(name) is not None
    ]
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for column in range(len(rows[0])):
        table.add_column(justify="right" if column else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _indented(block: RenderableType) -> Padding:
    return Padding(block, (0, 0, 0, 2), expand=False)
