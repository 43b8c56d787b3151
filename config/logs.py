"""One form for every log line: key=value on a terminal, JSON elsewhere (LOG_FORMAT=line or json decides).

A line carries what the code says in its event and its `extra`, the request id and the actor. An exception is shown by
its classes and places, in one line, without its locals and without texts that may quote a payload.
"""

import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final

import structlog
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from audit.context import current_context
from config import env

_FRAMES: Final = 15
# These speak of servers and settings. Any other text may quote what was sent, as a DataError's does.
_MAY_SPEAK: Final = (ImproperlyConfigured, ImportError, OperationalError)


def formatter() -> ProcessorFormatter:
    """The formatter that LOGGING names. structlog's own loggers go the same way."""
    chain: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        keep_plain_values,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_context,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *chain, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return ProcessorFormatter(
        foreign_pre_chain=chain,
        processors=[ProcessorFormatter.remove_processors_meta, describe_exception, _renderer()],
    )


def keep_plain_values(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Drops what is no plain value, such as the request that Django's loggers pass along, whose repr has the query."""
    return {
        name: value
        for name, value in event.items()
        if name.startswith("_") or name == "exc_info" or value is None or isinstance(value, str | int | float)
    }


def add_context(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Who acts and for which request, where the code has not said so itself."""
    context = current_context()
    if context.request_id:
        event.setdefault("request_id", context.request_id)
    if context.actor:
        event.setdefault("actor", f"{context.actor.kind}:{context.actor.id}")
    return event


def describe_exception(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """exc_info -> `exception`, for example `ValueError at imports/intake.py:40 accept < imports/api/…`."""
    given = event.pop("exc_info", None)
    error = sys.exception() if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["exception"] = " caused by ".join(map(_describe, _causes(error)))
    return event


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _describe(error: BaseException) -> str:
    name = type(error).__qualname__
    state = getattr(error, "sqlstate", None)
    said = f"({state})" if state else ""
    if isinstance(error, _MAY_SPEAK):
        said += f": {str(error).splitlines()[0] if str(error) else ''}"
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = " < ".join(f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{name}{said} at {places}" if places else f"{name}{said}"


def _short(filename: str) -> str:
    """The path from the repository or from site-packages on."""
    return filename.partition("site-packages/")[2] or filename.removeprefix(f"{_HOME}/")


def _renderer() -> Any:
    if env.text("LOG_FORMAT", "line" if sys.stderr.isatty() else "json") == "json":
        return structlog.processors.JSONRenderer()
    return structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], drop_missing=True)


_HOME: Final = __file__.rpartition("/config/")[0]
