"""The routes for limits questions: what is asked, read from a request.

A drop-in for the provider's own route: same request, same answer and same error form, plus `meter`.
"""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import unquote

from meter.http.exchange import InvalidError, RefusedError, Request, Response, as_json
from meter.limits import Answer, Question

MAX_REF_LENGTH = 256
_FLAGS = {"true": True, "false": False}


class Limits(Protocol):
    """Whoever answers limits questions."""

    async def answer(self, question: Question) -> Answer:
        """Never raises for what the caller or the provider did wrong: that is an answer too."""


class LimitsRoutes:
    """Both ways to ask."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    async def posted(self, request: Request) -> Response:
        """All in the body."""
        return await self._answered(await request.json_object())

    async def named(self, request: Request) -> Response:
        """Customer and product in the path, the rest as parameters."""
        customer, product = _refs(request)
        query = {name: _FLAGS.get(value, value) for name, value in request.query().items()}
        return await self._answered({**query, "customerRef": customer, "productRef": product})

    async def _answered(self, fields: Mapping[str, Any]) -> Response:
        answer = await self._limits.answer(_question(fields))
        return as_json(answer.body, answer.status)


def _refs(request: Request) -> tuple[str, str]:
    parts = request.raw_path.split(b"/")[3:]
    if len(parts) != 2:
        raise RefusedError(404, f"Cannot GET {request.path}")
    try:
        customer, product = (unquote(part.decode("ascii"), errors="strict") for part in parts)
    except UnicodeDecodeError:
        raise RefusedError(400, "The path is not UTF-8") from None
    return customer, product


def _question(fields: Mapping[str, Any]) -> Question:
    """Raises InvalidError with every fault; unknown fields are ignored, as the provider does."""
    faults = {name: fault for name in ("customerRef", "productRef") if (fault := _text_fault(fields.get(name), True))}
    faults |= {name: fault for name in ("meterName", "usageType") if (fault := _text_fault(fields.get(name), False))}
    checkout = fields.get("includeCheckoutSession")
    if checkout is not None and not isinstance(checkout, bool):
        faults["includeCheckoutSession"] = "Expected boolean"
    if faults:
        raise InvalidError(faults)
    return Question(
        fields["customerRef"], fields["productRef"], fields.get("meterName"), fields.get("usageType"), bool(checkout)
    )


def _text_fault(value: object, is_required: bool) -> str | None:
    if value is None:
        return "Required" if is_required else None
    if not isinstance(value, str):
        return "Expected string"
    if is_required and not value:
        return "String must contain at least 1 character(s)"
    if len(value) > MAX_REF_LENGTH:
        return f"String must contain at most {MAX_REF_LENGTH} character(s)"
    return None
