from django.urls import path, register_converter

from imports.api import views
from imports.api.socket_ticket import SocketTicketView
from imports.api.verify import VerifyView
from imports.results import SELECTIONS

app_name = "imports"


class SelectionConverter:
    regex = "|".join(SELECTIONS)

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(SelectionConverter, "selection")

FAILED_RECORD = "failed-records/<uuid:job_id>-<int:index>"

urlpatterns = [
    path("imports", views.ImportListView.as_view(), name="list"),
    path("imports/bulk", views.BulkImportView.as_view(), name="bulk"),
    path("imports/validate", views.ValidateView.as_view(), name="validate"),
    path("imports/<uuid:job_id>", views.ImportStatusView.as_view(), name="status"),
    path("imports/<uuid:job_id>/cancel", views.CancelView.as_view(), name="cancel"),
    path("imports/<uuid:job_id>/parts", views.PartListView.as_view(), name="parts"),
    path("imports/<uuid:job_id>/parts/<int:number>", views.PartView.as_view(), name="part"),
    path("imports/<uuid:job_id>/close", views.CloseView.as_view(), name="close"),
    path("imports/<uuid:job_id>/commit", views.CommitView.as_view(), name="commit"),
    path("imports/<uuid:job_id>/results/changes", views.ChangesView.as_view(), name="changes"),
    path("imports/<uuid:job_id>/quality", views.ImportQualityView.as_view(), name="import-quality"),
    path("imports/<uuid:job_id>/retry", views.RetryView.as_view(), name="retry"),
    path("imports/<uuid:job_id>/undo", views.UndoView.as_view(), name="undo"),
    path("imports/<uuid:job_id>/undo/kept", views.UndoKeptView.as_view(), name="undo-kept"),
    path("imports/<uuid:job_id>/results/<selection:selection>", views.ResultsView.as_view(), name="results"),
    path("imports/<uuid:job_id>/socket-ticket", SocketTicketView.as_view(), name="socket-ticket"),
    path("failed-records", views.FailedRecordListView.as_view(), name="failed-records"),
    path(FAILED_RECORD, views.FailedRecordView.as_view(), name="failed-record"),
    path(f"{FAILED_RECORD}/retry", views.FailedRecordRetryView.as_view(), name="failed-record-retry"),
    path(f"{FAILED_RECORD}/edit", views.FailedRecordEditView.as_view(), name="failed-record-edit"),
    path(f"{FAILED_RECORD}/discard", views.FailedRecordDiscardView.as_view(), name="failed-record-discard"),
    path("redrives", views.RedriveStartView.as_view(), name="redrives"),
    path("redrives/<uuid:redrive_id>", views.RedriveView.as_view(), name="redrive"),
    path("redrives/<uuid:redrive_id>/pause", views.RedrivePauseView.as_view(), name="redrive-pause"),
    path("redrives/<uuid:redrive_id>/resume", views.RedriveResumeView.as_view(), name="redrive-resume"),
    path("redrives/<uuid:redrive_id>/cancel", views.RedriveCancelView.as_view(), name="redrive-cancel"),
    path("records/export", views.RecordsExportView.as_view(), name="export-personal-data"),
    path("records/erase", views.RecordsEraseView.as_view(), name="erase-personal-data"),
    path("records/lookup", views.RecordLookupView.as_view(), name="lookup"),
    path("quality", views.QualityHistoryView.as_view(), name="quality"),
    path("limits", views.LimitsView.as_view(), name="limits"),
    path("keys/rotate", views.KeyRotationView.as_view(), name="rotate-key"),
    path("auth/verify", VerifyView.as_view(), name="verify"),
]
