"""What a person does about one failed record: try it again, edit it, discard it. One conditional UPDATE decides."""

from typing import Any, Final

from django.db.models.functions import Now

from audit.clock import database_now
from audit.context import current_context
from audit.trail import audited, record
from customers.keyring import hold, keyring
from imports import checking, doorbell, mappers, retention, undoing
from imports.after_commit import after_commit
from imports.failures import failure_row
from imports.models import FailedRecord, ImportJob
from imports.refusal import Refusal

_WAITING: Final = (FailedRecord.State.OPEN, FailedRecord.State.DISCARDED)


def retry(failure: FailedRecord) -> FailedRecord:
    """The record as it waits for its worker.

    Raises Refusal: wrong_state unless it is open or discarded and its import was not undone, content_removed where
    nothing is left of what was sent.
    """
    _refuse_undone(failure)
    with audited():
        _change(failure, _WAITING, {**_AGAIN, "redrive": None, "discard_reason": ""})
        _note(failure, "failed_record.retried")
        after_commit(doorbell.wake, failure.job_id)
    return _read(failure)


def edit(failure: FailedRecord, raw: bytes, *, attempt: int) -> FailedRecord:
    """`raw` is tried in the record's place; what was sent is kept. Nothing is changed where this raises Refusal.

    wrong_state: its import was undone. invalid_body: it would fail again. attempt_passed: since `attempt`, which the
    person saw, it was tried or changed. content_removed: nothing is left of what was sent.
    """
    _refuse_undone(failure)
    content = _read_edited(raw, failure.customer_id)
    job = ImportJob.objects.get(pk=failure.job_id)
    keys = keyring(failure.customer_id)
    sealer = keys.sealer("imports_failedrecord", "edited")
    with audited():
        hold(failure.customer_id, [sealer.data_key_id])
        origin = _number_for_an_edit(job, raw)
        changes = {
            "edited": sealer.seal(raw, failure_row(job.uuid, failure.index)),
            "edit_job": origin,
            # Only a later import of the record that it now is may resolve it, not of the one that it was sent as.
            "key": keys.index.key(content.type, content.id),
        }
        try:
            _change(failure, _WAITING, {**_AGAIN, **changes, "redrive": None, "discard_reason": ""}, attempts=attempt)
        except Refusal as err:
            if err.code == "content_removed":
                raise
            now_at = _read(failure)
            raise Refusal(
                "attempt_passed",
                f"This record is {now_at.state} at attempt {now_at.attempts}; your edit of attempt {attempt} "
                "was not sent. Read it again, then edit it.",
            ) from err
        _note(failure, "failed_record.edited", origin=str(origin.uuid))
        after_commit(doorbell.wake, failure.job_id)
    return _read(failure)


def discard(failure: FailedRecord, *, reason: str) -> FailedRecord:
    """Nobody will store it: it goes on counting as failed. Raises Refusal (wrong_state) unless it is open."""
    with audited():
        changes = {"state": FailedRecord.State.DISCARDED, "discard_reason": reason, "next_attempt_at": None}
        _change(failure, (FailedRecord.State.OPEN,), changes)
        _note(failure, "failed_record.discarded", reason=reason)
    return _read(failure)


def _read_edited(raw: bytes, customer_id: int) -> checking.Record:
    try:
        content, _ = checking.read(raw)
        mapper = mappers.published(customer_id).get(content.type)
        if mapper is not None:
            mapper.map(content, [0] * len(mapper.targets))
    except checking.Refused as refused:
        raise Refusal(
            "invalid_body",
            "The edited record would fail again; mend what errors names.",
            errors=tuple(
                (f"/record{problem.pointer}", problem.code, _explain(problem)) for problem in refused.problems
            ),
        ) from None
    return content


def _explain(problem: checking.Problem) -> str:
    """Where the fault is in the mapped record alone, the message says so: the pointer leads into what was sent."""
    if problem.pointer or not problem.target:
        return problem.message
    return f"{problem.message} It is at {problem.target} of the mapped record."


_AGAIN: Final = {"state": FailedRecord.State.RETRYING, "tries": 0, "next_attempt_at": Now()}


def _refuse_undone(failure: FailedRecord) -> None:
    if FailedRecord.objects.filter(undoing.is_undone(), pk=failure.pk).exists():
        raise Refusal("wrong_state", "The import of this record was undone, so it is not tried again. Push it anew.")


def _change(failure: FailedRecord, states: tuple[str, ...], changes: dict[str, Any], **conditions: int) -> None:
    chosen = FailedRecord.objects.filter(
        ~undoing.is_undone(), pk=failure.pk, state__in=states, payload__isnull=False, **conditions
    )
    if not chosen.update(**changes, updated_at=Now()):
        found = _read(failure)
        if found.payload is None:
            raise Refusal("content_removed", "What was sent of this record is gone; push it again if you need it.")
        raise Refusal("wrong_state", f"This record is {found.state}; read it again before you try more.")


def _number_for_an_edit(job: ImportJob, raw: bytes) -> ImportJob:
    """A job that received nothing and lends the edit its number: newer than whatever was accepted until now."""
    context, now = current_context(), database_now()
    keys = keyring(job.customer_id)
    origin = ImportJob(
        customer_id=job.customer_id,
        kind=ImportJob.Kind.EDIT,
        status=ImportJob.Status.COMPLETED,
        source=job.source,
        request_id=context.request_id or "",
        source_ip=context.source_ip,
        body_digest=keys.index.fingerprint(raw),  # keyed: a plain digest of one record could be guessed
        total=0,
        batch_count=0,
        created_at=now,
        started_at=now,
        finished_at=now,
        expires_at=retention.ends_at(job.customer_id, now),
    )
    sealer = keys.sealer("imports_importjob", "metadata")
    hold(job.customer_id, [sealer.data_key_id])
    origin.metadata = sealer.seal(b"{}", origin.uuid.bytes)
    origin.save(force_insert=True)
    return origin


def _note(failure: FailedRecord, action: str, **detail: str) -> None:
    job_uuid = ImportJob.objects.values_list("uuid", flat=True).get(pk=failure.job_id)
    record(
        action,
        target=f"import:{job_uuid}",
        customer_id=failure.customer_id,
        record_count=1,
        detail={"index": failure.index, **detail},
    )


def _read(failure: FailedRecord) -> FailedRecord:
    return FailedRecord.objects.select_related("job", "resolved_by", "redrive", "edit_job").get(pk=failure.pk)
