"""What the quality command prints for a person: one screen, the worst fields first."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from imports.quality.formula import DIMENSIONS

FIELDS: Final = 20

_WORDS: Final = {
    "recordCount": "announced",
    "keyCompleteness": "keys",
    "uniqueness": "unique",
    "typeValidity": "types",
    "businessRules": "rules",
    "completeness": "complete",
}


def history_lines(found: Mapping[str, Any], owner: str) -> list[str]:
    """The last imports, newest first, then the fields of the type, the worst first. Dashes: nothing to judge by."""
    what = f"{found['type']} records" if found["type"] else "imports"
    if not found["jobs"]:
        return [f"{owner} has no {what} with a score yet."]
    lines = [f"{owner}, {what}: {_verdict(found)}", ""]
    judged = [name for name in DIMENSIONS if any(job["dimensions"][name] is not None for job in found["jobs"])]
    head = ["finished", "records", "score", *(_WORDS[name] for name in judged), "import"]
    rows = [
        [
            str(job["finishedAt"] or "")[:16].replace("T", " "),
            f"{job['records']:,}",
            percent(job["score"]),
            *(percent(job["dimensions"][name]) for name in judged),
            job["jobId"],
        ]
        for job in found["jobs"]
    ]
    lines += _table(head, rows, left=(0, len(head) - 1))
    if found["fields"]:
        worst = sorted(found["fields"], key=lambda field: (field["score"] is None, field["score"]))
        rows = [
            [
                field["target"],
                percent(field["score"]),
                field["trend"] or "-",
                percent(field["completeness"]),
                percent(field["validity"]),
                f"{field['missing']:,}",
                f"{field['unfit']:,}",
            ]
            for field in worst[:FIELDS]
        ]
        lines += ["", *_table(["field", "score", "trend", "complete", "valid", "missing", "unfit"], rows, left=(0, 2))]
        if len(worst) > FIELDS:
            lines.append(f"and {len(worst) - FIELDS} more, none of them worse")
    elif found["type"] is None:
        lines += ["", "Fields are shown with --type."]
    return lines


def percent(share: float | None) -> str:
    """With one digit, rounded down, so that 100.0 % is without a fault."""
    return "-" if share is None else f"{round(share * 10**6) // 1000 / 10:.1f} %"


def _verdict(found: Mapping[str, Any]) -> str:
    said = percent(found["score"])
    if found["trend"] is None:
        return f"{said}, nothing to compare with"
    count = len(found["jobs"]) - 1
    of = "the one before" if count == 1 else f"the {count} before"
    against = "as good as" if found["trend"] == "steady" else f"{found['trend']} than"
    return f"{said}, {against} {of}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int]) -> list[str]:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return [
        "  ".join(
            cell.ljust(widths[column]) if column in left else cell.rjust(widths[column])
            for column, cell in enumerate(row)
        ).rstrip()
        for row in [head, *rows]
    ]
