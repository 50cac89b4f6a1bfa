"""The provider's error form, so that its clients read our refusals as they read its own."""

from http import HTTPStatus
from typing import Any


def error_body(status: int, message: str) -> dict[str, Any]:
    """`{"statusCode", "message", "error"}`; the words of `message` are part of the provider's contract."""
    return {"statusCode": status, "message": message, "error": HTTPStatus(status).phrase}


def invalid_body(faults: dict[str, str]) -> dict[str, Any]:
    """400 as the provider's validation answers it; field -> what is wrong with it."""
    errors = [{"code": "custom", "path": [name], "message": fault} for name, fault in faults.items()]
    return {"statusCode": 400, "message": "Validation failed", "errors": errors, "error": HTTPStatus(400).phrase}
