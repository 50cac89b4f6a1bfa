"""What each answer of the provider means, one row per answer."""

import pytest

from meter.billing.answers import bulk_outcome, limits_outcome
from meter.billing.limits_outcome import (
    LimitsAnswer,
    LimitsInvalid,
    LimitsNotFound,
    LimitsRefused,
    LimitsUnavailable,
)
from meter.pipeline.outcome import Accepted, Refusal, Refused, Rejected, TooLarge, TryAgain, UnknownCustomer

NOON = 1_900_000_000.0  # Mon, 17 Mar 2030 17:46:40 GMT
TWO_ACCEPTED = b"""{"success":true,"inserted":2,"results":[
    {"reference":"usage_A","creditDebit":{"debited":true,"amount":100,"unitsRemaining":1}},
    {"reference":"usage_B","creditDebit":{"debited":false,"reason":"duplicate"}}]}"""
NO_SUCH_ROUTE = b'{"statusCode":404,"message":"Cannot POST /v1/sdk/meter-events","error":"Not Found"}'
NO_SUCH_CUSTOMER = b'{"statusCode":404,"message":"Customer not found","error":"Not Found"}'
INVALID = b"""{"statusCode":400,"message":"Validation failed","path":"/v1/sdk/usages/bulk","errors":[
    {"path":["events",1,"customerRef"],"message":"Required"},
    {"path":["events",1,"units"],"message":"Too many"},
    {"path":["events",0],"message":"Too old"},
    {"path":["events",2,"units"],"message":"out of range"},
    {"path":["events",-1,"units"],"message":"out of range"},
    {"path":["events",true,"units"],"message":"no number"},
    {"path":["events","1"],"message":"no number"},
    {"path":["events"],"message":"no index"},
    {"path":"events.1"}, {}, 7]}"""


def outcome(status: int, body: bytes = b"", **headers: str) -> object:
    """The outcome of a call with two events."""
    return bulk_outcome(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, body, 2, NOON, "s3c"
    )


def test_one_result_per_event_is_accepted() -> None:
    """References come in order; what was not debited is named with its reason."""
    assert outcome(200, TWO_ACCEPTED) == Accepted(["usage_A", "usage_B"], {1: "duplicate"})


@pytest.mark.parametrize(
    ("debit", "undebited"),
    [
        ('{"debited":false,"reason":null}', {0: "unknown"}),
        ('{"debited":true,"reason":null,"amount":null,"unitsRemaining":null,"autoRecharge":null}', {}),
        ('{"debited":false,"reason":"duplicate","later":[1]}', {0: "duplicate"}),
        ('{"debited":null}', {}),
        ('{"reason":"duplicate"}', {}),
        ('"none"', {}),
        ("null", {}),
    ],
)
def test_what_is_said_about_credits_makes_no_accepted_event_unaccepted(debit: str, undebited: dict[int, str]) -> None:
    """A batch that the provider has accepted would be sent again for ever, for the sake of a number in the metrics."""
    body = f'{{"success":true,"inserted":2,"results":[{{"reference":"a","creditDebit":{debit}}},{{"reference":"b"}}]}}'
    assert bulk_outcome(200, {}, body.encode(), 2, 0.0) == Accepted(["a", "b"], undebited)


def test_a_debit_refused_without_a_reason_is_still_named() -> None:
    """No undebited event is silently counted as debited."""
    body = b'{"success":true,"results":[{"reference":"a","creditDebit":{"debited":false}},{"reference":"b"}]}'
    assert outcome(200, body) == Accepted(["a", "b"], {0: "unknown"})


@pytest.mark.parametrize(
    "body",
    [
        b'{"success":true,"inserted":2,"results":[{"reference":"usage_A"}]}',
        b'{"success":true,"inserted":2,"results":[]}',
        b'{"success":false,"results":[{"reference":"a"},{"reference":"b"}]}',
        b'{"success":true,"results":[{"reference":"a"},{}]}',
        b'{"success":true,"results":[{"reference":"a"},null]}',
        b'{"success":true,"results":null}',
        TWO_ACCEPTED[:-1],
        TWO_ACCEPTED[:20],
        b' { "success',
        b"{",
        b'{"success":true,"results":[{"reference":"\xff',
    ],
)
def test_a_short_or_damaged_answer_of_the_provider_is_an_unknown_outcome(body: bytes) -> None:
    """P9: whatever is not one result per event may still have been inserted: try again with the same keys."""
    found = outcome(200, body)
    assert isinstance(found, TryAgain)
    assert found.outcome_unknown


