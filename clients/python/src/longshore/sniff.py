"""A look at a file's beginning, for mistakes that are cheaper to explain here than after a 50 MB upload."""

import csv
import json

from longshore.errors import FixFile

HEAD_BYTES = 64 * 1024

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def byte_order_mark(head: bytes, name: str) -> int:
    """How many bytes of UTF-8 byte order mark to leave out; FixFile for UTF-16 (some spreadsheets)."""
    if head.startswith(_UTF16_MARKS):
        raise FixFile("not_utf8", f"{name} is UTF-16 text.", hint="Save it as UTF-8.")
    return len(_UTF8_MARK) if head.startswith(_UTF8_MARK) else 0


def check_json(head: bytes, name: str) -> None:
    """BigCorp JSON is one object."""
    text = head.lstrip(b" \t\r\n")
    if text.startswith(b"{"):
        first, _, rest = text.partition(b"\n")
        if rest.lstrip().startswith(b"{") and _is_object(first):
            raise FixFile(
                "looks_like_ndjson",
                f"{name} holds one JSON object a line.",
                hint="Push it with --format ndjson.",
            )
        return
    raise FixFile(
        "not_bigcorp_json",
        f"{name} is not BigCorp JSON"
        + (": it is a bare list of records." if text.startswith(b"[") else ": it does not begin with {."),
        hint='Write {"metadata": {"source": …, "version": …, "timestamp": …}, "records": […]}, '
        "or one record a line and --format ndjson.",
    )


def has_metadata_line(head: bytes) -> bool:
    """Whether the first line is `{"metadata": {…}}` rather than a record."""
    try:
        first = json.loads(head.lstrip().partition(b"\n")[0])
    except ValueError:
        return False
    return isinstance(first, dict) and isinstance(first.get("metadata"), dict) and "id" not in first


def check_csv(head: bytes, name: str, *, has_type: bool) -> None:
    """The first row names the columns: `id`, and `type` unless one is given for all rows."""
    text = head.decode("utf-8", errors="replace")
    try:
        columns = next(csv.reader(text.splitlines(keepends=True)), [])
    except csv.Error:
        columns = []
    if "id" not in columns:
        has_semicolons = len(columns) == 1 and ";" in columns[0]
        raise FixFile(
            "csv_without_id",
            f"The first row of {name} names no column id.",
            hint="Save it with commas: its columns are separated by semicolons."
            if has_semicolons
            else "Name the columns there: id, type, custom.NAME for custom fields, all others attributes.",
        )
    if not has_type and "type" not in columns:
        raise FixFile(
            "csv_without_type",
            f"{name} has no column type.",
            hint="Say what the rows are: --type customer, --type order or --type product.",
        )
    if has_type and "type" in columns:
        raise FixFile("csv_type_twice", f"{name} has a column type already.", hint="Leave --type out.")


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
