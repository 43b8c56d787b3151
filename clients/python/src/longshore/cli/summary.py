"""What became of an import or a dry run, on one screen."""

from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from longshore.cli.words import duration, moment, plain
from longshore.shapes import Import, Reason, RecordError, Undo, UndoPlan, Verdict

FIRST_ERRORS = 5
MOST_REASONS = 20

_STYLES = {"created": "green", "updated": "green", "failed": "bold red", "unprocessed": "yellow"}
_OUTCOMES = ("created", "updated", "unchanged", "superseded")
_WOULD = (("create", "would be created"), ("update", "would be updated"), ("unchanged", "would stay as they are"))
_KEPT = {
    "changed": "changed by a later import",
    "edited": "edited by somebody",
    "confirmed": "brought again by a later import",
    "superseded": "in place of an older import's record",
    "no_version": "what they held before is not known",
}
_VERBS = {"pending": "waits for a worker", "processing": "is running", "completed": "completed"}


def import_summary(job: str, answer: Import) -> list[RenderableType]:
    """Outcomes, reasons, first errors and the commands that lead on."""
    counts, outcomes = answer["progress"], answer.get("outcomes") or {}
    would = answer.get("would")
    rows = [(name, outcomes.get(name, 0)) for name in _OUTCOMES]
    if would:
        rows = _would(would)
    rows.append(("failed", counts["failed"]))
    rows += [("unprocessed", outcomes["unprocessed"])] if outcomes.get("unprocessed") else []
    if answer["status"] not in ("completed", "failed"):
        rows.append(("not yet processed", counts["total"] - counts["processed"]))
    rows.append(("total", counts["total"]))
    blocks: list[RenderableType] = [_headline(job, answer), _indented(_table(rows))]
    blocks += _failures(answer.get("errorSummary") or [], answer["errors"])
    return blocks + _next_steps(job, answer)


def verdict_summary(verdict: Verdict, name: str) -> list[RenderableType]:
    """The same for a dry run that was answered at once."""
    would = verdict.get("would") or {}
    good = verdict["total"] - verdict["failed"]
    title = Text.assemble(
        "\n", (plain(name), "bold"), ": all records are good" if verdict["valid"] else ": some records would fail"
    )
    rows = _would(would) if would else [("good", good)]
    rows += [("failed", verdict["failed"]), ("total", verdict["total"])]
    blocks: list[RenderableType] = [title, _indented(_table(rows))]
    blocks += _failures(verdict.get("errorSummary") or [], verdict["errors"])
    return [*blocks, Text("\nNothing was stored.", "dim")]


def plan_summary(plan: UndoPlan) -> list[RenderableType]:
    """What an undo would do."""
    rows = [("would be removed", plan["remove"]), ("would be restored", plan["restore"])]
    rows += [("would stay as they are", plan["keep"]), ("failed, would be given up", plan["discard"])]
    rows += [("no longer there", plan["gone"])] if plan["gone"] else []
    return [_indented(_table(rows)), *_reasons(plan["keptBecause"]), Text("\nNothing was changed.", "dim")]


def undo_summary(undo: Undo) -> list[RenderableType]:
    """How far an undo is, or how it ended."""
    counts = undo["counts"]
    text = Text.assemble("\nUndo of import ", (plain(undo["jobId"]), "bold"), " ")
    if undo["state"] == "failed":
        text.append(f"failed: {plain(undo.get('stateReason') or 'no reason given')}", "bold red")
    else:
        text.append("is done" if undo["state"] == "done" else f"has gone through {counts['done']:,} records")
    rows = [("removed", counts["removed"]), ("restored", counts["restored"])]
    rows += [("stay as they are", counts["kept"]), ("failed, given up", counts["discarded"])]
    rows += [("no longer there", counts["gone"])] if counts["gone"] else []
    return [text, _indented(_table([*rows, ("total", counts["total"])])), *_reasons(undo["keptBecause"])]


