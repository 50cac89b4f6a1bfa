"""Who may ask: those who show the token of `http.token`, in either way that the provider's clients know."""

import hmac
from collections.abc import Callable, Iterator

from meter.http.exchange import Handler, RefusedError, Request, Response

_BEARER = ((b"www-authenticate", b"Bearer"),)


def guard(token: str | None) -> Callable[[Handler], Handler]:
    """Wraps a handler so that it needs the token; without a configured one any is ignored."""
    if token is None:
        return lambda handler: handler
    expected = token.encode()

    def guarded(handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            _check(expected, list(_credentials(request)))
            return await handler(request)

        return checked

    return guarded


def _check(expected: bytes, shown: list[bytes]) -> None:
    """Raises RefusedError, in the provider's own words: its clients search for them."""
    if not shown:
        raise RefusedError(401, "Authentication required", _BEARER)
    if not any(hmac.compare_digest(one, expected) for one in shown):
        raise RefusedError(401, "Invalid or expired secret key", _BEARER)


def _credentials(request: Request) -> Iterator[bytes]:
    scheme, _, value = request.header(b"authorization").partition(b" ")
    if scheme.lower() == b"bearer" and value.strip():
        yield value.strip()
    if key := request.header(b"x-api-key"):
        yield key
