"""What an answer of the billing provider means: status, headers and body in, an outcome out.

Pure and total: every status and every sequence of bytes has a meaning, and in doubt the meaning is "wait".
`headers` are looked up in lower case; `secret` is what no detail may show.
"""

import re
from collections.abc import Mapping

import msgspec

from meter.billing.limits_outcome import (
    LimitsAnswer,
    LimitsInvalid,
    LimitsNotFound,
    LimitsOutcome,
    LimitsRefused,
    LimitsUnavailable,
)
from meter.billing.provider_error import decode, one_line, read_error, read_message, retry_after_seconds
from meter.pipeline.outcome import Accepted, Outcome, Refusal, Refused, Rejected, TooLarge, TryAgain, UnknownCustomer

# A provider that says one of these has not touched the events; after any other 5xx (and 408) it may have.
_SURELY_NOT_INSERTED = frozenset({429, 503})
_ABOUT_A_CUSTOMER_OR_EVENT = frozenset({404, 409, 422})
_REFUSALS = {401: Refusal.UNAUTHORIZED, 403: Refusal.FORBIDDEN}
_BULK_NAMES = "success|inserted|results"
_LIMITS_NAMES = "withinLimits|remaining|meterName|plans?|product|balance|creditBalance"


class _Debit(msgspec.Struct, gc=False):
    debited: bool
    reason: str | None = None


class _Result(msgspec.Struct, gc=False):
    reference: str
    creditDebit: _Debit | None = None  # noqa: N815  # the provider's own spelling


class _Bulk(msgspec.Struct, gc=False):
    success: bool
    results: list[_Result]


class _OddResult(msgspec.Struct, gc=False):
    reference: str
    creditDebit: object = None  # noqa: N815  # the provider's own spelling


class _OddBulk(msgspec.Struct, gc=False):
    success: bool
    results: list[_OddResult]


_bulk_decoder = msgspec.json.Decoder(_Bulk)
_odd_decoder = msgspec.json.Decoder(_OddBulk)


def bulk_outcome(
    status: int, headers: Mapping[str, str], body: bytes, events_total: int, wall_seconds: float, secret: str = ""
) -> Outcome:
    """What the answer to a bulk call of `events_total` events means."""
    if 200 <= status < 300:
        return _inserted(status, body, events_total, secret)
    if status == 413:
        return TooLarge()
    if _is_passing(status):
        detail = _failure(status, body, secret)
        retry_after = retry_after_seconds(headers, wall_seconds)
        return TryAgain(detail, outcome_unknown=status not in _SURELY_NOT_INSERTED, retry_after_seconds=retry_after)
    error = read_error(body, events_total, secret)
    if status == 400 and error is not None:
        return Rejected(error.named, error.message)
    if status in _ABOUT_A_CUSTOMER_OR_EVENT and error is not None and error.names_customer_or_event:
        return UnknownCustomer(error.message)
    return Refused(_refusal(status), _failure(status, body, secret))


def limits_outcome(
    status: int, headers: Mapping[str, str], body: bytes, wall_seconds: float, secret: str = ""
) -> LimitsOutcome:
    """What the answer to a limits question means."""
    if 200 <= status < 300:
        return _limits(status, body, secret)
    if _is_passing(status):
        return LimitsUnavailable(_failure(status, body, secret), retry_after_seconds(headers, wall_seconds))
    error = read_error(body, 0, secret)
    if status == 400 and error is not None:
        return LimitsInvalid(error.message)
    if status in _ABOUT_A_CUSTOMER_OR_EVENT and error is not None and error.names_customer_or_product:
        return LimitsNotFound(error.message)
    return LimitsRefused(_refusal(status), _failure(status, body, secret))


def _inserted(status: int, body: bytes, events_total: int, secret: str) -> Outcome:
    try:
        answer = _bulk(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _not_results(status, body, secret)
    if not answer.success or len(answer.results) != events_total:
        found = f"{len(answer.results)} results for {events_total} events, success {str(answer.success).lower()}"
        return TryAgain(f"{status} with {found}", outcome_unknown=True)
    return Accepted([result.reference for result in answer.results], _undebited(answer.results, secret))


def _bulk(body: bytes) -> _Bulk:
    """What was billed does not depend on what is said about credits, which nobody has documented for all cases.

    Raises as msgspec does for anything but a result with a reference per event.
    """
    try:
        return _bulk_decoder.decode(body)
    except msgspec.ValidationError:
        odd = _odd_decoder.decode(body)
        return _Bulk(odd.success, [_Result(one.reference, _debit(one.creditDebit)) for one in odd.results])


def _debit(said: object) -> _Debit | None:
    try:
        return msgspec.convert(said, _Debit)
    except msgspec.ValidationError:
        return None


def _undebited(results: list[_Result], secret: str) -> dict[int, str]:
    debits = [result.creditDebit for result in results]
    if not any(debits):
        return {}
    undebited = {
        index: debit.reason or "unknown"
        for index, debit in enumerate(debits)
        if debit is not None and not debit.debited
    }
    # a thousand events have few different reasons, and those are almost always fit to be shown
    shown = {reason: one_line(reason, secret) for reason in set(undebited.values())}
    if all(reason == line for reason, line in shown.items()):
        return undebited
    return {index: shown[reason] for index, reason in undebited.items()}


def _not_results(status: int, body: bytes, secret: str) -> Outcome:
    answer = decode(body)
    if (isinstance(answer, dict) and "results" in answer) or (answer is None and _begins_with(_BULK_NAMES, body)):
        return TryAgain(f"{status} with a malformed answer", outcome_unknown=True)
    return Refused(Refusal.WRONG_ADDRESS, _not_the_provider(status, body, secret))


def _limits(status: int, body: bytes, secret: str) -> LimitsOutcome:
    answer = decode(body)
    if isinstance(answer, dict) and type(answer.get("withinLimits")) is bool:
        if type(answer.get("remaining")) in (int, float):
            return LimitsAnswer(answer)
        return LimitsUnavailable(f"{status} with a malformed answer")
    if answer is None and _begins_with(_LIMITS_NAMES, body):
        return LimitsUnavailable(f"{status} with a malformed answer")
    return LimitsRefused(Refusal.WRONG_ADDRESS, _not_the_provider(status, body, secret))


def _is_passing(status: int) -> bool:
    return status in (408, 429) or 500 <= status < 600


def _refusal(status: int) -> Refusal:
    return _REFUSALS.get(status, Refusal.WRONG_ADDRESS)


def _begins_with(names: str, body: bytes) -> bool:
    """Whether a text that is not JSON is the provider's answer, cut short or damaged further on."""
    opening = body[:100].decode("utf-8", "replace")
    return re.match(rf'\s*\{{\s*("({names})"|$|"\w*$)', opening) is not None


def _failure(status: int, body: bytes, secret: str) -> str:
    message = read_message(body, secret)
    if message is not None:
        return one_line(f"{status} {message}", secret)
    return str(status) if 500 <= status < 600 or not body else _not_the_provider(status, body, secret)


def _not_the_provider(status: int, body: bytes, secret: str) -> str:
    shown = one_line(body[:2000].decode("utf-8", "replace"), secret)[:80]
    return one_line(f"{status} with an answer that is not the provider's: {shown}", secret)
