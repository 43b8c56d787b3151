"""Asking for an undo, the way to its end, and what the records are before and after."""

from typing import Any

from audit.context import Actor, acting_as
from customers.keyring import keyring
from imports import storing, undoing, versions
from imports.models import ImportJob, KeptRecord, Record, RecordVersion, Undo
from imports.undoing import undo_next
from tests.imports.pipeline import Caller, account_of, calling

Contents = dict[tuple[str, bytes], dict[str, Any]]


def undo(caller: Caller, job: ImportJob) -> Undo:
    """The undo after its end; the job's own account stays as it was."""
    before = account_of(job)
    asked = ask(caller, job)
    undo_all()
    after = account_of(job)
    assert [getattr(after, name) for name in _COUNTED] == [getattr(before, name) for name in _COUNTED]
    done = now_at(asked)
    assert (done.state, done.position) == ("done", 0)
    assert KeptRecord.objects.filter(undo=done).count() == done.kept
    return done


_COUNTED = ("status", "processed", "created", "updated", "unchanged", "superseded", "failed", "unprocessed")


def ask(caller: Caller, job: ImportJob) -> Undo:
    with calling(caller):
        return undoing.start(job)


def undo_all(*, rounds: int = 300) -> int:
    """Works until no undo is due; how many turns it took."""
    done = 0
    with acting_as(Actor("system", "worker-1")):
        while undo_next():
            done += 1
            assert done < rounds, "it does not come to an end"
    return done


def now_at(asked: Undo) -> Undo:
    return Undo.objects.get(pk=asked.pk)


def counts_of(undone: Undo) -> dict[str, int]:
    """Those that are not 0."""
    return {name: getattr(undone, name) for name in undoing.COUNTS if getattr(undone, name)}


def reasons_of(undone: Undo) -> list[tuple[int, str, int | None]]:
    """(index, reason, number of the job it is kept for) of each record that stays."""
    kept = KeptRecord.objects.filter(undo=undone).order_by("index")
    return list(kept.values_list("index", "reason", "by_job_id"))


def contents(caller: Caller) -> Contents:
    """Every record with all that is stored of it, its payload opened."""
    opener = keyring(caller.customer.pk).opener("imports_record", "payload")
    found = {}
    for row in Record.objects.filter(customer=caller.customer).values("type", "key", *versions.CONTENT):
        kind, key = row.pop("type"), bytes(row.pop("key"))
        row["fingerprint"] = bytes(row["fingerprint"])
        row["payload"] = opener.open(bytes(row["payload"]), storing.record_row(kind, key))
        found[kind, key] = row
    return found


def version_count(caller: Caller) -> int:
    return RecordVersion.objects.filter(customer=caller.customer).count()
