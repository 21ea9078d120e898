"""From an exception to what a person can do about it: names, refusals, silence, certificates, proxies.

Pure. The words hold no address, because addresses may hold passwords; the caller says whom it was talking to.
"""

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_ERRNO: Final = re.compile(r"\[Errno (-?\d+)\]")
_STATUS: Final = re.compile(r"^([45]\d\d)\b")

UNKNOWN_AUTHORITY: Final = (
    "its certificate is signed by an authority that this program does not know. If that is your company's or your own, "
    "set SSL_CERT_FILE to a file with the authorities to trust (PEM)"
)
_CERTIFICATES: Final = {
    9: "its certificate is not valid yet; is this machine's clock right?",
    10: "its certificate has expired; is this machine's clock right?",
    18: UNKNOWN_AUTHORITY,
    19: UNKNOWN_AUTHORITY,
    20: UNKNOWN_AUTHORITY,
    21: UNKNOWN_AUTHORITY,
    62: "its certificate is for another host name; is the address right?",
    64: "its certificate is for another address; is the address right?",
}
_NUMBERS: Final = {
    errno.ECONNREFUSED: "the connection was refused: nothing listens there, or a firewall forbids it",
    errno.ECONNRESET: "it closed the connection",
    errno.EPIPE: "it closed the connection",
    errno.ENETUNREACH: "this machine has no way to that network; is it online?",
    errno.EHOSTUNREACH: "this machine has no way to that host; is it online?",
    errno.ETIMEDOUT: "it did not answer in time",
    errno.ENOENT: "there is no such socket",
    errno.EACCES: "this user may not connect there",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """What happened, in words. `is_lasting`: trying again gives the same answer, until somebody changes something."""

    words: str
    is_lasting: bool = False


def network_trouble(error: BaseException) -> Trouble | None:
    """What an error on the way to a server means; None if it is not one that we know."""
    chain = list(_chain(error))
    for one in chain:
        found = _proxy(one) or _certificate(one) or _tls(one) or _name(one) or _address(one)
        if found is not None:
            return found
    for one in reversed(chain):  # the innermost says most
        found = _number(one)
        if found is not None:
            return found
    return next((found for one in chain if (found := _silence(one)) is not None), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, each once."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting.extend(getattr(one, "exceptions", ()))
        waiting.extend(next_one for next_one in (one.__cause__, one.__context__) if next_one is not None)


def _proxy(error: BaseException) -> Trouble | None:
    if type(error).__name__ != "ProxyError":
        return None
    status = _STATUS.match(str(error))
    if status is None:
        return Trouble(words="the proxy refused the connection")
    if status[1] == "407":
        words = "the proxy wants a user and a password (407): HTTPS_PROXY=http://user:password@host:port"
        return Trouble(words=words, is_lasting=True)
    return Trouble(words=f"the proxy refused the connection ({status[1]})", is_lasting=status[1] < "500")


def _certificate(error: BaseException) -> Trouble | None:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return None
    words = _CERTIFICATES.get(error.verify_code, f"its certificate is not valid ({error.verify_message})")
    return Trouble(words=words, is_lasting=True)


def _tls(error: BaseException) -> Trouble | None:
    if not isinstance(error, ssl.SSLError):
        return None
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return Trouble(words="it does not speak TLS there; are port and address right?", is_lasting=True)
    return Trouble(words=f"TLS failed ({error.reason or 'the connection ended'})")


def _name(error: BaseException) -> Trouble | None:
    if not isinstance(error, socket.gaierror):
        return None
    if error.errno == socket.EAI_AGAIN:
        return Trouble(words="its name cannot be looked up just now (DNS); is this machine online?")
    return Trouble(words="there is no host of this name (DNS); is it spelled right, and this machine online?")


def _address(error: BaseException) -> Trouble | None:
    if type(error).__name__ not in ("InvalidURL", "UnsupportedProtocol"):
        return None
    return Trouble(words="its address is none: it should look like https://host", is_lasting=True)


def _number(error: BaseException) -> Trouble | None:
    numbers = [error.errno] if isinstance(error, OSError) and error.errno is not None else []
    numbers += [int(one) for one in _ERRNO.findall(str(error))] if isinstance(error, OSError) else []
    known = [_NUMBERS[one] for one in numbers if one in _NUMBERS]
    return Trouble(words=known[0]) if known else None


def _silence(error: BaseException) -> Trouble | None:
    name = type(error).__name__
    if isinstance(error, TimeoutError) or name.endswith(("Timeout", "TimeoutError", "TimeoutException")):
        return Trouble(words="it did not answer in time")
    is_end = name in ("RemoteProtocolError", "ReadError", "WriteError") or "closed by server" in str(error)
    if is_end or isinstance(error, ConnectionError | EOFError):
        return Trouble(words="it closed the connection")
    return None
