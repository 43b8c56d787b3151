"""One function a command: call the client, show what came, say how to end."""

import argparse
import shlex
import sys
import uuid
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from rich.text import Text

from longshore.cli.changes import SHOWN, changes_summary
from longshore.cli.download import write
from longshore.cli.exits import Exit, exit_for
from longshore.cli.following import following
from longshore.cli.quality import quality_summary
from longshore.cli.screen import Screen
from longshore.cli.summary import import_summary, next_steps, plan_summary, undo_summary, verdict_summary
from longshore.cli.words import plain, size
from longshore.client import Accepted, Client
from longshore.errors import FixFile, LongshoreError
from longshore.payload import Reading
from longshore.retries import follow_redrive
from longshore.undos import follow_undo

Command = Callable[[Client, Screen, argparse.Namespace], Exit]


class Interrupted(Exception):
    """Ctrl-C, with what the person should know."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines


def push(client: Client, screen: Screen, args: argparse.Namespace) -> Exit:
    key = args.idempotency_key or str(uuid.uuid4())
    name = _name(args)
    with following(screen, name) as progress:
        try:
            accepted = client.push(
                _source(args),
                idempotency_key=key,
                on_bytes=progress.bytes,
                resume=args.resume,
                split_over=args.split_over,
                part_bytes=args.part_size,
                retry_tries=args.retry_tries,
                retry_base_seconds=args.retry_base_seconds,
                **_reading(args),
            )
        except KeyboardInterrupt as err:
            if job := getattr(err, "job_id", None):
                raise Interrupted(*resume_advice(args, job)) from None
            raise Interrupted(
                "Whether the server has accepted it is not known. To go on:", resume_command(args, key)
            ) from None
        _say_accepted(screen, name, accepted)
        if not args.watch:
            screen.give({**accepted.answer, "idempotencyKey": key}, accepted.job_id)
            screen.say(*next_steps(f"longshore status {plain(accepted.job_id)} --watch"))
            return Exit.OK
        _follow(client, accepted.job_id, progress.records)
    return _finish(client, screen, accepted.job_id, {"idempotencyKey": key})


def resume_command(args: argparse.Namespace, key: str) -> str:
    """The command that was given, under the same Idempotency-Key."""
    given = [] if args.idempotency_key else ["--idempotency-key", key]
    return shlex.join(["longshore", *args.argv, *given])


def resume_advice(args: argparse.Namespace, job: str) -> list[str]:
    """How to go on with a push in parts."""
    given = [] if args.resume else ["--resume", job]
    return [
        "What has arrived stays with the server for 24 hours. To go on from there:",
        f"  {shlex.join(['longshore', *args.argv, *given])}",
    ]


def validate(client: Client, screen: Screen, args: argparse.Namespace) -> Exit:
    name = _name(args)
    with following(screen, name) as progress:
        answer = client.validate(
            _source(args),
            changes=args.changes,
            on_bytes=progress.bytes,
            split_over=args.split_over,
            part_bytes=args.part_size,
            **_reading(args),
        )
        if isinstance(answer, Accepted) and args.watch:
            _follow(client, answer.job_id, progress.records)
    if not isinstance(answer, Accepted):
        screen.give(answer)
        screen.say(*verdict_summary(answer, name))
        if args.changes:
            screen.say(*changes_summary(answer.get("changes", [])))
        return Exit.OK if answer["valid"] else Exit.SOME_FAILED
    if not args.watch:
        screen.give(answer.answer, answer.job_id)
        screen.say(*next_steps(f"longshore status {plain(answer.job_id)} --watch"))
        return Exit.OK
    ended = _finish(client, screen, answer.job_id)
    if args.changes and screen.mode == "people" and ended in (Exit.OK, Exit.SOME_FAILED):
        screen.say(*changes_summary(list(islice(client.changes(answer.job_id), SHOWN + 1))))
    return ended


def commit(client: Client, screen: Screen, args: argparse.Namespace) -> Exit:
    answer = client.commit(
        args.job, digest=args.digest, retry_tries=args.retry_tries, retry_base_seconds=args.retry_base_seconds
    )
    job = str(answer.get("jobId", ""))
    screen.say(Text(f"The dry run is committed as import {plain(job)}"))
    if not args.watch:
        screen.give(answer, job)
        screen.say(*next_steps(f"longshore status {plain(job)} --watch"))
        return Exit.OK
    with following(screen, "Import") as progress:
        _follow(client, job, progress.records)
    return _finish(client, screen, job)


def status(client: Client, screen: Screen, args: argparse.Namespace) -> Exit:
    if args.watch:
        with following(screen, "Import") as progress:
            _follow(client, args.job, progress.records)
    return _finish(client, screen, args.job)


def quality(client: Client, screen: Screen, args: argparse.Namespace) -> Exit:
    answer = client.quality(args.job)
    screen.give(answer, args.job)
    screen.say(*quality_summary(plain(args.job), answer))
    return Exit.OK


def results(client: Client, screen: Screen, args: argparse.Namespace) -> Exit:
    chunks = client.download(args.job, args.kind, format="csv" if args.csv else "ndjson")
    if args.output is None:
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return Exit.OK
    written = write(args.output, chunks)
    screen.give({"file": str(args.output), "bytes": written})
    screen.say(Text(f"{size(written)} written to {plain(args.output)}"))
    return Exit.OK


def retry(client: Client, screen: Screen, args: argparse.Namespace) -> Exit:
    redrive = client.retry(args.job)
    screen.say(Text(f"{redrive['counts']['total']:,} failed records are tried again."))
    look = f"longshore status {plain(args.job)}"
    if not args.watch:
        screen.give(redrive, args.job)
        screen.say(*next_steps(look))
        return Exit.OK
    try:
        redrive = follow_redrive(client, redrive)
    except KeyboardInterrupt:
        raise Interrupted("The retry goes on without us. To look at it:", look) from None
    counts = redrive["counts"]
    screen.say(Text(f"{counts['succeeded']:,} stored, {counts['failedAgain']:,} failed again."))
    return _finish(client, screen, args.job, {"redrive": redrive})


def undo(client: Client, screen: Screen, args: argparse.Namespace) -> Exit:
    name = plain(args.job)
    if args.preview:
        plan = client.plan_undo(args.job)
        screen.give(plan, args.job)
        screen.say(*plan_summary(plan))
        screen.say(*next_steps(f"longshore undo {name} --watch"))
        return Exit.OK
    answer = client.undo(args.job)
    if args.watch:
        try:
            answer = follow_undo(client, answer)
        except KeyboardInterrupt:
            raise Interrupted("The undo goes on without us. To look at it:", f"longshore undo {name} --watch") from None
    screen.give(answer, args.job)
    screen.say(*undo_summary(answer))
    if answer["state"] == "running":
        screen.say(*next_steps(f"longshore undo {name} --watch"))
    return Exit.JOB_FAILED if answer["state"] == "failed" else Exit.OK


def cancel(client: Client, screen: Screen, args: argparse.Namespace) -> Exit:
    answer = client.cancel(args.job)
    screen.give(answer)
    screen.say("Cancelled. Batches that had begun are finished; what is stored stays.")
    screen.say(*next_steps(f"longshore status {plain(args.job)}"))
    return Exit.OK


def verify(client: Client, screen: Screen, args: argparse.Namespace) -> Exit:
    answer, ours = client.verify()
    screen.give({**answer, "ourStringToSign": ours})
    if answer["valid"]:
        screen.say(Text("The signature is valid.", "green"))
    else:
        screen.say(Text(f"The signature is not valid: it stopped at {plain(answer['step'])}.", "bold red"))
    skew = answer.get("skewSeconds")
    if isinstance(skew, int | float):
        screen.say(Text(_clock(skew)))
    theirs = answer.get("stringToSign")
    if theirs and theirs != ours:
        screen.say(Text("The server put together another string to sign; something on the way differs:"))
        for name, our, their in zip(_LINES, ours.split("\n"), theirs.split("\n"), strict=False):
            if our != their:
                screen.say(Text(f"  {name}: sent {plain(our)!r}, seen {plain(their)!r}"))
    elif theirs and not answer["valid"] and answer["step"] == "signature":
        screen.say("Both sides sign the same string: the key id or the secret is wrong, revoked or expired.")
    return Exit.OK if answer["valid"] else Exit.REFUSED


def _clock(skew: float) -> str:
    if abs(skew) < 2:
        return "The clocks agree."
    way = "behind" if skew > 0 else "ahead of"
    return f"This machine's clock is {abs(skew):,.0f} s {way} the server's; 300 s are allowed."


_LINES = ("algorithm", "key id", "time", "nonce", "method", "host", "target", "content type", "body digest")

COMMANDS: Mapping[str, Command] = {
    "push": push,
    "validate": validate,
    "commit": commit,
    "status": status,
    "quality": quality,
    "results": results,
    "retry": retry,
    "undo": undo,
    "cancel": cancel,
    "verify": verify,
}


def _follow(client: Client, job: str, show: Callable[[Any], None]) -> None:
    look = f"longshore status {job} --watch"
    try:
        for progress in client.watch(job):
            show(progress)
    except KeyboardInterrupt:
        raise Interrupted("The import goes on without us. To look at it:", look) from None
    except LongshoreError as err:
        if err.exit_code == Exit.TRY_LATER:
            err.hint = f"The import was accepted and goes on. To look at it:  {look}"
        raise


def _finish(client: Client, screen: Screen, job: str, more: Mapping[str, Any] | None = None) -> Exit:
    answer = client.status(job)
    job = answer.get("jobId") or job
    screen.give({**answer, **(more or {})}, job)
    screen.say(*import_summary(plain(job), answer))
    return exit_for(answer)


def _say_accepted(screen: Screen, name: str, accepted: Accepted) -> None:
    packed = ", packed" if accepted.is_gzipped else ""
    packed += f", in {accepted.parts} parts" if accepted.parts > 1 else ""
    screen.say(Text(f"{plain(name)} accepted as import {plain(accepted.job_id)} ({size(accepted.size)}{packed})"))


def _reading(args: argparse.Namespace) -> Reading:
    return {
        "format": args.format,
        "type": args.type,
        "source": args.source,
        "timestamp": args.timestamp,
        "gzip": args.gzip,
    }


def _name(args: argparse.Namespace) -> str:
    return "standard input" if args.file == "-" else Path(args.file).name


def _source(args: argparse.Namespace) -> Path | BinaryIO:
    if args.file != "-":
        return Path(args.file)
    if sys.stdin.isatty():
        raise FixFile("stdin_is_terminal", "Standard input is a terminal.", hint="Pipe a file into it.")
    return sys.stdin.buffer
