"""Transforms of text."""

import re
from typing import Final, Literal

from imports.mapping.mistake import WrongArgument
from imports.mapping.path import MISSING
from imports.mapping.pattern import MAX_TEXT, bounded
from imports.mapping.pattern import pattern as compiled
from imports.mapping.problem import Unfit
from imports.mapping.transforms.registry import Step, transform

MAX_PAD: Final = 1_024

_WORD: Final = re.compile(r"[^\s-]+")


@transform(takes=str, gives=str, example=({}, "  a b ", "a b"))
def trim() -> Step:
    """Takes white space away at both ends."""
    return str.strip


@transform(takes=str, gives=str, example=({}, "aß", "ASS"))
def upper() -> Step:
    """Upper case."""
    return str.upper


@transform(takes=str, gives=str, example=({}, "AB", "ab"))
def lower() -> Step:
    """Lower case."""
    return str.lower


@transform(takes=str, gives=str, example=({}, "ANNE-MARIE o'neil", "Anne-Marie O'neil"))
def title() -> Step:
    """The first letter of each word upper case, the others lower; words end at white space and hyphens."""
    return lambda value: _WORD.sub(lambda word: word[0].capitalize(), value)


@transform(takes=str, gives=str, example=({"text": "C-"}, "17", "C-17"))
def prefix(*, text: str) -> Step:
    """Puts a text in front."""
    return lambda value: bounded(text + value)


@transform(takes=str, gives=str, example=({"text": "-C"}, "17", "17-C"))
def suffix(*, text: str) -> Step:
    """Puts a text behind."""
    return lambda value: bounded(value + text)


@transform(takes=str, gives=str, example=({"start": 1, "length": 2}, "abcd", "bc"))
def substring(*, start: int = 0, length: int = MAX_TEXT) -> Step:
    """`length` characters from `start`, counted from 0."""
    if start < 0 or length < 0:
        raise WrongArgument("start and length are 0 or more")
    end = start + length
    return lambda value: value[start:end]


@transform(takes=str, gives=str, example=({"text": ".", "by": ","}, "1.2.3", "1,2,3"))
def replace(*, text: str, by: str) -> Step:
    """Replaces each place where the text stands."""
    if not text:
        raise WrongArgument("text must have at least one character")
    growth = len(by) - len(text)

    def step(value: str) -> str:
        if growth > 0 and len(value) + value.count(text) * growth > MAX_TEXT:
            raise Unfit("text_too_long")
        return value.replace(text, by)

    return step


@transform(takes=str, gives=str, example=({"pattern": "[^0-9]+", "by": ""}, "a1-b2", "12"))
def replace_pattern(*, pattern: str, by: str) -> Step:
    """Replaces each match of an RE2 pattern by a text, which stands as it is written."""
    search = compiled(pattern)

    def step(value: str) -> str:
        parts, at, size = [], 0, 0
        for match in search.finditer(value):
            parts += [value[at : match.start()], by]
            at = match.end()
            size += len(by)
            if size > MAX_TEXT:
                raise Unfit("text_too_long")
        return bounded("".join([*parts, value[at:]]))

    return step


@transform(takes=str, gives=object, example=({"separator": ","}, "a,b", ["a", "b"]))
def split(*, separator: str, index: int | None = None) -> Step:
    """The parts between the separators, or with `index` the one part there, which may be missing."""
    if not separator:
        raise WrongArgument("separator must have at least one character")
    if index is None:
        return lambda value: value.split(separator)
    if index < 0:
        raise WrongArgument("index is 0 or more")

    def step(value: str) -> object:
        parts = value.split(separator, index + 1)
        return parts[index] if index < len(parts) else MISSING

    return step


@transform(takes=list, gives=str, example=({"separator": ", "}, ["a", "b"], "a, b"))
def join(*, separator: str = "") -> Step:
    """One text out of a list of texts; what is missing or null in it is left out."""

    def step(value: list[object]) -> str:
        texts = [text for text in value if text is not None and text is not MISSING]
        if len(separator) * len(texts) > MAX_TEXT:
            raise Unfit("text_too_long")
        if not all(isinstance(text, str) for text in texts):
            raise Unfit("wrong_list")
        return bounded(separator.join(map(str, texts)))

    return step


@transform(takes=str, gives=str, example=({"length": 5, "by": "0"}, "42", "00042"))
def pad(*, length: int, by: str = " ", side: Literal["left", "right"] = "left") -> Step:
    """Fills a shorter text up to the length with a character."""
    if not 1 <= length <= MAX_PAD or len(by) != 1:
        raise WrongArgument(f"length is 1 to {MAX_PAD} and by one character")
    if side == "left":
        return lambda value: value.rjust(length, by)
    return lambda value: value.ljust(length, by)


@transform(takes=str, gives=object, example=({"pattern": "no\\. ([0-9]+)", "group": 1}, "Order no. 17 of 20", "17"))
def extract(*, pattern: str, group: int = 0) -> Step:
    """The first match of an RE2 pattern, or one group of it; missing where there is none."""
    search = compiled(pattern)
    if not 0 <= group <= search.groups:
        raise WrongArgument("the pattern has no such group; 0 is the whole match")

    def step(value: str) -> object:
        match = search.search(value)
        found = None if match is None else match.group(group)
        return MISSING if found is None else found

    return step
