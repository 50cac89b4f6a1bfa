"""A record becomes a usage event, or an invalid one with its reason; here the event gets its identity."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from meter.pipeline import dialect, identity, redriven, timestamps
from meter.pipeline.body import NOT_COMPLETE, Body, check, encode, read_complete
from meter.pipeline.dialect import Reading
from meter.pipeline.identity import digest
from meter.pipeline.redriven import Past
from meter.pipeline.rules import EXPIRED, FUTURE, Rule, Unbillable, broken
from meter.pipeline.timestamps import canonical_seconds, latest_billable, oldest_billable
from meter.pipeline.usage import Usage


class Record(Protocol):
    """One record of the topic, as the Kafka client hands it over."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Origin(NamedTuple):
    """Where records come from: part of the identity of an event that brings none of its own."""

    cluster_id: str
    topic: str
    partition: int


class UsageEvent(msgspec.Struct, gc=False, eq=False):
    """One valid event on its way; `gc=False`: thousands live at once, and the collector need not walk them."""

    key: str  # the idempotency key, see `identity`
    customer: str
    product: str  # "" when the event names none
    units: int
    counts: bool  # outcome is `success`: its units count against a limit
    digest: int  # 32 bits over customer, product, action, units, outcome: tells a copy from a conflict
    timestamp_seconds: float  # the event's own time, Unix
    body: bytes  # the JSON object for the provider, canonical names, key included
    record: Record
    offset: int  # the record's
    partition: int
    held_bytes: int  # what it keeps in memory, roughly: the record as it came and the body as it goes
    epoch: int  # the assignment in which it came
    # What happened to it so far; written by the machine alone.
    usage: Usage | None = None  # the counters in which its units are held
    attempts: int = 0  # how often it left for the provider
    unknown: bool = False  # at least once nobody knows what became of it


class InvalidEvent(msgspec.Struct, gc=False, eq=False):
    """A record that can never be billed, with the reason for its dead letter."""

    reason: str  # `invalid:<rule>`, `expired` or `future`
    detail: str  # one sentence for a person; no more than 200 characters
    record: Record
    offset: int
    partition: int
    held_bytes: int
    epoch: int
    key: str = ""  # its identity when it could be read


def decode(record: Record, origin: Origin, wall_seconds: float, epoch: int = 0) -> UsageEvent | InvalidEvent:
    """As `decode_all`, for one record."""
    return decode_all((record,), origin, wall_seconds, epoch)[0]


def decode_all(
    records: Iterable[Record], origin: Origin, wall_seconds: float, epoch: int
) -> list[UsageEvent | InvalidEvent]:
    """The usage event in each record, or why it can never be billed; raises nothing, whatever the bytes.

    `wall_seconds` (Unix) is when the records are looked at: it decides `expired` and `future`. `epoch` names the
    assignment in which they came.
    """
    oldest, latest, partition = oldest_billable(wall_seconds), latest_billable(wall_seconds), origin.partition
    decoded: list[UsageEvent | InvalidEvent] = []
    for record in records:
        value = record.value or b""
        try:
            # A short cut for what is in the provider's own form with nothing left to fill in, and is sent as it came.
            # `_translated` makes the same event of it. In one piece because here every call shows in the throughput.
            body = read_complete(value)
            seconds = canonical_seconds[body.timestamp]
        except NOT_COMPLETE:
            seconds = None
        if seconds is None or not oldest <= seconds <= latest or (record.headers and dialect.say_more(record.headers)):
            decoded.append(_decode_any(record, origin, wall_seconds, epoch))
            continue
        customer, product, units, outcome = body.customer_ref, body.product_ref or "", body.units, body.outcome
        decoded.append(
            UsageEvent(
                body.idempotency_key,
                customer,
                product,
                units,
                outcome == "success",
                digest(customer, product, body.action_type, units, outcome),
                seconds,
                value,
                record,
                record.offset,
                partition,
                2 * len(value),
                epoch,
            )
        )
    return decoded


