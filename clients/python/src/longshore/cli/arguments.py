"""The command line."""

import argparse
import math
from pathlib import Path

from longshore.calls import version
from longshore.cli.exits import EXPLANATION
from longshore.client import DEFAULT_TIMEOUT_SECONDS
from longshore.parts import PART_BYTES, SPLIT_OVER_BYTES
from longshore.payload import FORMATS

_ENVIRONMENT = """environment:
  LONGSHORE_URL      the server's address, such as https://longshore.example.com
  LONGSHORE_KEY_ID   the key's public id
  LONGSHORE_SECRET   the key's secret (lsk_…); only ever taken from here
"""
_FILES = """files:
  BigCorp JSON (.json), one record a line (.ndjson, .jsonl) or comma-separated values (.csv), each also
  packed (.gz). At most 50 MB on the wire; larger ones are packed by the way, and push sends still larger
  ones in parts that make one import. "-" reads standard input into memory, never into a temporary file,
  and needs --format.
"""


def parser() -> argparse.ArgumentParser:
    """argparse ends with status 2 for wrong usage, as exits.py says."""
    root = argparse.ArgumentParser(
        prog="longshore",
        description="Push bulk imports to a Longshore server and follow them.",
        epilog=f"{_ENVIRONMENT}\n{EXPLANATION}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"longshore-client {version()}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help: str, epilog: str = "") -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=help,
            description=f"{help[:1].upper()}{help[1:]}.",
            epilog=f"{epilog}\n{EXPLANATION}" if epilog else EXPLANATION,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add_common(sub)
        return sub

    push = command("push", "send a file as one import", _FILES)
    _add_file(push)
    push.add_argument("--watch", action="store_true", help="stay until it is done and show how it went")
    push.add_argument("--idempotency-key", metavar="KEY", help="resume a push: the same file, the same key")
    push.add_argument("--resume", metavar="JOB", help="go on with a push in parts: the same file, the import it made")
    _add_parts(push)
    _add_retry_policy(push)

    validate = command("validate", "check a file without storing anything", _FILES)
    _add_file(validate)
    validate.add_argument(
        "--changes", action="store_true", help="show what would change, value by value (scope records:read)"
    )
    validate.add_argument(
        "--watch",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="stay until a dry run that takes longer is done (the default)",
    )
    _add_parts(validate)

    commit = command("commit", "import exactly what a dry run has checked; once, however often it is asked")
    commit.add_argument("job", metavar="JOB", help="the dry run that validate made")
    commit.add_argument("--digest", help="what is meant, as the dry run's status names it (else it is read from there)")
    commit.add_argument("--watch", action="store_true", help="stay until it is done and show how it went")
    _add_retry_policy(commit)

    status = command("status", "show how an import stands")
    _add_job(status)
    status.add_argument("--watch", action="store_true", help="stay until it is done")

    _add_job(command("quality", "show how good what an import or dry run brought was"))

    results = command("results", "download what became of the records, in the order they were sent")
    _add_job(results)
    kinds = results.add_mutually_exclusive_group(required=True)
    for kind in ("failed", "succeeded", "unprocessed", "changes"):
        kinds.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind)
    results.add_argument("--csv", action="store_true", help="CSV in place of NDJSON")
    results.add_argument("-o", "--output", type=Path, metavar="FILE", help="write here, readable by you alone")

    retry = command("retry", "try an import's failed records again")
    _add_job(retry)
    retry.add_argument("--watch", action="store_true", help="stay until all have been tried")

    undo = command("undo", "take an import back: remove what it created, restore what it updated")
    _add_job(undo)
    how = undo.add_mutually_exclusive_group()
    how.add_argument("--preview", action="store_true", help="only say what it would do")
    how.add_argument("--watch", action="store_true", help="stay until it is done")

    _add_job(command("cancel", "stop an import; what is stored stays"))
    command("verify", "ask the server what it makes of our signature")
    return root


def _add_common(sub: argparse.ArgumentParser) -> None:
    group = sub.add_argument_group("connection and output")
    group.add_argument("--url", help="the server's address (LONGSHORE_URL)")
    group.add_argument("--key-id", help="the key's public id (LONGSHORE_KEY_ID)")
    group.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="give up on a call after this long, retries included (%(default).0f); watching has no limit",
    )
    output = group.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    output.add_argument("-q", "--quiet", action="store_true", help="print the job id at most; errors still show")


def _add_file(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("file", metavar="FILE", help='the file, or "-" for standard input')
    sub.add_argument("--type", choices=("customer", "order", "product"), help="what the rows of a CSV file are")
    sub.add_argument("--source", metavar="NAME", help="where the records come from (CSV, NDJSON; the file's name)")
    sub.add_argument(
        "--timestamp", type=_text, metavar="TIME", help="when they were exported (CSV, NDJSON; the file's own time)"
    )
    sub.add_argument("--format", choices=FORMATS, help="where the file's name does not say it")
    sub.add_argument(
        "--gzip",
        action=argparse.BooleanOptionalAction,
        help="pack it before it is sent (only where it is too large otherwise)",
    )


def _add_parts(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--split-over",
        type=_count,
        default=SPLIT_OVER_BYTES,
        metavar="BYTES",
        help="send a larger file in parts (%(default)s), and any that is too large for one body",
    )
    sub.add_argument(
        "--part-size",
        type=_count,
        default=PART_BYTES,
        metavar="BYTES",
        help="how much of the file a part holds (%(default)s); the same again to resume",
    )


def _add_retry_policy(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--retry-tries",
        type=_count,
        metavar="N",
        help="how often the server tries a passing failure again (0 to 20; else the server's own number)",
    )
    sub.add_argument(
        "--retry-base-seconds",
        type=_count,
        metavar="N",
        help="the longest pause before the first of these tries (1 to 3600; each further pause is twice as long)",
    )


def _add_job(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("job", metavar="JOB", help="the job id that push printed")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not math.isfinite(seconds) or seconds <= 0:
        raise ValueError(text)
    return seconds


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise ValueError(text)
    return count


def _text(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text
