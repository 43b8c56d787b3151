"""What a key may do. A key carries a subset; the API asks for one scope a call."""

from typing import Final

IMPORTS_WRITE: Final = "imports:write"
IMPORTS_READ: Final = "imports:read"
RECORDS_READ: Final = "records:read"
KEYS_ROTATE: Final = "keys:rotate"
RECORDS_ERASE: Final = "records:erase"

DEFAULT_SCOPES: Final = (IMPORTS_WRITE, IMPORTS_READ, RECORDS_READ, KEYS_ROTATE)
"""What a key carries where nobody says otherwise: all but what destroys."""

ALL_SCOPES: Final = (*DEFAULT_SCOPES, RECORDS_ERASE)
