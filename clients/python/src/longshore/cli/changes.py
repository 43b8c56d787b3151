"""What would change, on one screen: the records' ids, the places and the values there."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from longshore import exact
from longshore.cli.words import plain
from longshore.shapes import Change, ChangedRecord

SHOWN = 20
CHANGES_SHOWN = 10
LONGEST_VALUE = 60


def changes_summary(records: Sequence[ChangedRecord]) -> list[RenderableType]:
    """The first 20 records with the first 10 changes of each; of a record that is new its id alone."""
    if not records:
        return [Text("\nNothing would change.")]
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(overflow="fold")
    for record in records[:SHOWN]:
        name = Text(plain(record["record"]), "bold")
        if record["outcome"] == "created":
            table.add_row(name, Text("new", "green"), "")
            continue
        for place, change in enumerate(record["changes"][:CHANGES_SHOWN]):
            table.add_row("" if place else name, Text(plain(change["pointer"])), _values(change))
        if len(record["changes"]) > CHANGES_SHOWN:
            table.add_row("", Text(f"… and {len(record['changes']) - CHANGES_SHOWN:,} more", "dim"), "")
    blocks: list[RenderableType] = [Text("\nWhat would change", "bold"), Padding(table, (0, 0, 0, 2), expand=False)]
    return blocks if len(records) <= SHOWN else [*blocks, Text("  … and more", "dim")]


def _values(change: Change) -> Text:
    return Text.assemble(_value(change, "before"), (" → ", "dim"), _value(change, "after"))


def _value(change: Change, side: str) -> tuple[str, str]:
    if side not in change:
        return "nothing", "dim"
    text = plain(exact.dumps(change[side]))  # type: ignore[literal-required]
    return (text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"), ""
