"""What a file, a pipe, bytes or records become on the wire."""

import base64
import gzip
import hashlib
import io
import json
import os
import random
import threading
import tracemalloc
from pathlib import Path

import pytest
from longshore import FixFile
from longshore.body import WIRE_LIMIT
from longshore.payload import MEDIA_TYPES, Options, Payload, prepare
from longshore.source import Source

RECORD = b'{"id":"C-1","type":"customer","attributes":{"name":"Zo\xc3\xab"}}\n'
METADATA = b'{"metadata":{"source":"crm","version":"1.0.0","timestamp":"2024-03-15T00:00:00Z"}}\n'
DOCUMENT = b'{"metadata":{},"records":[]}'
CSV = b"id,type,name\nC-1,customer,Ann\n"
STAMP = 1_710_460_800  # 2024-03-15T00:00:00Z


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    os.utime(path, (STAMP, STAMP))
    return path


def wire(data: Source, options: Options | None = None) -> tuple[Payload, bytes]:
    """The payload and its bytes, which agree with its size and digest and come again the same."""
    with prepare(data, options or Options()) as payload:
        first, second = b"".join(payload.body.chunks()), b"".join(payload.body.chunks())
    digest = base64.urlsafe_b64encode(hashlib.sha256(first).digest()).rstrip(b"=").decode()
    assert first == second
    assert (payload.body.size, payload.body.sha256) == (len(first), digest)
    return payload, first


def refusal(data: Source, options: Options | None = None) -> FixFile:
    with pytest.raises(FixFile) as caught, prepare(data, options or Options()):
        pass
    return caught.value


class TestJson:
    def test_is_sent_as_it_is(self, tmp_path: Path) -> None:
        payload, sent = wire(write(tmp_path, "crm.json", DOCUMENT))
        assert (payload.content_type, payload.query, sent) == (MEDIA_TYPES["json"], (), DOCUMENT)

    def test_loses_its_byte_order_mark(self, tmp_path: Path) -> None:
        assert wire(write(tmp_path, "crm.json", b"\xef\xbb\xbf" + DOCUMENT))[1] == DOCUMENT

    @pytest.mark.parametrize(
        ("content", "code"),
        [
            (b"", "file_empty"),
            (b"[]", "not_bigcorp_json"),
            (b"id,type\n", "not_bigcorp_json"),
            (RECORD + RECORD, "looks_like_ndjson"),
            (DOCUMENT.decode().encode("utf-16"), "not_utf8"),
        ],
    )
    def test_that_cannot_be_it_is_refused(self, tmp_path: Path, content: bytes, code: str) -> None:
        assert refusal(write(tmp_path, "crm.json", content)).code == code

    @pytest.mark.parametrize("options", [Options(type="customer"), Options(source="x"), Options(timestamp="x")])
    def test_takes_no_option_that_has_no_effect(self, tmp_path: Path, options: Options) -> None:
        assert refusal(write(tmp_path, "crm.json", DOCUMENT), options).code == "option_unused"


class TestNdjson:
    def test_with_a_metadata_line_is_sent_as_it_is(self, tmp_path: Path) -> None:
        payload, sent = wire(write(tmp_path, "crm.ndjson", METADATA + RECORD))
        assert (payload.content_type, sent) == (MEDIA_TYPES["ndjson"], METADATA + RECORD)

    @pytest.mark.parametrize("name", ["crm.ndjson", "crm.jsonl"])
    def test_without_one_gets_it_from_the_files_name_and_time(self, tmp_path: Path, name: str) -> None:
        assert wire(write(tmp_path, name, RECORD))[1] == METADATA + RECORD

    def test_without_one_is_the_same_body_every_time(self, tmp_path: Path) -> None:
        path = write(tmp_path, "crm.ndjson", RECORD)
        assert wire(path)[1] == wire(path)[1]

    def test_source_and_timestamp_are_the_callers_if_given(self, tmp_path: Path) -> None:
        options = Options(source="BigCorp CRM", timestamp="2025-01-01T00:00:00Z")
        _, sent = wire(write(tmp_path, "crm.ndjson", RECORD), options)
        metadata = json.loads(sent.splitlines()[0])["metadata"]
        assert metadata == {"source": "BigCorp CRM", "version": "1.0.0", "timestamp": "2025-01-01T00:00:00Z"}

    def test_with_a_metadata_line_takes_no_source(self, tmp_path: Path) -> None:
        assert refusal(write(tmp_path, "c.ndjson", METADATA), Options(source="x")).code == "option_unused"

    def test_a_record_with_a_member_metadata_is_no_metadata_line(self, tmp_path: Path) -> None:
        record = b'{"id":"1","type":"customer","metadata":{}}\n'
        assert wire(write(tmp_path, "crm.ndjson", record))[1] == METADATA + record


