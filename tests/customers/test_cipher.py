import multiprocessing
import os
import pickle
import random
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from customers.cipher import OVERHEAD, DecryptionError, Opener, Sealer, data_key_id_of
from customers.xaes import XaesKey

KEY = XaesKey(bytes(range(100, 132)))
CUSTOMER = UUID("6f0e2c9e-58f5-4f44-9a39-6b4b35b4f3a7")
PLAINTEXT = b"Zoe Karlsson, zoe@example.com"
FIRST_RELEASE = (
    "0100000007ecdf7ccd0eae9084ce641be26a11e88099ec000000000000"
    "381274955e2d6b79be3c071d850cb536ca01c9e5fee36994162a77fc4b"
)


def sealer(customer: UUID = CUSTOMER, table: str = "t", column: str = "c", data_key_id: int = 7) -> Sealer:
    return Sealer(KEY, data_key_id=data_key_id, customer_uuid=customer, table=table, column=column)


def opener(customer: UUID = CUSTOMER, table: str = "t", column: str = "c") -> Opener:
    return Opener(lambda _: KEY, customer_uuid=customer, table=table, column=column)


def refused(attempt: Callable[[], bytes]) -> str:
    """The code of the refusal, whose message must not quote the plaintext."""
    with pytest.raises(DecryptionError) as caught:
        attempt()
    assert caught.value.__cause__ is None
    assert "Zoe" not in str(caught.value)
    return caught.value.code


@given(plaintext=st.binary(max_size=3000), row=st.binary(max_size=300))
def test_what_is_sealed_opens(plaintext: bytes, row: bytes) -> None:
    blob = sealer().seal(plaintext, row)
    assert len(blob) == len(plaintext) + OVERHEAD
    assert opener().open(blob, row) == plaintext
    assert data_key_id_of(blob) == 7


def test_the_form_is_version_key_nonce_ciphertext_tag() -> None:
    blob = sealer(data_key_id=0x01020304).seal(PLAINTEXT, b"row")
    assert blob[:5] == bytes([1, 1, 2, 3, 4])
    place = b"\x01" + CUSTOMER.bytes + bytes([1, 2, 3, 4]) + b"\x00\x01t\x00\x01c\x00\x03row"
    assert KEY.decrypt(blob[5:29], blob[29:], place) == PLAINTEXT


def test_a_ciphertext_of_the_first_release_opens() -> None:
    """Made by version 1 of this form; it has to open for ever."""
    blob = bytes.fromhex(FIRST_RELEASE)
    assert opener(table="imports_record", column="payload").open(blob, b"row-1") == b"kept for ever"


def test_moved_ciphertext_is_refused_everywhere_but_at_home() -> None:
    """Customer, table, column and row, each alone and all together; two of three values of each."""
    customers, names, rows = [CUSTOMER, uuid4(), uuid4()], ["t", "c", "tc"], [b"r", b"", b"rr"]
    places = [(a, b, c, d) for a in customers for b in names for c in names for d in rows]
    opened = 0
    for customer, table, column, row in places:
        blob = sealer(customer, table, column).seal(PLAINTEXT, row)
        for other in places:
            if other == (customer, table, column, row):
                opened += opener(*other[:3]).open(blob, other[3]) == PLAINTEXT
            else:
                assert refused(lambda o=other, b=blob: opener(*o[:3]).open(b, o[3])) == "not_authentic"  # type: ignore[misc]
    assert opened == len(places)


@given(st.lists(st.text(max_size=4), min_size=3, max_size=3), st.lists(st.text(max_size=4), min_size=3, max_size=3))
def test_names_that_run_together_are_told_apart(home: list[str], elsewhere: list[str]) -> None:
    blob = sealer(table=home[0], column=home[1]).seal(PLAINTEXT, home[2].encode())
    target = opener(table=elsewhere[0], column=elsewhere[1])
    if home == elsewhere:
        assert target.open(blob, elsewhere[2].encode()) == PLAINTEXT
    else:
        assert refused(lambda: target.open(blob, elsewhere[2].encode())) == "not_authentic"


