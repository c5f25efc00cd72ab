"""Errors as RFC 9457 problem documents. What a client did not cause shows nothing of its cause."""

import msgspec
from pydantic import ValidationError

from holdfast.contract.failure import Failure
from holdfast.contract.http import Response
from holdfast.errors import BadRequest, CallError, HoldfastError, Invalid, Refused, RequestError

CONTENT_TYPE = (b"content-type", b"application/problem+json")
_TITLES = {500: "Internal error", 502: "Bad gateway", 503: "Unavailable", 504: "Too late"}


def problem_of(error: BaseException, correlation_id: str = "") -> Response:
    """Return the answer to a request that ended with `error`."""
    if isinstance(error, RequestError):
        headers = [(k.lower().encode(), v.encode()) for k, v in error.headers.items()]
        return problem(
            error.status,
            error.title,
            error.detail,
            code=error.code,
            correlation_id=correlation_id,
            headers=headers,
            fields=error.fields,
        )
    if isinstance(error, Failure):
        return problem(
            error.status,
            _words(error.name),
            (type(error).__doc__ or str(error)).strip().splitlines()[0],
            code=error.name,
            correlation_id=correlation_id,
            fields={"failure": error.fields()},
        )
    if isinstance(error, Refused):
        title = "Conflict" if error.status == 409 else "A value does not fit"
        return problem(
            error.status,
            title,
            error.told,
            code=error.code,
            correlation_id=correlation_id,
            fields={"column": error.column} if error.column else None,
        )
    if isinstance(error, CallError):
        retry = [(b"retry-after", b"1")] if error.status == 503 else []
        detail = "a service that this needs did not answer; the request may be sent again"
        return problem(
            error.status,
            _TITLES[error.status],
            detail,
            code=error.code,
            correlation_id=correlation_id,
            headers=retry,
        )
    code = error.code if isinstance(error, HoldfastError) else "internal"
    detail = "the error is ours and was recorded; name the correlation id when you report it"
    return problem(500, _TITLES[500], detail, code=code, correlation_id=correlation_id)


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    code: str,
    correlation_id: str = "",
    headers: list[tuple[bytes, bytes]] | None = None,
    fields: dict[str, object] | None = None,
) -> Response:
    """Return a problem document."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if correlation_id:
        document["correlation_id"] = correlation_id
    document |= fields or {}
    body = msgspec.json.encode(document)
    return Response(status, [CONTENT_TYPE, *(headers or [])], body)


def unfit(error: ValidationError, where: str) -> RequestError:
    """Return what to raise for input that does not fit: 400 for broken JSON, 422 otherwise.

    Each bad field has its path, such as `body.lines.0.quantity`; values are not repeated.
    """
    found = error.errors(include_url=False, include_input=False, include_context=False)
    if any(one["type"] == "json_invalid" for one in found):
        return BadRequest(f"the body is not JSON: {found[0]['msg']}")
    errors = [
        {
            "path": ".".join([where, *(str(part) for part in one["loc"])]),
            "message": one["msg"],
            "type": one["type"],
        }
        for one in found[:50]
    ]
    names = ", ".join(str(one["path"]) for one in errors[:5])
    return Invalid(f"{len(found)} field(s) do not fit: {names}", fields={"errors": errors})


def _words(name: str) -> str:
    """Return `CardDeclined` as `Card declined`."""
    spaced = "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()
    return spaced[:1].upper() + spaced[1:]