class TestCsv:
    def test_carries_its_metadata_in_the_query(self, tmp_path: Path) -> None:
        payload, sent = wire(write(tmp_path, "crm.csv", CSV))
        assert (payload.content_type, sent) == ("text/csv", CSV)
        assert payload.query == (
            ("source", "crm"),
            ("version", "1.0.0"),
            ("timestamp", "2024-03-15T00:00:00Z"),
        )

    def test_without_a_type_column_takes_the_callers(self, tmp_path: Path) -> None:
        payload, _ = wire(write(tmp_path, "crm.csv", b"id,name\n1,Ann\n"), Options(type="customer"))
        assert payload.query[-1] == ("type", "customer")

    @pytest.mark.parametrize(
        ("content", "type", "code", "hint"),
        [
            (b"number;name\n1;Ann\n", "customer", "csv_without_id", "semicolons"),
            (b"name\nAnn\n", "customer", "csv_without_id", "custom.NAME"),
            (b"id,name\n1,Ann\n", None, "csv_without_type", "--type customer"),
            (CSV, "customer", "csv_type_twice", "Leave --type out"),
        ],
    )
    def test_that_lacks_a_column_is_refused(
        self, tmp_path: Path, content: bytes, type: str | None, code: str, hint: str
    ) -> None:
        error = refusal(write(tmp_path, "crm.csv", content), Options(type=type))
        assert error.code == code
        assert hint in str(error.hint)


class TestGzip:
    def test_a_packed_file_is_sent_as_it_is(self, tmp_path: Path) -> None:
        packed = gzip.compress(DOCUMENT)
        payload, sent = wire(write(tmp_path, "crm.json.gz", packed))
        assert (payload.content_type, payload.body.is_gzipped, sent) == (MEDIA_TYPES["json"], True, packed)

    def test_a_packed_file_is_known_by_its_content(self, tmp_path: Path) -> None:
        assert wire(write(tmp_path, "crm.json", gzip.compress(DOCUMENT)))[0].body.is_gzipped

    def test_packed_ndjson_gets_its_metadata_line_too(self, tmp_path: Path) -> None:
        payload, sent = wire(write(tmp_path, "crm.ndjson.gz", gzip.compress(RECORD * 50_000)))
        assert payload.body.is_gzipped
        assert gzip.decompress(sent) == METADATA + RECORD * 50_000

    def test_a_file_is_packed_on_request_and_always_alike(self, tmp_path: Path) -> None:
        path = write(tmp_path, "crm.json", DOCUMENT)
        payload, sent = wire(path, Options(gzip=True))
        assert payload.body.is_gzipped
        assert gzip.decompress(sent) == DOCUMENT
        assert wire(path, Options(gzip=True))[1] == sent

    @pytest.mark.parametrize("content", [gzip.compress(RECORD * 50_000)[:-9], b"\x1f\x8b\x08junk" * 9])
    def test_a_broken_file_is_refused(self, tmp_path: Path, content: bytes) -> None:
        assert refusal(write(tmp_path, "crm.ndjson.gz", content)).code == "gzip_broken"


class TestSize:
    @pytest.fixture
    def limit(self, monkeypatch: pytest.MonkeyPatch) -> int:
        """A hundredth, since packing 50 MB takes seconds."""
        monkeypatch.setattr("longshore.body.WIRE_LIMIT", 524_288)
        monkeypatch.setattr("longshore.payload.WIRE_LIMIT", 524_288)
        return 524_288

    def test_the_limit_is_the_servers(self) -> None:
        assert WIRE_LIMIT == 50 * 1024 * 1024

    def test_a_file_over_the_limit_is_packed(self, tmp_path: Path, limit: int) -> None:
        payload, sent = wire(write(tmp_path, "crm.json", DOCUMENT.ljust(limit + 1)))
        assert payload.body.is_gzipped
        assert len(sent) < 10_000

    def test_a_file_at_the_limit_is_not(self, tmp_path: Path, limit: int) -> None:
        payload, _ = wire(write(tmp_path, "crm.json", DOCUMENT.ljust(limit)))
        assert (payload.body.size, payload.body.is_gzipped) == (limit, False)

    def test_a_file_over_the_limit_that_must_not_be_packed_is_refused(self, tmp_path: Path, limit: int) -> None:
        path = write(tmp_path, "crm.json", DOCUMENT.ljust(limit + 1))
        assert refusal(path, Options(gzip=False)).code == "too_large"

    def test_a_packed_file_over_the_limit_is_refused(self, tmp_path: Path, limit: int) -> None:
        path = write(tmp_path, "crm.json.gz", gzip.compress(b"{" + random.Random(7).randbytes(limit)))
        assert refusal(path).code == "too_large"

    @pytest.mark.parametrize("is_file", [True, False])
    def test_what_packing_does_not_help_is_refused(self, tmp_path: Path, limit: int, is_file: bool) -> None:
        noise = b"{" + random.Random(7).randbytes(limit + 10_000)
        error = refusal(write(tmp_path, "crm.json", noise) if is_file else noise, Options(format="json"))
        assert error.code == "too_large"
        assert "in parts" in str(error.hint)

    def test_a_stream_over_the_limit_is_packed(self, limit: int) -> None:
        payload, sent = wire(io.BytesIO(DOCUMENT.ljust(limit + 1)), Options(format="json"))
        assert payload.body.is_gzipped
        assert gzip.decompress(sent) == DOCUMENT.ljust(limit + 1)

    def test_a_file_beyond_what_the_server_unpacks_is_refused_unread(self, tmp_path: Path) -> None:
        path = tmp_path / "crm.json"
        with path.open("wb") as file:
            file.write(DOCUMENT)
            file.truncate(536_870_913)
        assert refusal(path).code == "too_large"

    def test_a_file_is_never_held_in_memory(self, tmp_path: Path) -> None:
        path = write(tmp_path, "crm.json", DOCUMENT.ljust(40_000_000))
        tracemalloc.start()
        try:
            with prepare(path, Options()) as payload:
                for _ in payload.body.chunks():
                    pass
            assert tracemalloc.get_traced_memory()[1] < 4_000_000
        finally:
            tracemalloc.stop()