def _reasons(reasons: Mapping[str, int]) -> list[RenderableType]:
    if not reasons:
        return []
    rows = [(_KEPT.get(reason, plain(reason)), count) for reason, count in reasons.items()]
    return [Text("\nWhy records stay", "bold"), _indented(_table(rows))]


def next_steps(*commands: str) -> list[RenderableType]:
    """Commands to copy."""
    if not commands:
        return []
    return [Text("\nNext", "bold"), *(Text(f"  {command}", "cyan") for command in commands)]


def records_per_second(answer: Import) -> float | None:
    """Over the whole run, from the server's own times."""
    began = moment(answer.get("startedAt")) or moment(answer.get("createdAt"))
    ended = moment(answer.get("finishedAt"))
    seconds = (ended - began).total_seconds() if began and ended else 0
    if seconds > 0:
        return answer["progress"]["processed"] / seconds
    return answer.get("rate") or None


def _headline(job: str, answer: Import) -> Text:
    text = Text.assemble("\nDry run " if answer.get("kind") == "dryRun" else "\nImport ", (job, "bold"), " ")
    if answer["status"] == "failed":
        text.append(f"failed: {plain(answer.get('statusReason') or 'no reason given')}", "bold red")
        return text
    text.append(_VERBS.get(answer["status"], plain(answer["status"])))
    began, ended = moment(answer.get("createdAt")), moment(answer.get("finishedAt"))
    if began and ended:
        text.append(f" in {duration((ended - began).total_seconds())}")
    if answer["status"] == "completed" and (rate := records_per_second(answer)):
        text.append(f", {rate:,.0f} records a second")
    return text


def _table(rows: Sequence[tuple[str, int]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    for name, count in rows:
        style = ("bold" if name == "total" else _STYLES.get(name, "")) if count else "dim"
        table.add_row(name, f"{count:,}", style=style)
    return table


def _would(would: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(label, would.get(name, 0)) for name, label in _WOULD]


def _failures(reasons: Sequence[Reason], errors: Sequence[RecordError]) -> list[RenderableType]:
    blocks: list[RenderableType] = []
    if reasons:
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(justify="right", style="red")
        table.add_column(overflow="fold")
        table.add_column(overflow="fold", style="dim")
        for reason in sorted(reasons, key=lambda reason: -reason["count"])[:MOST_REASONS]:
            pointer = plain(reason.get("pointer") or "")
            table.add_row(f"{reason['count']:,}", plain(reason["code"]), pointer)
        if len(reasons) > MOST_REASONS:
            table.add_row("", f"… and {len(reasons) - MOST_REASONS} more reasons", "")
        blocks += [Text("\nWhy records failed", "bold"), _indented(table)]
    if errors:
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(overflow="fold")
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for error in errors[:FIRST_ERRORS]:
            table.add_row(*_place(error), plain(error["error"]))
        blocks += [Text("\nThe first of them", "bold"), _indented(table)]
    return blocks


def _place(error: RecordError) -> tuple[Text, Text]:
    """The id it was sent with and its place, counted from 0 as everywhere on the wire."""
    index = error.get("index")
    id = plain(error["record"])
    name = Text("without an id", "dim") if id in ("", f"#{index}") else Text(id)
    return name, Text("" if index is None else f"index {index:,}", "dim")


def _next_steps(job: str, answer: Import) -> list[RenderableType]:
    outcomes: Mapping[str, int] = answer.get("outcomes") or {}
    steps: list[str] = []
    if answer["status"] not in ("completed", "failed"):
        steps.append(f"longshore status {job} --watch")
    if answer.get("kind") == "dryRun" and answer["status"] == "completed":
        steps.append(f"longshore results {job} --changes -o changes.ndjson")
        if not answer.get("committedAs"):
            steps.append(f"longshore commit {job} --watch")
    if answer["progress"]["failed"]:
        steps.append(f"longshore results {job} --failed -o failed.ndjson")
    if outcomes.get("unprocessed"):
        steps.append(f"longshore results {job} --unprocessed -o unprocessed.ndjson")
    return next_steps(*steps)


def _indented(block: RenderableType) -> Padding:
    return Padding(block, (0, 0, 0, 2), expand=False)
