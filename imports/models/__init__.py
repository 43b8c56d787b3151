from imports.models.attempt import BatchAttempt
from imports.models.batch import ImportBatch
from imports.models.failed_record import FailedRecord
from imports.models.job import ImportJob
from imports.models.part import ImportPart
from imports.models.record import Record
from imports.models.redrive import Redrive

__all__ = ["BatchAttempt", "FailedRecord", "ImportBatch", "ImportJob", "ImportPart", "Record", "Redrive"]