def test_another_key_id_in_the_header_is_refused_even_with_the_same_key() -> None:
    blob = bytearray(sealer(data_key_id=7).seal(PLAINTEXT, b"r"))
    blob[4] = 8
    assert refused(lambda: opener().open(bytes(blob), b"r")) == "not_authentic"


def test_any_flipped_byte_of_100_blobs_is_refused() -> None:
    seal, reader, flipper = sealer(), opener(), random.Random(1)
    for number in range(100):
        row = number.to_bytes(2, "big")
        blob = seal.seal(PLAINTEXT + os.urandom(number), row)
        reader.open(blob, row)
        for position in range(len(blob)):
            changed = bytearray(blob)
            changed[position] ^= flipper.randrange(1, 256)
            assert refused(lambda b=bytes(changed), r=row: reader.open(b, r)) in {"not_authentic", "unknown_version"}  # type: ignore[misc]


def test_every_truncation_is_refused() -> None:
    blob, warm = sealer().seal(PLAINTEXT, b"r"), opener()
    warm.open(blob, b"r")
    for reader in (warm, opener()):
        for length in range(len(blob)):
            expected = "truncated" if length < OVERHEAD else "not_authentic"
            assert refused(lambda n=length, o=reader: o.open(blob[:n], b"r")) == expected  # type: ignore[misc]
    assert refused(lambda: opener().open(blob + b"\x00", b"r")) == "not_authentic"


@pytest.mark.parametrize("version", [0, 2, 255])
def test_an_unknown_form_is_refused(version: int) -> None:
    blob = bytes([version]) + sealer().seal(PLAINTEXT, b"r")[1:]
    assert refused(lambda: opener().open(blob, b"r")) == "unknown_version"


def test_the_right_key_under_the_wrong_customer_is_refused() -> None:
    blob = sealer().seal(PLAINTEXT, b"r")
    assert refused(lambda: opener(customer=uuid4()).open(blob, b"r")) == "not_authentic"


def test_nonces_never_repeat() -> None:
    blobs = [seal.seal(b"", b"") for seal in (sealer(), sealer()) for _ in range(5000)]
    assert len({blob[5:29] for blob in blobs}) == 10_000


def test_a_batch_derives_once(monkeypatch: pytest.MonkeyPatch) -> None:
    derived: list[bytes] = []
    derive = XaesKey.derive

    def noted(key: XaesKey, prefix: bytes) -> AESGCM:
        derived.append(prefix)
        return derive(key, prefix)

    monkeypatch.setattr(XaesKey, "derive", noted)
    seal, reader = sealer(), opener()
    for number in range(500):
        row = number.to_bytes(2, "big")
        assert reader.open(seal.seal(b"x", row), row) == b"x"
    assert len(derived) == 2


def test_many_prefixes_keep_a_bounded_memory() -> None:
    reader = opener()
    for _ in range(1500):
        assert reader.open(sealer().seal(b"x", b"r"), b"r") == b"x"
    assert len(reader._derived) <= 1024


def test_a_forked_child_cannot_repeat_its_parents_nonces() -> None:
    seal = sealer()
    receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_seal_in_child, args=(seal, sender))
    child.start()
    answer = receiver.recv()
    child.join()
    assert "forked" in answer
    assert opener().open(seal.seal(b"x", b"r"), b"r") == b"x"


def _seal_in_child(seal: Sealer, sender: "multiprocessing.connection.Connection") -> None:
    try:
        sender.send(seal.seal(b"x", b"r").hex())
    except RuntimeError as error:
        sender.send(str(error))


def test_neither_sealer_nor_opener_shows_or_pickles_a_key() -> None:
    assert repr(sealer()) == "Sealer(data_key_id=7)"
    assert repr(opener()) == "Opener(t.c)"
    for thing in (sealer(), opener()):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
