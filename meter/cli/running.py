"""Asking the running daemon over HTTP, at the address and with the token that the configuration names."""

from typing import TYPE_CHECKING, Any

from meter.errors import CommandFailed

if TYPE_CHECKING:  # see meter/cli/configuration.py
    import httpx

    from meter.settings import HttpSettings

TIMEOUT_SECONDS = 10.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Daemon:
    """The daemon of this configuration; use as a context manager."""

    def __init__(self, http: "HttpSettings", at: str | None = None) -> None:
        """`at` is the HOST:PORT of another replica than the one of this configuration; it gets the same token."""
        import httpx

        self.address = f"http://{at}" if at is not None else _address(http)
        token = {} if http.token is None else {"Authorization": f"Bearer {http.token.get_secret_value()}"}
        self._client = httpx.Client(base_url=self.address, headers=token, timeout=TIMEOUT_SECONDS, trust_env=False)

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, *, also: int | None = None) -> dict[str, Any]:
        """The JSON object at `path`; `CommandFailed` says why there is none. `also`: a status that is no failure."""
        return self._ask("GET", path, None, also)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON object that answers `body`; `CommandFailed` says why there is none."""
        return self._ask("POST", path, body, None)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None, also: int | None) -> dict[str, Any]:
        import httpx

        try:
            answer = self._client.request(method, path, json=body)
        except httpx.ConnectError:
            raise CommandFailed(f"no meter is running at {self.address}: start it with `meter run`") from None
        except httpx.TimeoutException:
            raise CommandFailed(f"meter at {self.address} did not answer in {TIMEOUT_SECONDS:g} seconds") from None
        except httpx.TransportError as error:
            raise CommandFailed(f"meter at {self.address} did not answer: {error}") from None
        if answer.status_code in {200, also}:
            return self._object(answer)
        raise CommandFailed(self._refusal(answer))

    def _object(self, answer: "httpx.Response") -> dict[str, Any]:
        try:
            content = answer.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise CommandFailed(f"the server at {self.address} is not meter")
        return content

    def _refusal(self, answer: "httpx.Response") -> str:
        if answer.status_code in {401, 403}:
            return f"meter at {self.address} rejected the token: http.token must match the daemon's"
        return f"meter at {self.address} answered {answer.status_code}: {_message(answer)}"


def _address(http: "HttpSettings") -> str:
    if http.port == 0:
        raise CommandFailed("http.port is 0, so only the daemon's own log says where it listens: set http.port")
    host = EVERYWHERE.get(http.host, http.host)
    return f"http://[{host}]:{http.port}" if ":" in host else f"http://{host}:{http.port}"


def _message(answer: "httpx.Response") -> str:
    """The sentence in an error body, or its beginning when it has none."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(answer.text.split())[:200]
