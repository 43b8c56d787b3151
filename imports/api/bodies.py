"""Small JSON bodies of the API: decoded into a Struct, or refused without quoting what was sent."""

import re
from typing import Final, TypeVar

import msgspec

from imports.api.call import SignedCall
from imports.api.problems import Flaw, Problem

T = TypeVar("T")

_PLACE: Final = re.compile(r"(?P<fault>.*?)(?: - at `(?:key in )?\$(?P<path>[^`]*)`)?", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>\w+)`")
_STEP: Final = re.compile(r"\.(?P<member>\w+)|\[(?P<index>\d+)\]")


def json_body(call: SignedCall, *, type: type[T]) -> T:
    """The call's body as `type`. Raises Problem: 400 malformed_json, or 422 invalid_body with one pointer."""
    try:
        return msgspec.json.decode(call.body, type=type)
    except msgspec.ValidationError as err:
        raise Problem("invalid_body", errors=[_flaw(str(err))]) from None
    except UnicodeDecodeError:
        raise Problem("malformed_json", "The body is not UTF-8 text.") from None
    except RecursionError:
        raise Problem("malformed_json", "The body is nested too deeply.") from None
    except msgspec.DecodeError as err:
        # msgspec's message names a kind of fault and a place, never a value.
        raise Problem("malformed_json", f"The body is not JSON: {err}.") from None


def _flaw(message: str) -> Flaw:
    match = _PLACE.fullmatch(message)
    fault, path = (match["fault"], match["path"] or "") if match else (message, "")
    pointer = "".join(f"/{step['member'] or step['index']}" for step in _STEP.finditer(path))
    missing = _MISSING.fullmatch(fault)
    if missing:
        return Flaw(f"{pointer}/{missing['name']}", "missing_member", f"{missing['name']} is required.")
    if fault.startswith("Object contains unknown field"):
        return Flaw(pointer, "unknown_member", "The object has a member that this call does not know.")
    if fault.startswith("Expected "):
        return Flaw(pointer, "wrong_value", f"{fault}.")
    # Anything else may quote the value, as a refused choice does.
    return Flaw(pointer, "wrong_value", "The value is not one of those this call takes.")
