"""Parts of a file: together they hold every record of it to the byte, cut at the same places every time."""

import gzip
import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from longshore.document import events
from longshore.errors import FixFile
from longshore.payload import Options, look_at
from longshore.source import open_source
from longshore.splitting import Part, metadata_of, split

from imports.csv_table import read_csv
from imports.json_document import read_json, read_json_part, read_ndjson_part
from tests.imports.documents import searching, spell, trees

METADATA = b'{"source":"crm","version":"1.0.0","timestamp":"2024-03-15T00:00:00Z"}'


def pieces(content: bytes, random: Random) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        size = random.randint(0, 7)
        yield content[at : at + size]
        at += size


def split_file(path: Path, *, part_bytes: int = 1_000, gzip: bool = False, **options: str) -> tuple[bytes, list[Part]]:
    given_options = Options(**options)  # type: ignore[arg-type]
    opened = open_source(path)
    try:
        look = look_at(opened, given_options)
        return metadata_of(opened, look), list(split(opened, look, part_bytes=part_bytes, gzip=gzip))
    finally:
        opened.close()


def content_of(part: Part) -> bytes:
    return b"".join(part.body.chunks())


def raws(count: int) -> list[bytes]:
    return [
        json.dumps(
            {"id": f"A-{number}", "type": "customer", "attributes": {"text": 'a "b" [{,' * 9}}, indent=1
        ).encode()
        for number in range(count)
    ]


def document(records: list[bytes]) -> bytes:
    return b' {"metadata" : ' + METADATA + b',\n "records": [\n' + b" ,\n".join(records) + b"\n]}\n"


@searching
@given(metadata=trees(), items=st.lists(trees(), max_size=5), seed=st.integers(0, 2**32))
def test_a_document_in_any_spelling_and_pieces_gives_its_values_to_the_byte(
    metadata: object, items: list[object], seed: int
) -> None:
    random = Random(seed)
    texts = [spell(item, random, spaced=True).strip(" \t\r\n").encode() for item in [metadata, *items]]
    members = [b'"metadata" :' + texts[0], b' "\\u0072ecords":[' + b"\n,".join(texts[1:]) + b" ]"]
    random.shuffle(members)
    body = b"\t{" + b", ".join(members) + b"}\r\n"
    found = list(events(pieces(body, random), "a file"))
    assert [raw for kind, raw in found if kind == "metadata"] == texts[:1]
    assert [raw for kind, raw in found if kind == "record"] == texts[1:]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"metadata":{}}',
        b'{"metadata":{},"records":[]',
        b'{"metadata":{},"records":{}}',
        b'{"metadata":{},"records":[{}',
        b'{"metadata":{},"records":[{} {}]}',
        b'{"metadata":{},"records":[{},]}',
        b'{"metadata":{},"records":["a]}',
        b'{"metadata":{},"records":[]}{',
        b'{"metadata":{},"metadata":{},"records":[]}',
        b'{"metadata":{},"records":[],"more":1}',
        b'{metadata:{},"records":[]}',
        b'{"\\x":{},"records":[]}',
    ],
)
def test_a_broken_document_is_refused(body: bytes) -> None:
    with pytest.raises(FixFile) as refused:
        list(events(iter([body]), "a file"))
    assert refused.value.code == "json_broken"


def test_json_parts_hold_every_record_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(document(raws(40)))
    metadata, parts = split_file(path)
    assert metadata == METADATA
    assert len(parts) > 5
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    found = [bytes(raw) for part in parts for raw in read_json_part(content_of(part))]
    assert found == [bytes(raw) for raw in read_json(path.read_bytes())[1]] == raws(40)
    assert sum(part.records for part in parts) == 40
    assert all(part.body.size <= 1_000 for part in parts)


def test_metadata_behind_the_records_is_found(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(b'{"records":[' + b",".join(raws(9)) + b'],"metadata":' + METADATA + b"}")
    metadata, parts = split_file(path)
    assert metadata == METADATA
    assert sum(part.records for part in parts) == 9


@pytest.mark.parametrize("has_metadata", [True, False])
def test_ndjson_parts_hold_every_line_and_no_metadata(tmp_path: Path, has_metadata: bool) -> None:
    path = tmp_path / "export.ndjson"
    lines = [json.dumps({"id": str(number), "text": "é" * 20}).encode() for number in range(50)]
    head = [b'{"metadata":' + METADATA + b"}"] if has_metadata else []
    path.write_bytes(b"\r\n\n".join([*head, *lines]))
    metadata, parts = split_file(path)
    assert (json.loads(metadata)["source"] == "crm") is has_metadata
    assert [bytes(raw) for part in parts for raw in read_ndjson_part(content_of(part))] == lines
    assert [part.records for part in parts] == [len(read_ndjson_part(content_of(part))) for part in parts]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_csv_parts_are_cut_between_rows_and_repeat_the_head_line(tmp_path: Path, line_end: str) -> None:
    rows = [f'{number},"a ""quoted""{line_end}line, {number}",5" pipe' for number in range(60)]
    path = tmp_path / "export.csv"
    content = line_end.join(["id,text,size", *rows[:30], "", *rows[30:]])
    path.write_text("\ufeff" + content, encoding="utf-8", newline="")
    metadata, parts = split_file(path, type="customer")
    assert json.loads(metadata)["source"] == "export"
    assert len(parts) > 2
    found = [raw for part in parts for raw in read_csv(content_of(part), default_type="customer")]
    assert found == read_csv(content.encode(), default_type="customer")
    assert sum(part.records for part in parts) == 60


def test_a_packed_file_and_packed_parts_mean_the_same(tmp_path: Path) -> None:
    plain, packed = tmp_path / "export.json", tmp_path / "export.json.gz"
    plain.write_bytes(document(raws(20)))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    _, parts = split_file(plain)
    _, again = split_file(packed, gzip=True)
    assert [gzip.decompress(content_of(part)) for part in again] == [content_of(part) for part in parts]
    assert [part.body.sha256 for part in split_file(packed, gzip=True)[1]] == [part.body.sha256 for part in again]


def test_a_record_that_no_import_takes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "export.ndjson"
    path.write_bytes(b'{"id":"A"}\n"' + b"a" * 27_000_000 + b'"\n')
    with pytest.raises(FixFile) as refused:
        split_file(path)
    assert refused.value.code == "record_too_large"


def test_a_large_file_is_never_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    block = b",".join(raws(1_000))
    with path.open("wb") as file:
        file.write(b'{"metadata":' + METADATA + b',"records":[')
        file.write(b",".join([block] * 100))
        file.write(b"]}")
    assert path.stat().st_size > 15_000_000
    opened = open_source(path)
    tracemalloc.start()
    try:
        look = look_at(opened, Options())
        assert sum(part.records for part in split(opened, look, part_bytes=1_000_000, gzip=False)) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
        opened.close()


def test_cells_may_be_as_large_as_the_server_takes(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(b"id,type,text\nA,customer," + b"a" * 200_000 + b"\n")
    assert split_file(path, part_bytes=1_000_000)[1][0].records == 1


def test_the_reader_behind_csv_is_a_file() -> None:
    opened = open_source(io.BytesIO(b"abc"))
    assert opened.text_size() is None
