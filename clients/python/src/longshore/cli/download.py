"""A download as a file that is there whole or not at all."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from longshore.errors import FixFile


def write(path: Path, chunks: Iterable[bytes]) -> int:
    """Beside its place first, so that half a download never looks like a whole one. Returns the bytes."""
    part = path.with_name(path.name + ".part")
    written = 0
    with _opened(part) as file:
        for chunk in chunks:
            file.write(chunk)
            written += len(chunk)
    try:
        part.replace(path)
    except OSError as err:
        part.unlink(missing_ok=True)
        raise _unwritable(path, err) from err
    return written


@contextlib.contextmanager
def _opened(part: Path) -> Iterator[BinaryIO]:
    try:
        part.unlink(missing_ok=True)
        file = os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as err:
        raise _unwritable(part, err) from err
    try:
        with file:
            yield file
    except OSError as err:
        part.unlink(missing_ok=True)
        raise _unwritable(part, err) from err
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _unwritable(path: Path, err: OSError) -> FixFile:
    return FixFile("file_unwritable", f"{path} cannot be written: {err.strerror}.", hint="Name another file.")
