from imports.api.views.bulk import BulkImportView
from imports.api.views.cancel import CancelView
from imports.api.views.changes import ChangesView
from imports.api.views.close import CloseView
from imports.api.views.commit import CommitView
from imports.api.views.failed_records import FailedRecordListView, FailedRecordView
from imports.api.views.keys import KeyRotationView
from imports.api.views.limits import LimitsView
from imports.api.views.listing import ImportListView
from imports.api.views.lookup import RecordLookupView
from imports.api.views.mending import FailedRecordDiscardView, FailedRecordEditView, FailedRecordRetryView
from imports.api.views.parts import PartListView, PartView
from imports.api.views.personal import RecordsEraseView, RecordsExportView
from imports.api.views.quality import ImportQualityView, QualityHistoryView
from imports.api.views.redrives import (
    RedriveCancelView,
    RedrivePauseView,
    RedriveResumeView,
    RedriveStartView,
    RedriveView,
)
from imports.api.views.results import ResultsView
from imports.api.views.retry import RetryView
from imports.api.views.status import ImportStatusView
from imports.api.views.undo import UndoKeptView, UndoView
from imports.api.views.validate import ValidateView

__all__ = [
    "BulkImportView",
    "CancelView",
    "ChangesView",
    "CloseView",
    "CommitView",
    "FailedRecordDiscardView",
    "FailedRecordEditView",
    "FailedRecordListView",
    "FailedRecordRetryView",
    "FailedRecordView",
    "ImportListView",
    "ImportQualityView",
    "ImportStatusView",
    "KeyRotationView",
    "LimitsView",
    "PartListView",
    "PartView",
    "QualityHistoryView",
    "RecordLookupView",
    "RecordsEraseView",
    "RecordsExportView",
    "RedriveCancelView",
    "RedrivePauseView",
    "RedriveResumeView",
    "RedriveStartView",
    "RedriveView",
    "ResultsView",
    "RetryView",
    "UndoKeptView",
    "UndoView",
    "ValidateView",
]
