"""Two corpora that are not ours to ship. Whoever fetched them names where they are, else their tests are skipped aloud.

JSON_TEST_SUITE_DIR: a checkout of github.com/nst/JSONTestSuite.
NAUGHTY_STRINGS: the file blns.json of github.com/minimaxir/big-list-of-naughty-strings.
"""

import json
import os
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import pytest

from tests.hostile.records import MARK

# What a record with the text as a value fails with, by the file's name; the first pattern that fits decides.
_DECIDED: Final = (
    ("y_object_duplicated_key*", "duplicate_member"),
    ("y_object_escaped_null_in_key.json", "nul_character"),
    ("y_string_null_escape.json", "nul_character"),
    ("y_*", ""),
    ("n_structure_100000_opening_arrays.json", "too_deep"),
    ("n_structure_open_array_object.json", "too_deep"),
    ("n_*", "malformed_json"),
    ("i_number_*", ""),
    ("i_structure_500_nested_arrays.json", "too_deep"),
    ("i_string_UTF8_surrogate_*", "malformed_json"),
    ("i_*surrogate*", "lone_surrogate"),
    ("i_*", "malformed_json"),
    ("number_*", ""),
    ("object_key_nf*", ""),
    ("object_same_key_*", "duplicate_member"),
    ("string_with_escaped_NULL.json", "nul_character"),
    ("string_*_escaped_invalid_codepoint*", "lone_surrogate"),
    ("string_*_invalid_codepoint*", "malformed_json"),
)
_BREAKS_DOCUMENT: Final = ("n_*", "i_string_UTF-16*", "i_string_utf16*", "i_structure_UTF-8_BOM*")


@dataclass(frozen=True, slots=True)
class SuiteCase:
    """One file. `code` is what a record fails with that has the text as a value; empty where it is stored."""

    name: str
    text: bytes = field(repr=False)
    code: str

    @property
    def is_json(self) -> bool:
        """Whether the text keeps to the grammar, or is one that it leaves open and that is taken."""
        return self.name.startswith(("y_", "number_", "object_")) or not self.code

    @property
    def breaks_document(self) -> bool:
        """Whether the text takes the records beside it along; as a line of NDJSON it never does."""
        return any(fnmatch(self.name, pattern) for pattern in _BREAKS_DOCUMENT)

    @property
    def is_one_line(self) -> bool:
        return b"\n" not in self.text

    def record(self, number: int = 0) -> bytes:
        """A record with the text as a value, told from others by `number`."""
        return f'{{"id":"{MARK} suite {number}","type":"order","attributes":{{"v":'.encode() + self.text + b"}}"


def suite_cases() -> list[SuiteCase]:
    """Every file of JSONTestSuite, by name; skips the test where there is none."""
    folder = os.environ.get("JSON_TEST_SUITE_DIR")
    if not folder:
        pytest.skip("NOT CHECKED: set JSON_TEST_SUITE_DIR to a checkout of github.com/nst/JSONTestSuite")
    files = sorted([*Path(folder).glob("test_parsing/*.json"), *Path(folder).glob("test_transform/*.json")])
    assert len(files) >= 340
    return [SuiteCase(file.name, file.read_bytes(), _decided(file.name)) for file in files]


def naughty_strings() -> list[str]:
    """Every string of the big list; skips the test where there is none."""
    file = os.environ.get("NAUGHTY_STRINGS")
    if not file:
        pytest.skip("NOT CHECKED: set NAUGHTY_STRINGS to blns.json of github.com/minimaxir/big-list-of-naughty-strings")
    strings: list[str] = json.loads(Path(file).read_text(encoding="utf-8"))
    assert len(strings) >= 515
    return strings


def _decided(name: str) -> str:
    for pattern, code in _DECIDED:
        if fnmatch(name, pattern):
            return code
    raise AssertionError(f"{name} is new in the suite: decide what becomes of it")
