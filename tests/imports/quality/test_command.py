"""manage.py quality: what a person reads and a program parses."""

import io
import json
import re

import pytest
from django.core.management import CommandError, call_command

from imports.management.quality_text import percent
from imports.quality import report
from tests.imports.mappings import field, mapping, publish
from tests.imports.pipeline import Caller, bad_record, record, run

pytestmark = pytest.mark.django_db(transaction=True)


def quality(*arguments: str) -> str:
    out = io.StringIO()
    call_command("quality", *arguments, stdout=out)
    return out.getvalue()


def two_imports(caller: Caller) -> list[str]:
    publish(caller, mapping(field("attributes.name"), field("attributes.city"), unmapped="drop"))
    full = record("A", attributes={"name": "Ada", "city": "Rom"})
    return [
        str(run(caller, sent).uuid)
        for sent in ([full], [full, record("B", attributes={"name": "Bob"}), bad_record("C")])
    ]


def test_a_person_reads_the_imports_and_the_worst_fields_first(owner: Caller) -> None:
    first, second = two_imports(owner)
    lines = quality("owner", "--type", "customer").splitlines()
    assert lines[0] == "owner, customer records: 50.0 %, worse than the one before"
    assert re.split(r"\s{2,}", lines[2]) == [
        "finished", "records", "score", "keys", "unique", "types", "rules", "complete", "import",
    ]  # fmt: skip
    assert re.split(r"\s{2,}", lines[3])[1:] == [
        "3", "50.0 %", "100.0 %", "100.0 %", "66.6 %", "100.0 %", "75.0 %", second,
    ]  # fmt: skip
    assert re.split(r"\s{2,}", lines[4])[1:] == [
        "1", "100.0 %", "100.0 %", "100.0 %", "100.0 %", "100.0 %", "100.0 %", first,
    ]  # fmt: skip
    assert [re.split(r"\s{2,}", line) for line in lines[6:]] == [
        ["field", "score", "trend", "complete", "valid", "missing", "unfit"],
        ["attributes.city", "50.0 %", "worse", "50.0 %", "100.0 %", "1", "0"],
        ["attributes.name", "100.0 %", "steady", "100.0 %", "100.0 %", "0", "0"],
    ]


def test_without_a_type_it_is_whole_imports(owner: Caller) -> None:
    two_imports(owner)
    assert quality("owner", "--limit", "1").splitlines()[0] == "owner, imports: 50.0 %, nothing to compare with"
    assert quality("owner").splitlines()[-1] == "Fields are shown with --type."


def test_a_program_gets_what_the_api_gives(owner: Caller) -> None:
    two_imports(owner)
    for arguments, record_type in ((["--type", "customer"], "customer"), ([], "")):
        found = json.loads(quality("owner", "--json", *arguments))
        assert found == report.history(owner.customer.pk, record_type)


def test_nothing_is_said_of_nothing(owner: Caller) -> None:
    assert quality("owner") == "owner has no imports with a score yet.\n"
    assert quality("owner", "--type", "order") == "owner has no order records with a score yet.\n"
    with pytest.raises(CommandError, match="nobody"):
        quality("nobody")
    with pytest.raises(CommandError):
        quality("owner", "--limit", "0")


def test_only_what_is_faultless_is_a_hundred_percent() -> None:
    assert [percent(share) for share in (1.0, 0.999999, 0.0, None)] == ["100.0 %", "99.9 %", "0.0 %", "-"]
    assert [percent(number / 1000) for number in range(1001)] == [
        f"{number // 10}.{number % 10} %" for number in range(1001)
    ]
