"""Who takes part: customers with their ledgers, batches in somebody's hands, and the house that is emptied for them."""

from dataclasses import dataclass, field

from django.db import connection, transaction

from customers import directory
from customers import keyring as rings
from customers.keyring import Keyring
from imports import doorbell
from imports.models import ImportJob
from tests.imports.life.horses import Horse
from tests.imports.life.jobs import Batch, Job, Named
from tests.imports.life.ledger import Ledger
from tests.imports.pipeline import Caller

_TABLES = (
    "imports_qualityscore", "imports_retentionwarning", "imports_keptrecord", "imports_undo", "imports_recordversion",
    "imports_failedrecord", "imports_redrive", "imports_record", "imports_batchattempt", "imports_importbatch",
    "imports_importpart", "imports_importjob", "customers_keywarning", "customers_seennonce", "customers_hmackey",
    "customers_datakey", "customers_customer",
)  # fmt: skip


@dataclass(slots=True, repr=False)
class Party(Named):
    """A customer: its program, its ledger, and key rings that processes of it took before a rotation."""

    caller: Caller
    ledger: Ledger = field(default_factory=Ledger)
    asleep: list[Keyring] = field(default_factory=list)
    _job_ids: list[int] = field(default_factory=list)

    def __repr__(self) -> str:
        return self.caller.customer.slug

    @property
    def id(self) -> int:
        return self.caller.customer.pk

    def job_id(self, job: Job) -> int:
        if len(self._job_ids) < job.number:
            jobs = ImportJob.objects.filter(customer_id=self.id).order_by("pk")
            self._job_ids = list(jobs.values_list("pk", flat=True))
        return self._job_ids[job.number - 1]

    def job(self, job: Job) -> ImportJob:
        return ImportJob.objects.get(pk=self.job_id(job))


@dataclass(slots=True, repr=False)
class Held(Named):
    """A batch in the hands of a work-horse that stands still. The limit is that of its start.

    `record_key` is what it seals with when it goes on, None where it reads its customer's keys then.
    """

    horse: Horse
    party: Party
    batch: Batch
    is_limit_low: bool
    record_key: int | None

    def __repr__(self) -> str:
        return f"{self.batch} of {self.party}"


def empty_the_house() -> None:
    """A new house. The trail stays: nobody can empty it."""
    with transaction.atomic(), connection.cursor() as cursor:
        for table in _TABLES:
            cursor.execute(f"DELETE FROM {table}")
    doorbell.queue().connection.flushdb()
    rings.forget()
    directory.forget()
