"""Every code a refused call can carry: its status, its title, what it means and what to do next.

The problem documents, the page behind their `type` and the callers' guide are all made from this one table. Codes of a
single record stand in imports/checking.py.
"""

from dataclasses import dataclass
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.utils.html import escape

PAGE: Final = "/api/docs/errors"


@dataclass(frozen=True, slots=True)
class Code:
    """`title` is the same for every occurrence (RFC 9457); `detail` is what an answer says where it knows no better."""

    status: int
    title: str
    meaning: str
    next_step: str

    @property
    def detail(self) -> str:
        return f"{self.meaning} {self.next_step}"


CODES: Final[dict[str, Code]] = {
    "malformed_request": Code(
        400,
        "Malformed request",
        "The request line or its headers are not of the agreed form.",
        "Send one Host and one Content-Length header, and a path without %, // and ..",
    ),
    "malformed_json": Code(
        400,
        "Malformed JSON",
        "The body is not JSON in UTF-8.",
        "Check it with a JSON parser and send it again.",
    ),
    "malformed_body": Code(
        400,
        "Malformed body",
        "The body is not what its media type or Content-Encoding says.",
        "Check how the body was written, packed and sent.",
    ),
    "signature_form": Code(
        401,
        "Signature refused",
        "There is no single Authorization header of the form HMAC v1.keyId.ts.nonce.bodySha256.mac.",
        "Sign the request as the callers' guide shows.",
    ),
    "signature_clock": Code(
        401,
        "Signature refused",
        "The signature's time is more than 300 seconds from the server's.",
        "Set your clock by the Date header of this answer and sign again.",
    ),
    "signature_invalid": Code(
        401,
        "Signature refused",
        "No live key made this signature over this request.",
        "Compare your string to sign with the one POST /api/v1/auth/verify answers.",
    ),
    "signature_replay": Code(
        401,
        "Signature refused",
        "This nonce was used before.",
        "Sign every request anew, a retry too.",
    ),
    "signature_digest": Code(
        401,
        "Signature refused",
        "The body is not the one that was signed.",
        "Sign the SHA-256 of the bytes exactly as they are sent, after compression.",
    ),
    "network_not_allowed": Code(
        403,
        "Network not allowed",
        "This customer's keys may not be used from this address.",
        "Call from an allowed network, or ask an administrator to add yours.",
    ),
    "scope_missing": Code(
        403,
        "Scope missing",
        "The key does not carry the scope that this call needs.",
        "Use a key with that scope, or ask an administrator for one.",
    ),
    "not_found": Code(
        404,
        "Not found",
        "There is nothing at this address for this customer.",
        "Check the address, and that the key belongs to the customer whose data you ask for.",
    ),
    "method_not_allowed": Code(
        405,
        "Method not allowed",
        "This address does not take this method.",
        "Use one of those in the Allow header.",
    ),
    "not_acceptable": Code(
        406,
        "Not acceptable",
        "The answer cannot be given in a media type that the Accept header names.",
        "Name one that the documentation of this call lists, or leave Accept out.",
    ),
    "request_timeout": Code(
        408,
        "Request timeout",
        "The body stopped coming.",
        "Check the connection and Content-Length, sign anew and send it again.",
    ),
    "idempotency_in_flight": Code(
        409,
        "Request in flight",
        "Another request with this Idempotency-Key, or another commit of this dry run, is being worked on.",
        "Wait for its answer, or send the same again in a second.",
    ),
    "too_many_keys": Code(
        409,
        "Too many keys",
        "This customer has as many live keys as it may have.",
        "Use one of them, or ask an administrator to revoke those that are no longer needed.",
    ),
    "wrong_state": Code(
        409,
        "Wrong state",
        "The job is not in a state that allows this.",
        "Read the job's status before you try again.",
    ),
    "part_conflict": Code(
        409,
        "Part conflict",
        "A part with this number has arrived with another body.",
        "Read the list of parts: repeat the part as it was, or give this one another number.",
    ),
    "import_incomplete": Code(
        409,
        "Import incomplete",
        "What has arrived is not what was announced, or a part between the first and the last is missing.",
        "Send what errors names and close again.",
    ),
    "attempt_passed": Code(
        409,
        "Attempt passed",
        "The record was tried or changed since you read it; your edit was not sent.",
        "Read the failed record again and send your edit with the attempt it shows now, if it is still open.",
    ),
    "content_removed": Code(
        410,
        "Content removed",
        "What was sent of this record was removed: its import's retention ended, or it was erased on request.",
        "Push the record again if you still need it.",
    ),
    "results_expired": Code(
        410,
        "Results expired",
        "The payloads of this job were deleted when its retention ended.",
        "Push the records again if you still need them.",
    ),
    "customer_erased": Code(
        410,
        "Customer erased",
        "This customer was erased, and its data with it.",
        "Nothing brings the data back; ask an administrator if you did not expect this.",
    ),
    "length_required": Code(
        411,
        "Length required",
        "A body needs a Content-Length; Transfer-Encoding is not taken.",
        "Send Content-Length, 0 where there is no body.",
    ),
    "body_too_large": Code(
        413,
        "Body too large",
        "The body is over the limit of this call.",
        "Compress it with gzip, or send it in parts.",
    ),
    "unsupported_media_type": Code(
        415,
        "Unsupported media type",
        "This call does not take this Content-Type.",
        "Send application/vnd.bigcorp.v1+json or another that the call lists; charset=utf-8 is the only parameter.",
    ),
    "unsupported_encoding": Code(
        415,
        "Unsupported content encoding",
        "The only Content-Encoding is gzip.",
        "Send the body plain or packed with gzip.",
    ),
    "idempotency_key_reused": Code(
        422,
        "Idempotency key reused",
        "This Idempotency-Key came with another body before.",
        "Use a new key for a new body.",
    ),
    "digest_differs": Code(
        422,
        "Digest differs",
        "The digest is not that of the content that this dry run checked.",
        "Read the dry run's status and compare its digest with yours; dry-run the content that you mean.",
    ),
    "invalid_envelope": Code(
        422,
        "Invalid envelope",
        "The document around the records is not of the agreed form.",
        "Mend what errors names; no job was made.",
    ),
    "too_many_records": Code(
        422,
        "Too many records",
        "With this part the import would have more records than one may have.",
        "Close the import without it, and send the rest as another.",
    ),
    "too_many_bytes": Code(
        422,
        "Too many bytes",
        "With this part the import would have more bytes, unpacked, than one may have.",
        "Close the import without it, and send the rest as another.",
    ),
    "invalid_body": Code(
        422, "Invalid body", "The body is JSON, but not what this call takes.", "Mend what errors names."
    ),
    "invalid_parameter": Code(
        422,
        "Invalid parameter",
        "A query parameter or header has a value that this call does not take.",
        "Mend what errors names.",
    ),
    "rate_limited": Code(
        429,
        "Too many requests",
        "The limit of calls in this time is used up.",
        "Wait as long as Retry-After says.",
    ),
    "too_much_to_search": Code(
        422,
        "Too much to search",
        "More is kept than one call looks through for a person's data.",
        "Ask the operator, who can find, export and erase it by command.",
    ),
    "quota_exceeded": Code(
        429,
        "Quota exceeded",
        "The customer's quota for this call is used up.",
        "Wait as long as Retry-After says.",
    ),
    "too_many_running_imports": Code(
        429,
        "Too many running imports",
        "As many imports are running as the customer may have at a time.",
        "Wait for one to end, then send this again.",
    ),
    "too_many_open_imports": Code(
        429,
        "Too many open imports",
        "As many imports in parts are open as the customer may have at a time.",
        "Close or cancel one first.",
    ),
    "internal_error": Code(
        500,
        "Internal error",
        "Something failed here, and it is logged under the request id.",
        "Send the request again; if it fails again, tell support the request id.",
    ),
    "unavailable": Code(
        503,
        "Unavailable",
        "The service cannot take this call just now.",
        "Send it again, signed anew, after the seconds in Retry-After.",
    ),
}


def page(request: HttpRequest) -> HttpResponse:
    """The page that every problem's `type` points at: plain HTML, no script."""
    rows = "".join(
        f'<tr id="{name}"><td><code>{name}</code></td><td>{code.status}</td><td>{escape(code.title)}</td>'
        f"<td>{escape(code.meaning)}</td><td>{escape(code.next_step)}</td></tr>"
        for name, code in CODES.items()
    )
    return HttpResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Longshore: error codes</title>'
        "<h1>Error codes</h1>"
        "<p>Every refused call is answered as <code>application/problem+json</code> with one of these codes.</p>"
        "<table><thead><tr><th>Code</th><th>Status</th><th>Title</th><th>Meaning</th><th>What to do next</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></html>"
    )