def read_back(record: Record, origin: Origin) -> UsageEvent | InvalidEvent:
    """As `decode`, but for looking back: an event is never too old, nor too far ahead."""
    event = decode(record, origin, max(record.timestamp or 0, 0) / 1000)
    late = isinstance(event, InvalidEvent) and event.reason in (EXPIRED, FUTURE)
    return _decode_any(record, origin, None, 0) if late else event


def _decode_any(record: Record, origin: Origin, wall_seconds: float | None, epoch: int) -> UsageEvent | InvalidEvent:
    past = redriven.past(record.headers) if record.headers else redriven.NOTHING
    try:
        return _translated(record, origin, past, wall_seconds, epoch)
    except Unbillable as fault:
        key, held_bytes = past.key or fault.key, len(record.value or b"")
        return InvalidEvent(fault.reason, fault.detail, record, record.offset, origin.partition, held_bytes, epoch, key)


def _translated(record: Record, origin: Origin, past: Past, wall_seconds: float | None, epoch: int) -> UsageEvent:
    """The event in any dialect, in canonical names and with everything filled in."""
    reading = dialect.read(record.value, record.headers)
    key = past.key or _given_key(reading)
    recorded_milliseconds = past.timestamp_milliseconds or record.timestamp or 0
    try:
        body = check(reading.fields)
        seconds = _seconds(body.timestamp, recorded_milliseconds, wall_seconds or 0.0)
    except Unbillable as fault:
        fault.key = key
        raise
    if not body.product_ref:
        body.product_ref = UNSET
    action = f"{body.action_type}/{reading.free_action}" if reading.free_action else body.action_type
    key = key or _derived_key(reading.request_id, body, action, record, origin)
    if wall_seconds is not None and not timestamps.is_billable(seconds, wall_seconds):
        raise _outside_window(key, seconds, wall_seconds)
    body.idempotency_key = key
    body.timestamp = timestamps.format_utc(seconds)
    customer, product, units, outcome = body.customer_ref, body.product_ref or "", body.units, body.outcome
    encoded = encode(body)
    return UsageEvent(
        key,
        customer,
        product,
        units,
        outcome == "success",
        digest(customer, product, action, units, outcome),
        seconds,
        encoded,
        record,
        record.offset,
        origin.partition,
        len(encoded) + len(record.value or b""),
        epoch,
    )


def _given_key(reading: Reading) -> str:
    """The key that does not depend on the rest of the event; "" when there is none."""
    key = reading.fields.get("idempotencyKey")
    if isinstance(key, str) and key:
        return identity.fit(key)
    if reading.cloud_event is not None:
        return identity.of_cloud_event(reading.cloud_event.source, reading.cloud_event.id)
    return ""


def _derived_key(request_id: str, body: Body, action: str, record: Record, origin: Origin) -> str:
    if request_id:
        return identity.of_request(request_id, body.customer_ref, body.product_ref or "", action)
    return identity.of_origin(*origin, record.offset, max(record.timestamp or 0, 0))


def _seconds(timestamp: str | UnsetType, recorded_milliseconds: int, wall_seconds: float) -> float:
    """The event's own time; else when its record was made; else now, as the provider would have it."""
    if timestamp is UNSET:
        return recorded_milliseconds / 1000 if recorded_milliseconds > 0 else wall_seconds
    seconds = timestamps.parse(timestamp)
    if seconds is None:
        raise broken(Rule.TIMESTAMP, f"{timestamp!r:.60} is not an ISO 8601 date-time with a zone")
    return seconds


def _outside_window(key: str, seconds: float, wall_seconds: float) -> Unbillable:
    if seconds < wall_seconds:
        return Unbillable(EXPIRED, "the event is older than the provider accepts (30 days)", key)
    return Unbillable(FUTURE, "the event is further in the future than the provider accepts (24 hours)", key)
