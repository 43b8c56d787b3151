"""The `longshore` command."""

import argparse
import os
import sys
from collections.abc import Sequence

from rich.text import Text

from longshore.cli.arguments import parser
from longshore.cli.commands import COMMANDS, Interrupted, resume_advice, resume_command
from longshore.cli.exits import Exit
from longshore.cli.screen import Screen
from longshore.cli.words import plain
from longshore.client import Client
from longshore.config import is_exposed
from longshore.errors import LongshoreError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; never a traceback for what can be expected."""
    args = parser().parse_args(argv)
    args.argv = sys.argv[1:] if argv is None else list(argv)
    screen = Screen("json" if args.json else "quiet" if args.quiet else "people")
    try:
        with Client.from_environment(
            url=args.url, key_id=args.key_id, timeout=args.timeout, on_wait=screen.waiting
        ) as client:
            if is_exposed(client.url):
                screen.warn("LONGSHORE_URL is http: the records cross the network in clear text. Use https.")
            return COMMANDS[args.command](client, screen, args)
    except LongshoreError as err:
        screen.fail(err, _advice(err, args))
        return err.exit_code
    except Interrupted as err:
        for line in err.lines:
            screen.err.print(Text(plain(line)))
        return Exit.INTERRUPTED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE_CLOSED


def _advice(err: LongshoreError, args: argparse.Namespace) -> list[str]:
    """How to resume a push that may have arrived."""
    if args.command == "push" and err.job_id and err.code not in ("parts_differ", "wrong_state"):
        return resume_advice(args, err.job_id)
    if args.command != "push" or err.exit_code != Exit.TRY_LATER or not err.idempotency_key:
        return []
    return [
        "Pushing again with the same key never makes a second import:",
        f"  {resume_command(args, err.idempotency_key)}",
    ]
