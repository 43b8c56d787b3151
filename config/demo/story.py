"""What the demo tells: the same words with colours on a terminal and without them in a log."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from rich.console import Console
from rich.text import Text

from config.demo.house import House
from imports.models import ImportJob


class Story:
    """Prints to `console`, which decides about colours and never cuts a line in a log."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, markup=False, soft_wrap=not sys.stdout.isatty())

    def title(self) -> None:
        self.blank()
        self.console.print(Text("Longshore demo", "bold"))

    def step(self, text: str, remark: str = "") -> None:
        self.console.print(Text.assemble(("  ✓ ", "green"), text, (f"  {remark}" if remark else "", "dim")))

    @contextmanager
    def under_way(self, text: str) -> Iterator[None]:
        """A moving sign on a terminal; nothing in a log, which gets the step once it is done."""
        with self.console.status(Text(text), spinner="dots"):
            yield

    def command(self, words: Sequence[str]) -> None:
        self.blank()
        self.console.print(Text.assemble(("$ ", "dim"), (" ".join(words), "bold")))

    def account(self, job: ImportJob, *, kept_before: int, kept_now: int) -> None:
        """Where every record went, and that pushing the same again doubles nothing."""
        stored = {"new": job.created, "changed": job.updated, "unchanged": job.unchanged}
        how = ", ".join(f"{count:,} {word}" for word, count in stored.items() if count) or "none"
        rows = [
            (sum(stored.values()), f"stored and encrypted: {how}"),
            (job.superseded, "replaced by a later record of the same id"),
            (job.failed, "failed, each kept with its reason"),
            (job.unprocessed, "not processed, since the import was stopped"),
        ]
        self._heading(f"All {job.total:,} records are accounted for")
        width = len(f"{job.total:,}")
        for count, meaning in rows:
            if count:
                self.console.print(f"  {count:>{width},}  {meaning}")
        if kept_before and kept_now == kept_before and not job.created:
            self.console.print(f"  Nothing was doubled: {kept_now:,} records were stored before, and as many are now.")
        else:
            self.console.print(
                f"  {kept_now:,} records are stored now. Run it again: they will be unchanged, not doubled."
            )

    def places(self, house: House, password: str | None) -> None:
        """Where to look next."""
        self._heading("Look around")
        login = (
            f"user admin, password {password}" if password else f"lost the password? {_manage('create_admin --reset')}"
        )
        self._rows(
            ("Admin", f"{house.url}/admin/", login),
            ("API docs", f"{house.url}/api/docs", ""),
            *([("Log", short(house.log), "")] if house.up else []),
        )
        if password:
            self.console.print(Text("  The password is shown this once: write it down.", "yellow"))

    def commands(
        self,
        house: House,
        job: ImportJob,
        file: Path,
        key_id: str,
        *,
        example: tuple[str, str] | None,
        is_staying: bool,
    ) -> None:
        """What to type next; `example` is the type and id of a record to look up."""
        client = str(_beside_python("longshore"))
        self._heading("Try it in another terminal")
        rows = [] if is_staying or house.up is None else [("make up", "this run ends here: serve the same data again")]
        rows += [
            (_manage(f"rotate_key {key_id}"), "a key of your own: run the export line it prints"),
            (f"export LONGSHORE_URL={house.url}", ""),
            (f"{client} results {job.uuid} --failed", "what failed and why, as it was sent"),
            (f"{client} push {short(file)} --watch", "the same again: all unchanged"),
        ]
        if example:
            call = f"from longshore import Client; print(Client.from_environment().lookup{example})"
            rows.append((f'{short(Path(sys.executable))} -c "{call}"', "one record, by its business id"))
        for command, meaning in rows:
            if meaning:
                self.console.print(Text(f"  # {meaning}", "dim"))
            self.console.print(Text(f"  {command}", "cyan"), soft_wrap=True)

    def staying(self, house: House) -> None:
        self.blank()
        if house.up is None:
            self.console.print(f"Longshore goes on serving {house.url}; it was running before.")
        else:
            self.console.print(f"Serving {house.url}. Ctrl-C stops everything; the data stays in {_data_dir()}.")

    def interrupted(self) -> None:
        self.blank()
        self.console.print("Interrupted and stopped. What was accepted is kept; `make demo` begins again.")

    def gone(self, house: House) -> None:
        if house.up is not None:
            self.blank()
            self.console.print(f"Stopped. The data stays in {_data_dir()}: `make up` serves it again.")

    def blank(self) -> None:
        self.console.print()

    def _heading(self, text: str) -> None:
        self.blank()
        self.console.print(Text(text, "bold"))

    def _rows(self, *rows: tuple[str, ...]) -> None:
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
        for row in rows:
            cells = "".join(f"{cell:<{width}}  " for cell, width in zip(row, widths, strict=False))
            line = Text.assemble("  ", (cells, "cyan"), (row[-1], "dim"))
            line.rstrip()
            self.console.print(line, soft_wrap=True)


def short(path: Path) -> str:
    """From the working directory on, where it is below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _beside_python(name: str) -> str:
    return short(Path(sys.executable).with_name(name))


def _manage(arguments: str) -> str:
    # Another terminal must find the same house.
    chosen = f"DATA_DIR={_data_dir()} " if os.environ.get("DATA_DIR") else ""
    return f"{chosen}{short(Path(sys.executable))} manage.py {arguments}"


def _data_dir() -> str:
    return short(settings.DATA_DIR)
