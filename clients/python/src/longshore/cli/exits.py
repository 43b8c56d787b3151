"""What the command ends with. Scripts read these; README and --help list them."""

from enum import IntEnum

from longshore.shapes import Import


class Exit(IntEnum):
    OK = 0
    SOME_FAILED = 1
    FIX_INPUT = 2
    REFUSED = 3
    TRY_LATER = 4
    JOB_FAILED = 5
    STILL_RUNNING = 6
    INTERRUPTED = 130
    PIPE_CLOSED = 141


EXPLANATION = """exit status:
  0    all records stored (or, without --watch: accepted; validate: all records are good)
  1    some records failed (validate: would fail)
  2    wrong options, configuration or file; nothing was sent
  3    the server refused the request (4xx)
  4    the server could not be reached, was overloaded or failed, still so after every retry
  5    the import itself failed or was cancelled
  6    status: the import is still running
  130  interrupted with Ctrl-C; an accepted import goes on
"""


def exit_for(answer: Import) -> Exit:
    """How an import stands."""
    if answer["status"] == "failed":
        return Exit.JOB_FAILED
    if answer["status"] != "completed":
        return Exit.STILL_RUNNING
    return Exit.SOME_FAILED if answer["progress"]["failed"] else Exit.OK
