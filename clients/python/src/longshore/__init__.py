"""Push bulk imports to a Longshore server.

from longshore import Client

with Client.from_environment() as client:
    accepted = client.push("crm-export.json")
    for progress in client.watch(accepted.job_id):
        ...
    for line in client.results(accepted.job_id, "failed"):
        ...
"""

from longshore.client import Accepted, Client
from longshore.errors import (
    AskForAccess,
    CheckId,
    FixConfiguration,
    FixFile,
    FixKey,
    FixRequest,
    LongshoreError,
    ReportFault,
    TryLater,
)
from longshore.watch import Progress

__all__ = [
    "Accepted",
    "AskForAccess",
    "CheckId",
    "Client",
    "FixConfiguration",
    "FixFile",
    "FixKey",
    "FixRequest",
    "LongshoreError",
    "Progress",
    "ReportFault",
    "TryLater",
]
