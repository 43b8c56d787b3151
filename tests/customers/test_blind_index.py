import hmac
import pickle
import shutil
import subprocess
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customers.blind_index import BlindIndex

KEY = bytes(range(50, 82))

scalar_text = st.text(st.characters(exclude_categories=["Cs"]))


@given(record_type=scalar_text.filter(lambda text: "|" not in text), external_id=scalar_text)
def test_the_key_is_the_published_formula(record_type: str, external_id: str) -> None:
    message = "|".join(("v1", unicodedata.normalize("NFC", record_type), unicodedata.normalize("NFC", external_id)))
    assert BlindIndex(KEY).key(record_type, external_id) == hmac.digest(KEY, message.encode(), "sha256")[:16]


@given(st.binary(max_size=5000))
def test_the_fingerprint_is_the_published_formula(canonical: bytes) -> None:
    assert BlindIndex(KEY).fingerprint(canonical) == hmac.digest(KEY, b"f1|" + canonical, "sha256")


@pytest.mark.skipif(not shutil.which("openssl"), reason="NOT CHECKED: there is no openssl command here")
def test_openssl_agrees() -> None:
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{KEY.hex()}", "-binary"]
    digest = subprocess.run(command, input=b"v1|customer|CUST-1", capture_output=True, check=True).stdout
    assert BlindIndex(KEY).key("customer", "CUST-1") == digest[:16]


def test_composed_and_decomposed_ids_are_one_record() -> None:
    index = BlindIndex(KEY)
    assert index.key("customer", "Zo\u00eb") == index.key("customer", "Zoe\u0308")
    assert index.key("customer", "Zo\u00eb") != index.key("customer", "Zoe")


def test_types_and_customers_do_not_share_keys() -> None:
    index = BlindIndex(KEY)
    assert index.key("customer", "1") != index.key("order", "1")
    assert index.key("customer", "1") != BlindIndex(KEY[::-1]).key("customer", "1")
    assert index.fingerprint(b"customer|1") != index.key("customer", "1")


def test_a_type_cannot_run_into_the_id() -> None:
    with pytest.raises(ValueError, match="record type"):
        BlindIndex(KEY).key("customer|1", "2")


@pytest.mark.parametrize(("record_type", "external_id"), [("customer", "a\ud800"), ("\udfff", "a")])
def test_half_a_surrogate_pair_is_refused_without_quoting_it(record_type: str, external_id: str) -> None:
    with pytest.raises(ValueError, match="surrogate") as caught:
        BlindIndex(KEY).key(record_type, external_id)
    assert not isinstance(caught.value, UnicodeError)


def test_many_types_keep_a_bounded_memory() -> None:
    index = BlindIndex(KEY)
    for number in range(1000):
        index.key(f"type{number}", "1")
    assert len(index._by_type) <= 256


def test_an_index_shows_and_pickles_no_key() -> None:
    assert repr(BlindIndex(KEY)) == "BlindIndex(…)"
    with pytest.raises(TypeError):
        pickle.dumps(BlindIndex(KEY))