class TestChange:
    """What is hashed is what is sent, or the request never becomes complete."""

    @pytest.mark.parametrize("size", [100, 1_000_000])
    @pytest.mark.parametrize("change", ["rewritten", "grown", "cut"])
    def test_a_file_that_changes_in_between_is_never_sent_whole(self, tmp_path: Path, change: str, size: int) -> None:
        path = write(tmp_path, "crm.json", DOCUMENT.ljust(size))
        with prepare(path, Options()) as payload:
            with path.open("r+b") as file:
                if change == "rewritten":
                    file.seek(size - 1)
                    file.write(b"!")
                else:
                    file.truncate(size + 1 if change == "grown" else size - 1)
            sent = 0
            with pytest.raises(FixFile) as caught:
                for chunk in payload.body.chunks():
                    sent += len(chunk)
        assert caught.value.code == "file_changed"
        assert sent < size

    def test_a_file_that_is_replaced_is_sent_as_it_was(self, tmp_path: Path) -> None:
        path = write(tmp_path, "crm.json", DOCUMENT)
        with prepare(path, Options()) as payload:
            write(tmp_path, "new.json", b'{"other":1}').replace(path)
            assert b"".join(payload.body.chunks()) == DOCUMENT


class TestOtherSources:
    def test_bytes_need_a_format(self) -> None:
        assert refusal(DOCUMENT).code == "format_unknown"
        assert wire(DOCUMENT, Options(format="json"))[1] == DOCUMENT

    def test_a_stream_is_read_into_memory(self) -> None:
        assert wire(io.BytesIO(RECORD * 9_000), Options(format="ndjson", source="s"))[1].endswith(RECORD * 9_000)

    def test_a_named_pipe_is_read_once(self, tmp_path: Path) -> None:
        path = tmp_path / "crm.json"
        os.mkfifo(path)
        writer = threading.Thread(target=path.write_bytes, args=(DOCUMENT,))
        writer.start()
        assert wire(path)[1] == DOCUMENT
        writer.join()

    def test_records_become_ndjson(self) -> None:
        records = ({"id": str(i), "type": "customer", "attributes": {"name": "Zoë"}} for i in range(20_000))
        payload, sent = wire(records, Options(source="crm", timestamp="2024-03-15T00:00:00Z"))
        lines = sent.splitlines(keepends=True)
        assert payload.content_type == MEDIA_TYPES["ndjson"]
        assert lines[0] == METADATA
        assert json.loads(lines[20_000]) == {"id": "19999", "type": "customer", "attributes": {"name": "Zoë"}}

    def test_no_records_are_refused(self) -> None:
        assert refusal(iter([])).code == "file_empty"


@pytest.mark.parametrize(("name", "code"), [("", "file_unreadable"), ("missing.json", "file_missing")])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, name: str, code: str) -> None:
    assert refusal(tmp_path / name).code == code


def test_an_unknown_name_needs_a_format(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "crm.dat", DOCUMENT)).code == "format_unknown"


def test_nothing_is_written_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    wire(io.BytesIO(DOCUMENT.ljust(9_000_000)), Options(format="json"))
    assert list(tmp_path.iterdir()) == []
