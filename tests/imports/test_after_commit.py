"""What follows a commit cannot take it back."""

from functools import partial

import pytest
from django.db import OperationalError, transaction

from imports import doorbell
from imports.after_commit import after_commit
from imports.models import ImportJob
from tests.imports.pipeline import Caller, push, records

pytestmark = pytest.mark.django_db(transaction=True)


def lose(*_ids: int) -> None:
    raise OperationalError("the database went away")


def test_a_database_lost_after_the_commit_takes_no_acceptance_back(
    owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "ring", lose)
    job = push(owner, records(3))
    assert ImportJob.objects.get(pk=job.pk).status == "pending"


def test_a_partial_that_fails_is_logged_like_any_other() -> None:
    with transaction.atomic():
        after_commit(partial(lose, 1))
