"""What no single option can see: combinations of options that cannot work."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from meter.settings.options import LEASE_MARGIN_SECONDS, LEAST_LEASE_SECONDS, TOPIC_LENGTH, Settings

MISSING_KEY = (
    "billing.secret_key is missing: set SOLVAPAY_SECRET_KEY, or name a file that holds it in SOLVAPAY_SECRET_KEY_FILE, "
    "or write secret_key under [billing] in the configuration file"
)


class Fault(NamedTuple):
    """One thing that cannot work: the options it is about, and one sentence that names them."""

    about: tuple[str, ...]
    sentence: str


def faults(settings: Settings) -> Iterator[Fault]:
    """Every combination that cannot work."""
    for check in _CHECKS:
        yield from check(settings)


def _sasl(settings: Settings) -> Iterator[Fault]:
    kafka = settings.kafka
    uses_sasl = kafka.security_protocol.startswith("SASL")
    for option, is_set in (
        ("kafka.sasl_username", kafka.sasl_username is not None),
        ("kafka.sasl_password", kafka.sasl_password is not None),
    ):
        if uses_sasl and not is_set:
            sentence = f"{option} is missing: kafka.security_protocol {kafka.security_protocol} needs it"
            yield Fault((option, "kafka.security_protocol"), sentence)
        elif is_set and not uses_sasl:
            yield _no_effect(option, kafka.security_protocol, "SASL_SSL or SASL_PLAINTEXT")


def _tls(settings: Settings) -> Iterator[Fault]:
    kafka = settings.kafka
    if not kafka.security_protocol.endswith("SSL"):
        for name in ("ssl_ca_file", "ssl_cert_file", "ssl_key_file"):
            if getattr(kafka, name) is not None:
                yield _no_effect(f"kafka.{name}", kafka.security_protocol, "SSL or SASL_SSL")
    if kafka.ssl_key_file is not None and kafka.ssl_cert_file is None:
        about = ("kafka.ssl_key_file", "kafka.ssl_cert_file")
        yield Fault(about, "kafka.ssl_key_file is set without kafka.ssl_cert_file: a key needs its certificate")


def _no_effect(option: str, protocol: str, needed: str) -> Fault:
    sentence = f"{option} is set, but kafka.security_protocol {protocol} does not use it: choose {needed}"
    return Fault((option, "kafka.security_protocol"), sentence)


def _topics(settings: Settings) -> Iterator[Fault]:
    kafka = settings.kafka
    names = ("topic", "dead_letter_topic", "receipts_topic")
    for position, name in enumerate(names):
        for earlier in names[:position]:
            if getattr(kafka, name) == getattr(kafka, earlier):
                about = (f"kafka.{earlier}", f"kafka.{name}")
                yield Fault(about, f"kafka.{earlier} and kafka.{name} are the same topic: they must differ")
    for name in names[1:]:
        length = len(getattr(kafka, name))
        if length > TOPIC_LENGTH:  # derived: one that was given has been refused already
            yield Fault(
                (f"kafka.{name}", "kafka.topic"),
                f"kafka.{name} would have {length} characters, and Kafka takes {TOPIC_LENGTH}: "
                f"choose a shorter kafka.topic, or set kafka.{name}",
            )


def _lease(settings: Settings) -> Iterator[Fault]:
    session, timeout = settings.kafka.session_timeout_seconds, settings.billing.timeout_seconds
    if settings.lease_seconds < LEAST_LEASE_SECONDS:
        least = timeout + LEASE_MARGIN_SECONDS + LEAST_LEASE_SECONDS
        yield Fault(
            ("kafka.session_timeout_seconds", "billing.timeout_seconds"),
            f"kafka.session_timeout_seconds {session:g} is too short for billing.timeout_seconds {timeout:g}: a "
            "request must end while meter is surely a member of the group, so the session must be "
            f"at least {least:g} seconds (a request, a margin of {LEASE_MARGIN_SECONDS:g}, "
            f"and {LEAST_LEASE_SECONDS:g} to send in)",
        )


def _held(settings: Settings) -> Iterator[Fault]:
    batch = settings.batch
    for held, one in (("max_held_events", "max_events"), ("max_held_bytes", "max_bytes")):
        if getattr(batch, held) < getattr(batch, one):
            sentence = (
                f"batch.{held} {getattr(batch, held)} is below batch.{one} {getattr(batch, one)}: "
                "a full batch must fit into what may be held"
            )
            yield Fault((f"batch.{held}", f"batch.{one}"), sentence)


def _token(settings: Settings) -> Iterator[Fault]:
    if settings.http.token is None and not settings.http.is_loopback:
        sentence = (
            f"http.token is missing: http.host {settings.http.host} can be reached from other machines; "
            "set METER_HTTP__TOKEN, or METER_HTTP__TOKEN_FILE, or token under [http]"
        )
        yield Fault(("http.token", "http.host"), sentence)


_CHECKS: tuple[Callable[[Settings], Iterator[Fault]], ...] = (
    _sasl,
    _tls,
    _topics,
    _lease,
    _held,
    _token,
)
