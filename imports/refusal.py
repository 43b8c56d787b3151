"""Why a whole submission is turned away before a job exists."""


class Refusal(Exception):
    """`code` is one of imports/api/problems.py; `detail` says what to do and quotes nothing that was sent.

    `errors` holds (JSON Pointer, code, detail) for each fault found in the envelope.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: tuple[tuple[str, str, str], ...] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after


def unfit(pointer: str, code: str, detail: str) -> Refusal:
    """The document around the records is not of the agreed form, in one place."""
    return Refusal("invalid_envelope", detail, errors=((pointer, code, detail),))
