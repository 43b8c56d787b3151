from imports.models.attempt import BatchAttempt
from imports.models.batch import ImportBatch
from imports.models.failed_record import FailedRecord
from imports.models.job import ImportJob
from imports.models.mapping import FieldMapping, Mapping
from imports.models.part import ImportPart
from imports.models.quality_score import QualityScore
from imports.models.record import Record
from imports.models.record_version import RecordVersion
from imports.models.redrive import Redrive
from imports.models.retention_warning import RetentionWarning
from imports.models.undo import KeptRecord, Undo

__all__ = [
    "BatchAttempt",
    "FailedRecord",
    "FieldMapping",
    "ImportBatch",
    "ImportJob",
    "ImportPart",
    "KeptRecord",
    "Mapping",
    "QualityScore",
    "Record",
    "RecordVersion",
    "Redrive",
    "RetentionWarning",
    "Undo",
]
