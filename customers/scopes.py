"""What a key may do. A key carries a subset; the API asks for one scope a call."""

from typing import Final

IMPORTS_WRITE: Final = "imports:write"
IMPORTS_READ: Final = "imports:read"
RECORDS_READ: Final = "records:read"
KEYS_ROTATE: Final = "keys:rotate"

ALL_SCOPES: Final = (IMPORTS_WRITE, IMPORTS_READ, RECORDS_READ, KEYS_ROTATE)
