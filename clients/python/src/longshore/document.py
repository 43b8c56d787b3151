"""A large BigCorp JSON document, read piece by piece: its metadata and its records, each to the byte.

It finds where each value ends and changes none of them: numbers keep their digits, and what is wrong inside a record is
the server's to say. A parser that makes objects (ijson) would write every record anew.
"""

import json
import re
from collections.abc import Iterator
from typing import Literal

from longshore.errors import FixFile

LONGEST_VALUE = 50_000_000

_SPACE = re.compile(rb"[ \t\r\n]*+")
# Up to the next bracket outside a string; it stops at a string whose end has not come yet.
_INSIDE = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SCALAR = re.compile(rb"[^ \t\r\n,\]}]*+")

Event = tuple[Literal["metadata", "record"], bytes]


def events(chunks: Iterator[bytes], name: str) -> Iterator[Event]:
    """The metadata and each record, in the order of the file. FixFile where the document around them is broken."""
    text = _Text(chunks, name)
    text.expect(b"{")
    seen: set[str] = set()
    while True:
        member = text.name()
        if member in seen or member not in ("metadata", "records"):
            raise text.broken("it has metadata and records, each once, and nothing else")
        seen.add(member)
        text.expect(b":")
        if member == "metadata":
            yield "metadata", text.value()
        else:
            yield from (("record", value) for value in _elements(text))
        if text.expect(b",}") == b"}":
            break
    if text.peek():
        raise text.broken("something stands after its end")
    if len(seen) < 2:
        raise text.broken("it needs metadata and records")


def _elements(text: "_Text") -> Iterator[bytes]:
    text.expect(b"[")
    if text.peek() == b"]":
        text.expect(b"]")
        return
    while True:
        yield text.value()
        if text.expect(b",]") == b"]":
            return


class _Text:
    """What has been read and not yet handed out."""

    def __init__(self, chunks: Iterator[bytes], name: str) -> None:
        self._chunks = chunks
        self._name = name
        self._data = b""
        self._at = 0
        self._dropped = 0

    def peek(self) -> bytes:
        """The next byte that is no white space, still to be read; empty at the end."""
        while True:
            found = _SPACE.match(self._data, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._data) or not self._more():
                return self._data[self._at : self._at + 1]

    def expect(self, any_of: bytes) -> bytes:
        mark = self.peek()
        if not mark or mark not in any_of:
            raise self.broken(f"{' or '.join(map(chr, any_of))} is missing")
        self._at += 1
        return mark

    def name(self) -> str:
        if self.peek() != b'"':
            raise self.broken("the name of a member is missing")
        try:
            return str(json.loads(self.value()))
        except ValueError:
            raise self.broken("the name of a member cannot be read") from None

    def value(self) -> bytes:
        """The next value, which ends where its brackets are closed."""
        mark = self.peek()
        if mark == b'"':
            return self._matched(_STRING)
        if mark not in (b"{", b"["):
            return self._scalar()
        depth = offset = 0
        while True:
            found = _INSIDE.match(self._data, self._at + offset)
            offset = (found.end() if found else self._at) - self._at
            bracket = self._data[self._at + offset : self._at + offset + 1]
            if bracket in (b"", b'"'):
                self._need()
                continue
            offset += 1
            depth += 1 if bracket in b"{[" else -1
            if depth == 0:
                return self._take(offset)

    def broken(self, why: str) -> FixFile:
        return FixFile(
            "json_broken",
            f"{self._name} is not the JSON that it should be: {why}, near byte {self._dropped + self._at:,}.",
            hint="Check it with a JSON parser.",
        )

    def _matched(self, pattern: re.Pattern[bytes]) -> bytes:
        while not (found := pattern.match(self._data, self._at)):
            self._need()
        return self._take(found.end() - self._at)

    def _scalar(self) -> bytes:
        while True:
            found = _SCALAR.match(self._data, self._at)
            end = found.end() if found else self._at
            if end < len(self._data) or not self._more():
                break
        if end == self._at:
            raise self.broken("a value is missing")
        return self._take(end - self._at)

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def _need(self) -> None:
        if not self._more():
            raise self.broken("it ends too early")
        if len(self._data) > LONGEST_VALUE:
            raise self.broken("one record is larger than any import takes")

    def _more(self) -> bool:
        for chunk in self._chunks:
            if chunk:
                self._dropped += self._at
                self._data = self._data[self._at :] + chunk
                self._at = 0
                return True
        return False
