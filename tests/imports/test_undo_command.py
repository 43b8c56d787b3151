from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from audit.models import AuditEvent
from imports.models import Undo
from tests.imports.pipeline import Caller, bad_record, push, record, run
from tests.imports.undos import undo_all

pytestmark = pytest.mark.django_db(transaction=True)


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("undo_import", *arguments, stdout=out)
    return out.getvalue()


def test_it_says_what_it_would_do_and_then_does_it(owner: Caller) -> None:
    run(owner, [record("A", attributes={})])
    job = run(owner, [record("A"), record("B"), record("C"), bad_record()])
    run(owner, [record("C", attributes={})])
    planned = command(str(job.uuid), "--plan")
    assert "1 records would be removed, 1 restored and 1 stay; 1 failed records would be given up" in planned
    assert "1 stay: A later import changed it." in planned
    assert not Undo.objects.exists()
    assert command(str(job.uuid)).startswith("running: 0 of 4 records gone through")
    undo_all()
    assert command(str(job.uuid)).startswith("done: 4 of 4 records gone through; 1 removed, 1 restored, 1 stay")
    assert AuditEvent.objects.get(action="import.undo_started").actor_id == "undo_import"


def test_what_cannot_be_undone_is_explained(owner: Caller) -> None:
    job = push(owner, [record("A")])
    for arguments in ([str(job.uuid)], [str(job.uuid), "--plan"]):
        with pytest.raises(CommandError, match="wait for its end"):
            command(*arguments)
    with pytest.raises(CommandError, match="no import"):
        command("00000000-0000-4000-8000-000000000000")
