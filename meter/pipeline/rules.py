"""Why a record can never be billed: the names of the rules it can break, as they stand in dead letters."""

from enum import StrEnum

DETAIL_LIMIT = 200
"""Characters of a dead letter's detail; what is longer is cut."""


class Rule(StrEnum):
    """The `<rule>` of `invalid:<rule>`. Stable: operators filter by it and alerts name it."""

    EMPTY = "empty"  # no value at all (a tombstone), or zero bytes
    NOT_JSON = "not_json"  # not one JSON text in UTF-8
    NOT_AN_OBJECT = "not_an_object"  # JSON, but neither it nor a CloudEvent's data is an object
    LONE_SURROGATE = "lone_surrogate"  # half of a UTF-16 pair: no UTF-8 exists for it
    NOT_FINITE = "not_finite"  # a number that a JSON reader with doubles takes for infinity
    TOO_DEEP = "too_deep"  # nested deeper than `dialect.MAX_DEPTH`
    CLOUD_EVENT = "cloud_event"  # the envelope: version, id, source, subject, time, data
    CONFLICTING_NAMES = "conflicting_names"  # two spellings of one field that differ
    MISSING_CUSTOMER = "missing_customer"  # none, null or ""
    CUSTOMER = "customer"
    PRODUCT = "product"
    PURCHASE = "purchase"
    ACTION_TYPE = "action_type"
    UNITS = "units"
    OUTCOME = "outcome"
    IDEMPOTENCY_KEY = "idempotency_key"
    REQUEST_ID = "request_id"
    TIMESTAMP = "timestamp"  # not an ISO 8601 date-time with a zone
    DURATION = "duration"
    DESCRIPTION = "description"
    ERROR_MESSAGE = "error_message"
    METADATA = "metadata"


EXPIRED = "expired"
"""Reason: older than the provider takes. Not `invalid`: the event was good in its time."""
FUTURE = "future"
"""Reason: further ahead than the provider takes."""


class Unbillable(Exception):  # noqa: N818  # it names what the record is; `decode` turns it into a value
    """A record that can never be billed; never leaves `decode`.

    `key` is the event's idempotency key where it could be read before the fault was met.
    """

    def __init__(self, reason: str, detail: str, key: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail if len(detail) <= DETAIL_LIMIT else detail[: DETAIL_LIMIT - 1] + "…"
        self.key = key


def broken(rule: Rule, detail: str) -> Unbillable:
    """The fault to raise for a record that breaks `rule`; `detail` is one sentence for a person."""
    return Unbillable(f"invalid:{rule}", detail)
