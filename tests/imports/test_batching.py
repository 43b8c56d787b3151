import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imports import batching
from imports.batching import pack, split, superseded_indexes, unpack
from tests.imports.documents import searching

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def record(external_id: object = "A", record_type: object = "order", **members: object) -> bytes:
    return json.dumps({"id": external_id, "type": record_type, "attributes": {}, **members}).encode()


@searching
@given(st.lists(st.binary(max_size=200), max_size=30))
def test_unpack_gives_back_what_was_packed(records: list[bytes]) -> None:
    packed = pack([memoryview(raw) for raw in records])
    assert [bytes(view) for view in unpack(packed)] == records


def test_records_are_packed_by_many_threads_at_once() -> None:
    """Where two of them shared a compressor the process crashed."""
    records = [memoryview(record(f"A-{number}") * 50) for number in range(500)]

    def pack_and_unpack(_: int) -> bool:
        return unpack(pack(records)) == records

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(pack_and_unpack, range(64)))


@searching
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=40), st.integers(1, 6), st.integers(1, 80))
def test_split_keeps_every_record_in_order_and_within_the_limits(
    records: list[bytes], max_records: int, max_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "MAX_BATCH_RECORDS", max_records)
        patch.setattr(batching, "MAX_BATCH_BYTES", max_bytes)
        parts = list(split(records))
    assert [bytes(view) for part in parts for view in part.records] == records
    assert [part.sequence for part in parts] == list(range(len(parts)))
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        size = sum(len(view) for view in part.records)
        assert len(part.records) <= max_records
        assert size <= max_bytes or len(part.records) == 1
        if following is not None:
            assert following.first_index == part.first_index + len(part.records)
            assert len(part.records) == max_records or size + len(following.records[0]) > max_bytes


def test_a_batch_holds_five_thousand_records_or_four_mebibytes() -> None:
    assert [len(part.records) for part in split([b"{}"] * 10_001)] == [5000, 5000, 1]
    assert [len(part.records) for part in split([b"x" * 1024 * 1024] * 5)] == [4, 1]
    assert [len(part.records) for part in split([b"{}", b"x" * 5 * 1024 * 1024, b"{}"])] == [1, 1, 1]


def test_marks_are_offsets_in_their_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MAX_BATCH_RECORDS", 3)
    records = [record(external_id) for external_id in ("A", "B", "A", "C", "A", "B", "B", "C")]
    parts = list(split(records))
    assert [part.superseded for part in parts] == [[0, 1, 2], [0, 2], []]
    assert superseded_indexes(records) == [0, 1, 2, 3, 5]


@searching
@given(st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from(["order", "product"])), max_size=30))
def test_all_but_the_last_of_each_type_and_id_are_marked(identities: list[tuple[str, str]]) -> None:
    last = {identity: index for index, identity in enumerate(identities)}
    expected = [index for index, identity in enumerate(identities) if last[identity] != index]
    assert superseded_indexes([record(*identity) for identity in identities]) == expected


def test_one_id_of_two_types_is_two_records() -> None:
    assert superseded_indexes([record("A", "order"), record("A", "product")]) == []


def test_ids_compare_after_normalisation_and_without_their_spelling() -> None:
    assert superseded_indexes([record(COMPOSED), record(DECOMPOSED)]) == [0]
    assert superseded_indexes([record("A"), rb'{"type":"order","id":"\u0041","attributes":{}}']) == [0]
    assert superseded_indexes([record("a"), record("A")]) == []


@pytest.mark.parametrize(
    "raw",
    [
        record(""),
        record("x" * 256),
        record(7),
        record(None),
        record("A", "pear"),
        record("A", 7),
        b'{"type":"order","attributes":{}}',
        rb'{"id":"\ud83d","type":"order","attributes":{}}',
        b"not json",
        b"[]",
    ],
)
def test_records_without_a_usable_id_or_type_replace_none(raw: bytes) -> None:
    """Each of them fails and is shown: two rows with an empty id are hardly one record."""
    assert superseded_indexes([raw, raw]) == []


def test_a_record_that_will_fail_still_replaces_an_earlier_one() -> None:
    """The last one wins: the earlier content must not be stored over what the caller corrected later."""
    assert superseded_indexes([record("A"), record("A", extra=1)]) == [0]
    assert superseded_indexes([record("A"), record("A")[:-1] + rb',"customFields":{"a":"\ud83d"}}']) == [0]
