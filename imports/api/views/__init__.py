from imports.api.views.bulk import BulkImportView
from imports.api.views.cancel import CancelView
from imports.api.views.close import CloseView
from imports.api.views.keys import KeyRotationView
from imports.api.views.limits import LimitsView
from imports.api.views.listing import ImportListView
from imports.api.views.lookup import RecordLookupView
from imports.api.views.parts import PartListView, PartView
from imports.api.views.results import ResultsView
from imports.api.views.status import ImportStatusView
from imports.api.views.validate import ValidateView

__all__ = [
    "BulkImportView",
    "CancelView",
    "CloseView",
    "ImportListView",
    "ImportStatusView",
    "KeyRotationView",
    "LimitsView",
    "PartListView",
    "PartView",
    "RecordLookupView",
    "ResultsView",
    "ValidateView",
]
