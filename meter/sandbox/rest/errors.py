"""The provider's error bodies: clients search them for words, so the words are part of the contract."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any

Issue = dict[str, Any]
"""One entry of `errors`: `code`, `path`, `message` and what belongs to the code."""

_PHRASES = {413: "Payload Too Large"}


class ProviderError(Exception):
    """An answer that is not a success: status, message and, for a failed validation, its issues."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        issues: Sequence[Issue] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.issues = issues
        self.headers = dict(headers or {})

    def body(self, path: str, now: float) -> dict[str, Any]:
        """The JSON body; `path` and `now` (Unix seconds) appear in failed validations only."""
        if self.issues is None:
            return {"statusCode": self.status, "message": self.message, "error": phrase(self.status)}
        return {
            "statusCode": self.status,
            "message": self.message,
            "errors": list(self.issues),
            "timestamp": iso(now),
            "path": path,
        }


def invalid(issues: Sequence[Issue]) -> ProviderError:
    """The 400 of a body that breaks the schema."""
    return ProviderError(400, "Validation failed", issues=issues)


def phrase(status: int) -> str:
    """The words that HTTP has for `status`; an unregistered one gets "Error"."""
    if status in _PHRASES:
        return _PHRASES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


@lru_cache(maxsize=1024)  # the rows of one call share their moment
def iso(unix_seconds: float) -> str:
    """`YYYY-MM-DDTHH:MM:SS.mmmZ`, the form that the provider writes; in order as text, too."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