@pytest.mark.parametrize(
    "body", [b"", b"<html>Welcome</html>", b"[]", b"null", b'{"ok":true}', b'{"hello":', b"\xff\xfe"]
)
def test_a_success_that_is_not_the_providers_looks_like_a_wrong_address(body: bytes) -> None:
    """A captive portal or another service answers 200 as well; that bills nothing."""
    found = outcome(200, body)
    assert isinstance(found, Refused)
    assert found.reason is Refusal.WRONG_ADDRESS


def test_a_validation_error_names_the_events() -> None:
    """Only indexes that are in the batch count, each with its first reason."""
    assert outcome(400, INVALID) == Rejected({1: "customerRef: Required", 0: "Too old"}, "Validation failed")


def test_a_validation_error_may_name_nobody() -> None:
    """Then the caller has to find the culprit."""
    assert outcome(400, b'{"statusCode":400,"message":["a","b"]}') == Rejected({}, "a; b")


@pytest.mark.parametrize("status", [404, 409, 422])
@pytest.mark.parametrize("message", ["Customer with reference cus_X not found", "One or more customers", "Bad event"])
def test_an_error_that_names_a_customer_or_event_is_about_that(status: int, message: str) -> None:
    """P3: usage may overtake the customer's creation."""
    body = f'{{"statusCode":{status},"message":"{message}"}}'.encode()
    assert outcome(status, body) == UnknownCustomer(message)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, b"", Refusal.UNAUTHORIZED),
        (401, b'{"statusCode":401,"message":"Invalid or expired secret key"}', Refusal.UNAUTHORIZED),
        (403, b'{"message":{"code":"key_env_mismatch"}}', Refusal.FORBIDDEN),
        (404, NO_SUCH_ROUTE, Refusal.WRONG_ADDRESS),
        (404, b"<h1>Customer not found</h1>", Refusal.WRONG_ADDRESS),
        (404, b'{"message":"Customer not found"}', Refusal.WRONG_ADDRESS),
        (404, b'{"statusCode":404,"message":"Product not found"}', Refusal.WRONG_ADDRESS),
        (400, b"Bad Request", Refusal.WRONG_ADDRESS),
        (400, b"{}", Refusal.WRONG_ADDRESS),
        (405, NO_SUCH_CUSTOMER, Refusal.WRONG_ADDRESS),
        (100, b"", Refusal.WRONG_ADDRESS),
        (301, b"", Refusal.WRONG_ADDRESS),
        (307, TWO_ACCEPTED, Refusal.WRONG_ADDRESS),
        (600, b"", Refusal.WRONG_ADDRESS),
        (0, b"", Refusal.WRONG_ADDRESS),
        (204, b"", Refusal.WRONG_ADDRESS),
    ],
)
def test_a_wrong_key_or_address_refuses_us_and_no_event(status: int, body: bytes, reason: Refusal) -> None:
    """P2: such an answer dead-letters nothing."""
    found = outcome(status, body)
    assert isinstance(found, Refused)
    assert found.reason is reason
    assert found.detail.startswith(str(status))


def test_a_key_of_the_other_environment_is_told_in_words() -> None:
    """The provider's 403 has an object for a message, and no `statusCode`."""
    body = b'{"message":{"code":"key_env_mismatch","keyEnvironment":"live","providerEnvironment":"sandbox"}}'
    assert outcome(403, body) == Refused(Refusal.FORBIDDEN, "403 key_env_mismatch")


def test_too_large_is_told_apart() -> None:
    """413 has its own plan, whoever says it (a proxy's answer is no JSON)."""
    assert outcome(413, b"<html>") == TooLarge()


