from imports.admin.attempt import BatchAttemptAdmin
from imports.admin.batch import ImportBatchAdmin
from imports.admin.failed_record import FailedRecordAdmin
from imports.admin.job import ImportJobAdmin
from imports.admin.record import RecordAdmin
from imports.admin.redrive import RedriveAdmin

__all__ = [
    "BatchAttemptAdmin",
    "FailedRecordAdmin",
    "ImportBatchAdmin",
    "ImportJobAdmin",
    "RecordAdmin",
    "RedriveAdmin",
]
