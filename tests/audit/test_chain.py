"""The encoding is proven unambiguous by a second implementation that reads it back."""

import hashlib
import ipaddress
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from audit.chain import GENESIS, Entry, encode, link
from audit.detail import check_detail

WORDS = st.text(max_size=20).filter(lambda text: not any(0xD800 <= ord(letter) < 0xE000 for letter in text))
NUMBERS = st.integers(-(2**63), 2**63 - 1)
TOKENS = st.from_regex(r"[A-Za-z0-9_.:/-]{1,12}", fullmatch=True)
SCALARS = st.none() | st.booleans() | NUMBERS | TOKENS
DETAILS = st.dictionaries(
    st.from_regex(r"[a-z][a-z_]{0,5}", fullmatch=True), SCALARS | st.lists(SCALARS, max_size=3), max_size=4
)
ENTRIES = st.builds(
    Entry,
    at=st.datetimes(timezones=st.just(UTC)),
    actor_kind=WORDS,
    actor_id=WORDS,
    action=WORDS,
    target=WORDS,
    customer_id=st.none() | NUMBERS,
    record_count=st.none() | NUMBERS,
    source_ip=st.none() | st.ip_addresses().map(str),
    request_id=WORDS,
    detail=DETAILS,
)


def read_back(encoded: bytes) -> tuple[int, Entry]:
    """Written from the description in audit.chain alone."""

    def fields() -> Iterator[bytes | None]:
        at = 0
        while at < len(encoded):
            if encoded[at] == 0:
                at += 1
                yield None
                continue
            assert encoded[at] == 1
            length = int.from_bytes(encoded[at + 1 : at + 5], "big")
            yield encoded[at + 5 : at + 5 + length]
            at += 5 + length

    def number(value: bytes | None) -> int | None:
        return None if value is None else int.from_bytes(value, "big", signed=True)

    sequence, at, kind, actor, action, target, customer, count, address, request, detail = fields()
    texts = [(value or b"").decode() for value in (kind, actor, action, target, request)]
    return number(sequence) or 0, Entry(
        at=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=number(at) or 0),
        actor_kind=texts[0],
        actor_id=texts[1],
        action=texts[2],
        target=texts[3],
        customer_id=number(customer),
        record_count=number(count),
        source_ip=None if address is None else str(ipaddress.ip_address(address)),
        request_id=texts[4],
        detail=json.loads(detail or b"null"),
    )


def spelled(entry: Entry) -> str:
    """1 and True are equal to Python; in JSON they are not."""
    return json.dumps(entry.detail, sort_keys=True)


@given(ENTRIES, st.integers(1, 2**63 - 1))
def test_an_encoded_event_can_be_read_back_whole(entry: Entry, sequence: int) -> None:
    again_sequence, again = read_back(encode(entry, sequence=sequence))
    assert (again_sequence, again) == (sequence, entry)
    assert spelled(again) == spelled(entry)


@given(ENTRIES, ENTRIES)
def test_two_different_events_never_encode_equally(one: Entry, other: Entry) -> None:
    same = one == other and spelled(one) == spelled(other)
    assert (encode(one, sequence=1) == encode(other, sequence=1)) is same


@given(ENTRIES, WORDS, WORDS)
def test_text_cannot_move_from_one_field_to_the_next(entry: Entry, left: str, right: str) -> None:
    one = replace(entry, action=left + right, target="")
    other = replace(entry, action=left, target=right)
    assert (encode(one, sequence=1) == encode(other, sequence=1)) is (right == "")


@given(DETAILS)
def test_the_order_of_members_does_not_matter(detail: dict[str, object]) -> None:
    entry = Entry(datetime(2026, 1, 1, tzinfo=UTC), "key", "k", "a.b", "c:d", None, None, None, "", {})
    forwards = replace(entry, detail=check_detail(detail))  # type: ignore[arg-type]
    backwards = replace(entry, detail=dict(reversed(list(forwards.detail.items()))))
    assert encode(forwards, sequence=1) == encode(backwards, sequence=1)


def test_the_hash_of_a_known_event_stays_what_it_is() -> None:
    """Computed by hand from the description: a change here orphans every trail that exists."""
    entry = Entry(
        at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        actor_kind="key",
        actor_id="bk_test_0001",
        action="import.accepted",
        target="import:1",
        customer_id=7,
        record_count=998,
        source_ip="203.0.113.7",
        request_id="req-1",
        detail={"bytes": 517574, "batches": 1},
    )
    by_hand = (
        b"longshore audit v1\n"
        + bytes(32)
        + bytes.fromhex("01 00000008 0000000000000001")
        + bytes.fromhex("01 00000008")
        + (1767323045678901).to_bytes(8, "big")
        + b"\x01\x00\x00\x00\x03key"
        + b"\x01\x00\x00\x00\x0cbk_test_0001"
        + b"\x01\x00\x00\x00\x0fimport.accepted"
        + b"\x01\x00\x00\x00\x08import:1"
        + bytes.fromhex("01 00000008 0000000000000007")
        + bytes.fromhex("01 00000008 00000000000003e6")
        + bytes.fromhex("01 00000004 cb007107")
        + b"\x01\x00\x00\x00\x05req-1"
        + b'\x01\x00\x00\x00\x1c{"batches":1,"bytes":517574}'
    )
    assert link(entry, sequence=1, previous_hash=GENESIS) == hashlib.sha256(by_hand).digest()