@pytest.mark.parametrize(
    ("status", "unknown"),
    [(408, True), (429, False), (500, True), (502, True), (503, False), (504, True), (524, True), (599, True)],
)
def test_passing_trouble_is_tried_again(status: int, unknown: bool) -> None:
    """Only 429 and 503 say that nothing was inserted; an insert that failed halfway is a 500."""
    found = outcome(status, b'{"statusCode":500,"message":"Internal server error"}')
    assert found == TryAgain(f"{status} Internal server error", unknown)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 86400 ", 86400.0),
        ("0", 0.0),
        ("Sun, 17 Mar 2030 17:47:40 GMT", 60.0),
        ("Sun, 17 Mar 2030 17:47:40 -0000", 60.0),
        ("Sun, 17 Mar 2030 17:45:40 GMT", 0.0),
        ("Sun, 99 Mar 2030 17:47:40 GMT", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("nan", None),
        ("²", None),
        ("9" * 400, None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """P8: it is passed on uncapped; nonsense counts as absent."""
    found = outcome(429, retry_after=value)
    assert isinstance(found, TryAgain)
    assert found.retry_after_seconds == seconds


@pytest.mark.parametrize("status", [200, 400, 401, 404, 418, 500])
def test_no_answer_can_make_us_show_the_key(status: int) -> None:
    """A server that echoes our key, over several lines and at length, gives one short line without it."""
    echo = f'{{"statusCode":{status},"message":"Customer s3c\\n\\u0073\\u0033\\u0063 {"x" * 500}"}}'.encode()
    for body in (echo, b"s3c\r\n" * 100):
        found = outcome(status, body)
        detail = getattr(found, "detail", "")
        assert "s3c" not in repr(found)
        assert len(detail) <= 200
        assert detail.isprintable()


def limits(status: int, body: bytes, **headers: str) -> object:
    """The outcome of a limits question."""
    return limits_outcome(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, NOON, "s3c")


def test_a_limits_answer_is_passed_on_whole() -> None:
    """Whatever the provider adds beside `withinLimits` and `remaining` reaches the service that asked."""
    body = b'{"withinLimits":true,"remaining":13,"plan":"pln_A"}'
    assert limits(200, body) == LimitsAnswer({"withinLimits": True, "remaining": 13, "plan": "pln_A"})


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b'{"statusCode":400,"message":"Validation failed"}', LimitsInvalid("Validation failed")),
        (404, b'{"statusCode":404,"message":"No such customer"}', LimitsNotFound("No such customer")),
        (404, b'{"statusCode":404,"message":"Product not found"}', LimitsNotFound("Product not found")),
        (503, b"", LimitsUnavailable("503", 9.0)),
        (500, b"<html>", LimitsUnavailable("500", 9.0)),
        (200, b'{"withinLimits":true,"rem', LimitsUnavailable("200 with a malformed answer")),
        (200, b'{"withinLimits":true,"remaining":"13"}', LimitsUnavailable("200 with a malformed answer")),
        (200, b'{"withinLimits":true,"remaining":true}', LimitsUnavailable("200 with a malformed answer")),
    ],
)
def test_what_the_other_answers_to_a_limits_question_mean(status: int, body: bytes, expected: object) -> None:
    """An error is told apart from a wrong question and from an unknown customer."""
    assert limits(status, body, retry_after="9") == expected


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, b"", Refusal.UNAUTHORIZED),
        (403, b"", Refusal.FORBIDDEN),
        (404, b'{"statusCode":404,"message":"Cannot POST /products/limits"}', Refusal.WRONG_ADDRESS),
        (302, b"", Refusal.WRONG_ADDRESS),
        (200, b"<html>", Refusal.WRONG_ADDRESS),
        (200, b"{}", Refusal.WRONG_ADDRESS),
    ],
)
def test_limits_are_refused_for_the_same_reasons(status: int, body: bytes, reason: Refusal) -> None:
    """A wrong key or address shows at the limits as well."""
    found = limits(status, body)
    assert isinstance(found, LimitsRefused)
    assert found.reason is reason
