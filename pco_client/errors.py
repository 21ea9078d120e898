"""What PCO may answer instead of data, grouped by what the caller must do.

    PcoError
    ├── RetryError            the same request may succeed later
    │   ├── Unreachable           no answer: refused, reset, timed out, name not found
    │   ├── ServerFault           500 502 503 504
    │   │   └── TooMuchIncluded       504 with what was to be included: perhaps less is to be asked for at a time
    │   │       └── AnswerTooLarge        more bytes than are to be read
    │   ├── UndecodableAnswer     HTML, half JSON or nothing where a document is due
    │   └── EdgeBlocked           403 with HTML: the network's edge, not a permission (#1293, #1313)
    ├── WaitError             the budget is spent
    │   └── RateLimited           429; wait `retry_after_seconds`
    ├── SkipError             not there, or not for this credential
    │   ├── NotFound              404: unknown, deleted, or hidden from this user (#888)
    │   ├── Forbidden             403: no right to it
    │   └── PlanLacksFeature      402: not part of the church's plan
    └── StopError             asking again gives the same answer
        ├── CannotConnect         no answer, and none will come: a certificate, a proxy, the address
        ├── Unauthorized          401; `hint` is PCO's word for what is wrong with the credential
        ├── NeedsAuthorisation    the OAuth tokens are dead: a person has to connect the church again
        ├── GrantRefused          `invalid_grant`: this code or refresh token gives no tokens (any more)
        ├── ClientRefused         `invalid_client`: the OAuth application's own id or secret is wrong
        ├── BadRequest            400 405 409 422: our request is wrong
        ├── UnexpectedDocument    JSON, but not what was asked for
        └── UnexpectedStatus      a status that API.md does not know

Messages say what was observed. They hold no record's values and no secret: of PCO's own words only its codes and hints.
"""

# Named after what was observed, as httpx does.
# ruff: noqa: N818


class PcoError(Exception):
    """Base of all errors of the client. `where` is method and path, `request_id` is PCO's, for its support."""

    def __init__(
        self, message: str, *, where: str = "", status: int | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.status = status
        self.request_id = request_id

    def __str__(self) -> str:
        context = [self.where, f"status {self.status}" if self.status is not None else ""]
        context.append(f"request {self.request_id}" if self.request_id else "")
        told = ", ".join(part for part in context if part)
        return f"{self.message} ({told})" if told else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.__dict__)


def _rebuild(kind: type[PcoError], attributes: dict[str, object]) -> PcoError:
    error = kind.__new__(kind)
    Exception.__init__(error, attributes.get("message", ""))
    error.__dict__.update(attributes)
    return error


class RetryError(PcoError):
    """The same request may succeed later."""


class Unreachable(RetryError):
    """PCO could not be reached, or did not answer in time."""


class ServerFault(RetryError):
    """PCO or its gateway failed: 500, 502, 503, 504."""


class TooMuchIncluded(ServerFault):
    """504 for a page with what was to be included: it is too much (#225, #874), or the gateway failed for a moment.

    A smaller page, or the page without it, may be answered.
    """


class AnswerTooLarge(TooMuchIncluded):
    """PCO answers with more than is to be read; the same request gets the same answer."""


class UndecodableAnswer(RetryError):
    """The body is not the JSON document that the status promises."""


class EdgeBlocked(RetryError):
    """403 with an HTML page: the edge refused us, which is not a matter of permissions."""


class WaitError(PcoError):
    """The rate budget is spent."""


class RateLimited(WaitError):
    """429. Wait `retry_after_seconds`, which is at least 1 (PCO has sent negative ones, #606)."""

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float,
        where: str = "",
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, where=where, status=status, request_id=request_id)
        self.retry_after_seconds = retry_after_seconds


class SkipError(PcoError):
    """Not there, or not for this credential; the rest of the work can go on."""


class NotFound(SkipError):
    """404: unknown, deleted, or hidden from this user. Never by itself a proof of deletion."""


class Forbidden(SkipError):
    """403: the user behind the credential has no right to this."""


class PlanLacksFeature(SkipError):
    """402: the church's plan does not include this."""


class StopError(PcoError):
    """Asking again gives the same answer."""


class CannotConnect(StopError):
    """There is no way to PCO until somebody changes a setting: the authorities to trust, the proxy, the address."""


class Unauthorized(StopError):
    """401: PCO does not accept the credential."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None,
        where: str = "",
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, where=where, status=status, request_id=request_id)
        self.hint = hint


class NeedsAuthorisation(StopError):
    """Nothing renews the church's OAuth tokens any more; somebody has to connect it again."""


class GrantRefused(StopError):
    """`invalid_grant`: the code or the refresh token was used up, revoked, is too old, or never was one."""


class ClientRefused(StopError):
    """`invalid_client`: PCO does not know the OAuth application, or its secret is another one."""


class BadRequest(StopError):
    """PCO finds the request itself wrong."""


class UnexpectedDocument(StopError):
    """JSON, but not the document that was asked for."""


class UnexpectedStatus(StopError):
    """A status that nothing describes."""
