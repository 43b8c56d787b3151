"""JSONTestSuite and the big list of naughty strings against the readers of bodies and records."""

import json
from typing import Any, Final

import pytest

from imports.checking import CODES, Refused, diagnose, identity, read
from imports.envelope import JSON, NDJSON, open_envelope
from imports.refusal import Refusal
from tests.hostile.bodies import GOOD, METADATA, document, lines
from tests.hostile.corpora import SuiteCase, naughty_strings, suite_cases

_REFUSED_WHOLE: Final = ("malformed_json", "invalid_envelope")


@pytest.fixture(scope="module")
def suite() -> list[SuiteCase]:
    return suite_cases()


@pytest.fixture(scope="module")
def naughty() -> list[str]:
    return naughty_strings()


def outcome(raw: bytes) -> str:
    """The code a record fails with, or nothing; fails where the two readings of the rules disagree."""
    try:
        read(raw)
    except Refused as refused:
        assert refused.problems == diagnose(raw)
        return refused.problems[0].code
    assert diagnose(raw) == []
    return ""


def opened(body: bytes, media_type: str = JSON) -> list[bytes] | str:
    """The records, or the code of the refusal."""
    try:
        envelope = open_envelope(body, media_type=media_type, parameters={})
    except Refusal as refusal:
        return refusal.code
    return [bytes(memoryview(raw)) for raw in envelope.records]


def exactly(text: bytes | str) -> Any:
    """JSON with the digits of its numbers, and a whole -0 as 0."""
    return json.loads(text, parse_float=str, parse_int=lambda digits: "0" if digits == "-0" else digits)


def test_a_text_that_is_json_is_a_value_and_no_other(suite: list[SuiteCase], subtests: pytest.Subtests) -> None:
    for case in suite:
        with subtests.test(case.name):
            assert outcome(case.record()) == case.code
            if not case.code:
                assert exactly(read(case.record())[1]) == exactly(case.record())


def test_as_a_line_it_leaves_the_others_alone(suite: list[SuiteCase], subtests: pytest.Subtests) -> None:
    for case in suite:
        if case.is_one_line:
            with subtests.test(case.name):
                assert opened(lines(GOOD, case.record(), GOOD), NDJSON) == [GOOD, case.record(), GOOD]


def test_in_a_document_what_breaks_it_refuses_all(suite: list[SuiteCase], subtests: pytest.Subtests) -> None:
    for case in suite:
        with subtests.test(case.name):
            records = [GOOD, case.record(), GOOD]
            wanted = "malformed_json" if case.breaks_document else records
            assert opened(document(b",".join(records))) == wanted


def test_as_the_whole_body_none_is_an_import(suite: list[SuiteCase], subtests: pytest.Subtests) -> None:
    for case in suite:
        with subtests.test(case.name):
            code = opened(case.text)
            assert code in _REFUSED_WHOLE
            if case.is_json:
                assert code == "invalid_envelope"
            assert opened(case.text, NDJSON) in _REFUSED_WHOLE


def test_in_the_metadata_json_is_kept_as_sent(suite: list[SuiteCase], subtests: pytest.Subtests) -> None:
    for case in suite:
        with subtests.test(case.name):
            metadata = json.dumps(METADATA).encode()[:-1] + b',"note":' + case.text + b"}"
            try:
                kept = open_envelope(document(GOOD, metadata), media_type=JSON, parameters={}).metadata
            except Refusal as refusal:
                assert refusal.code in _REFUSED_WHOLE
                assert case.breaks_document or case.code in ("malformed_json", "duplicate_member")
            else:
                assert kept == metadata
                assert not case.breaks_document
                assert case.code not in ("malformed_json", "duplicate_member")


def test_a_naughty_string_is_a_string_anywhere(naughty: list[str]) -> None:
    for text in naughty:
        for ascii_only in (True, False):
            quoted = json.dumps(text, ensure_ascii=ascii_only)
            assert_kept(f'{{"id":"a","type":"order","attributes":{{{quoted}:[{quoted},{{{quoted}:1}}]}}}}')
            as_id = f'{{"id":{quoted},"type":"order","attributes":{{}}}}'
            if 1 <= len(text) <= 255:
                assert_kept(as_id)
            else:
                assert outcome(as_id.encode()) == "id_length"
            as_field = f'{{"id":"a","type":"order","attributes":{{}},"customFields":{{{quoted}:{quoted}}}}}'
            if len(text) <= 256:
                assert_kept(as_field)
            else:
                assert outcome(as_field.encode()) == "custom_field_name_too_long"


def assert_kept(record: str) -> None:
    raw = record.encode()
    assert outcome(raw) == ""
    assert exactly(read(raw)[1]) == exactly(raw)
    assert identity(raw) == (json.loads(record)["id"], "order")


def test_a_naughty_string_is_no_type(naughty: list[str]) -> None:
    for text in naughty:
        raw = f'{{"id":"a","type":{json.dumps(text)},"attributes":{{}}}}'.encode()
        assert outcome(raw) == "unknown_type"


def test_a_naughty_source_is_kept(naughty: list[str]) -> None:
    kept = 0
    for text in naughty:
        metadata = json.dumps({**METADATA, "source": text}, ensure_ascii=False).encode()
        if 1 <= len(text) <= 100:
            assert open_envelope(document(GOOD, metadata), media_type=JSON, parameters={}).source == text
            kept += 1
        else:
            assert opened(document(GOOD, metadata)) == "invalid_envelope"
    assert kept >= 400


def test_every_decision_is_a_code_of_a_record(suite: list[SuiteCase]) -> None:
    assert {case.code for case in suite} - {""} <= set(CODES)
