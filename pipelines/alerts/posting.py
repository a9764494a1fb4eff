"""One attempt to deliver a message over HTTP, and what came of it in words."""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Final, Literal

import httpx

__all__ = ["Attempt", "Outcome", "client_for", "post"]

Outcome = Literal[
    "delivered",
    "redirected",
    "refused",
    "busy",
    "failed",
    "timed_out",
    "untrusted",
    "garbled",
    "unreachable",
]
"""`busy` may be asked again soon (408, 425, 429), `refused` is any other 4xx, `failed` the rest."""

_MAX_BODY_BYTES: Final = 1 << 16
_EXCERPT_BYTES: Final = 200
_BUSY: Final = {408, 425, 429}
_REDIRECT: Final = "a redirect, which is not followed: set webhook.url to the final address"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of it: `said` explains, in printable ASCII, `retry_after` is the header as is."""

    outcome: Outcome
    said: str
    status: int | None = None
    retry_after: str | None = None

    @property
    def hopeless(self) -> bool:
        """Whether trying again soon will not help: somebody has to change something first."""
        return self.outcome in {"redirected", "refused", "untrusted"}


def client_for(trust: ssl.SSLContext, within_s: float) -> httpx.AsyncClient:
    """Give a client with one connection, no redirects, and no proxy from the environment."""
    return httpx.AsyncClient(
        verify=trust,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(within_s),
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
    )


async def post(
    client: httpx.AsyncClient, url: httpx.URL, body: bytes, headers: dict[str, str], within_s: float
) -> Attempt:
    """Send a message once; an answer that drips in does not hold it longer than `within_s`.

    Delivered is what was answered 2xx, whatever becomes of the answer's body, of which at most
    64 KiB are read.
    """
    seen: Attempt | None = None
    try:
        async with asyncio.timeout(within_s):
            headers = {**headers, "accept-encoding": "identity", "user-agent": "floodwatch"}
            request = client.build_request("POST", url, content=body, headers=headers)
            response = await client.send(request, stream=True)
            try:
                seen = _judged(response, b"")
                seen = _judged(response, await _start_of(response))
            finally:
                await response.aclose()
    except (TimeoutError, httpx.TimeoutException):
        return seen or Attempt("timed_out", f"no complete response within {within_s:g} s")
    except (httpx.HTTPError, httpx.StreamError, OSError, ValueError) as error:
        return seen or _failure(error)
    return seen


def _judged(response: httpx.Response, body: bytes) -> Attempt:
    status = response.status_code
    outcome: Outcome
    if response.is_success:
        outcome, said = "delivered", ""
    elif status // 100 == 3:  # noqa: PLR2004 - redirects
        outcome, said = "redirected", _REDIRECT
    else:
        said = _excerpt(body)
        outcome = "refused" if response.is_client_error else "failed"
        if status in _BUSY:
            outcome = "busy"
    return Attempt(outcome, said, status, response.headers.get("retry-after"))


async def _start_of(response: httpx.Response) -> bytes:
    """Read the body as it came, up to its limit; a connection is used again if it ends before."""
    kept = bytearray()
    read = 0
    async for chunk in response.aiter_raw():
        read += len(chunk)
        kept += chunk[: _EXCERPT_BYTES - len(kept)] if len(kept) < _EXCERPT_BYTES else b""
        if read >= _MAX_BODY_BYTES:
            break
    return bytes(kept)


def _failure(error: Exception) -> Attempt:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            said = f"its certificate or TLS is not accepted: {_ascii(str(cause))}"
            return Attempt("untrusted", said)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ProtocolError):
        return Attempt("garbled", f"not an HTTP response: {_ascii(str(error))}")
    return Attempt("unreachable", _ascii(f"{type(error).__name__}: {error}"))


def _excerpt(body: bytes) -> str:
    return _ascii(body.decode("utf-8", "backslashreplace"))


def _ascii(text: str) -> str:
    return ascii(text[:_EXCERPT_BYTES])[1:-1]
