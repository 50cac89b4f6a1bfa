"""Every option of meter: its type, its bounds, its default and one line about it.

The README's table and `config/meter.toml` are compared with these models by tests.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
)

LEASE_MARGIN_SECONDS = 2.0
"""Room for a slow loop and for clocks that drift, taken off every lease."""

LEAST_LEASE_SECONDS = 1.0
"""A lease is renewed every 0.8 s, and a commit takes a moment: with a shorter one meter hardly ever may send."""

UNKNOWN_OUTCOME_WAIT_SECONDS = 2.0
"""After an unknown outcome the provider may still be inserting for this long."""

ASSIGNMENT_SECONDS = 12.0
"""Taking partitions over must be done by then: a rebalance that has begun meanwhile is noticed only afterwards."""

REBALANCE_ROOM_SECONDS = 16.0
"""What a rebalance takes beside the revocation, in either of two ways: what is being taken over at its beginning, a
heartbeat (3 s) and a moment; or a heartbeat, windows that stop filling (6 s) and the last commit (5 s)."""

TOPIC_LENGTH = 249
"""Kafka's own limit."""


def _not_a_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("true and false are no numbers")  # noqa: TRY004  # pydantic collects ValueError, not TypeError
    return value


def _servers(value: str) -> str:
    servers = [server.strip() for server in value.split(",")]
    for server in servers:
        host, _, port = server.rpartition(":")
        if not host or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
            raise ValueError("not host:port")
    return ",".join(servers)


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError("no http address")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("more than an address")
    return value.rstrip("/")


def _secret(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", value.get_secret_value()):
        raise ValueError("does not fit into an HTTP header")
    return value


def _allowed(sentence: str) -> WithJsonSchema:
    """What a value must look like, said in words where the type alone does not say it."""
    return WithJsonSchema({"allowed": sentence})


Text = Annotated[str, StringConstraints(min_length=1), _allowed("a non-empty text")]
Topic = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$"),
    _allowed("a topic name: 1 to 249 letters, digits, dots, hyphens or underscores"),
]
InstanceId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$"),
    _allowed("1 to 249 letters, digits, dots, hyphens or underscores"),
]
Servers = Annotated[str, AfterValidator(_servers), _allowed("host:port, or several separated by commas")]
Url = Annotated[str, AfterValidator(_url), _allowed("an address like https://api.example.com, without user or query")]
Secret = Annotated[SecretStr, AfterValidator(_secret), _allowed("printable ASCII characters without spaces")]
Password = Annotated[SecretStr, _allowed("a non-empty text")]
File = Annotated[FilePath, _allowed("the path of an existing file")]
Count = Annotated[int, BeforeValidator(_not_a_bool)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_not_a_bool)]
SecondsOrZero = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_not_a_bool)]


class _Section(BaseModel):
    """Strict, unchangeable, and silent about secrets in `repr`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class KafkaSettings(_Section):
    """Where events come from, and where receipts and dead letters go."""

    bootstrap_servers: Servers = Field(
        default="127.0.0.1:9092", description="Brokers to contact first: host:port, comma-separated."
    )
    topic: Topic = Field(default="usage-events", description="The topic with the usage events.")
    group_id: Text = Field(default="meter", description="Consumer group; all replicas share it.")
    dead_letter_topic: Topic = Field(
        default_factory=lambda data: f"{data['topic']}-dead-letters",
        description="Where events that can never be billed are kept.",
    )
    receipts_topic: Topic = Field(
        default_factory=lambda data: f"{data['topic']}-receipts",
        description="Where everything that the provider accepted is recorded.",
    )
    create_topics: bool = Field(
        default=True, description="Create the dead-letter and receipts topics when they are missing."
    )
    group_instance_id: InstanceId | None = Field(
        default=None, description="Static membership: a stable name, unique to this replica; set for all or none."
    )
    start_from: Literal["refuse", "earliest", "latest"] = Field(
        default="refuse",
        description="Where a group without offsets starts on a topic with records; `refuse` makes you choose.",
    )
    session_timeout_seconds: Seconds = Field(
        default=30.0, le=1800, description="A replica that shows no sign of life for this long loses its partitions."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How to connect to the brokers."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="PLAIN", description="How to log in, with a SASL protocol."
    )
    sasl_username: Text | None = Field(default=None, description="User name, with a SASL protocol.")
    sasl_password: Password | None = Field(default=None, description="Password, with a SASL protocol.")
    ssl_ca_file: File | None = Field(default=None, description="Certificates to trust (PEM); by default the system's.")
    ssl_cert_file: File | None = Field(
        default=None, description="Client certificate (PEM), if the brokers require one."
    )
    ssl_key_file: File | None = Field(default=None, description="Private key of the client certificate (PEM).")


class BatchSettings(_Section):
    """When a batch is sent, and how much may wait in memory."""

    max_events: Count = Field(default=1000, ge=1, le=1000, description="A batch is sent when it has this many events.")
    max_bytes: Count = Field(
        default=900_000, ge=1, description="A batch is sent before its body grows larger than this."
    )
    max_age_seconds: Seconds = Field(
        default=1.0, description="A batch is sent when its oldest event has waited this long."
    )
    max_held_events: Count = Field(default=50_000, ge=1, description="Reading pauses while this many events are held.")
    max_held_bytes: Count = Field(
        default=67_108_864, ge=1, description="Reading pauses while held events take up this many bytes."
    )


class DedupeSettings(_Section):
    """How long and how many accepted ids are remembered."""

    window_seconds: Seconds = Field(default=86_400.0, description="How long an accepted id is remembered.")
    max_ids: Count = Field(default=2_000_000, ge=1, description="How many accepted ids are remembered, 36 bytes each.")


class BillingSettings(_Section):
    """The billing provider."""

    transport: Literal["rest", "mcp"] = Field(default="rest", description="How to reach the provider.")
    base_url: Url = Field(default="http://127.0.0.1:8484", description="The provider's address, without /v1.")
    mcp_url: Url = Field(
        default_factory=lambda data: f"{data['base_url'].removesuffix('/v1/sdk')}/mcp",
        description="The provider's MCP address.",
    )
    secret_key: Secret | None = Field(default=None, description="The provider's secret key.")
    timeout_seconds: Seconds = Field(default=10.0, description="Deadline for a whole request to the provider.")
    max_in_flight: Count = Field(default=4, ge=1, le=64, description="Requests that may be in flight at the same time.")
    unknown_customer_wait_seconds: SecondsOrZero = Field(
        default=300.0, description="How long events of a customer unknown to the provider are retried."
    )
    idempotency_window_seconds: Seconds | None = Field(
        default=None,
        description="How long the provider remembers an idempotency key, if you know; limits `meter replay`.",
    )

    @property
    def plain_secret_key(self) -> str:
        """The key as it is sent; "" when there is none."""
        return "" if self.secret_key is None else self.secret_key.get_secret_value()

    @property
    def provider(self) -> str:
        """The address that the provider is known by in receipts, the same over both transports where both are known."""
        only_mcp = "mcp_url" in self.model_fields_set and "base_url" not in self.model_fields_set
        return self.mcp_url if self.transport == "mcp" and only_mcp else self.base_url


class LimitsSettings(_Section):
    """Answers to "may this customer go on?"."""

    ttl_seconds: SecondsOrZero = Field(default=10.0, description="How long the provider's answer counts as fresh.")
    max_stale_seconds: SecondsOrZero = Field(
        default=60.0, description="How old an answer may be that is used while the provider is unavailable."
    )
    max_entries: Count = Field(default=100_000, ge=1, description="Pairs of customer and product in the cache.")
    on_unavailable: Literal["allow", "deny"] = Field(
        default="allow", description="The answer when the provider is unavailable and no earlier answer can be used."
    )


class HttpSettings(_Section):
    """The daemon's own HTTP server."""

    host: Text = Field(default="127.0.0.1", description="Address to listen on.")
    port: Count = Field(default=8480, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    token: Secret | None = Field(
        default=None, description="Required by /v1/* and /status; must be set unless the host is loopback."
    )

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class RunSettings(_Section):
    """How the process ends."""

    drain_timeout_seconds: Seconds = Field(default=20.0, description="Time to send held events after SIGTERM.")
    stuck_after_seconds: Seconds = Field(
        default=60.0, description="Without progress or a known cause `/healthz` fails within this time."
    )


class LogSettings(_Section):
    """What is written to stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Lowest level shown.")
    format: Literal["auto", "json", "readable"] = Field(
        default="auto", description="`auto`: readable on a terminal, JSON otherwise."
    )


class Settings(_Section):
    """All sections; built by `load`, or directly in tests."""

    kafka: KafkaSettings = KafkaSettings()
    batch: BatchSettings = BatchSettings()
    dedupe: DedupeSettings = DedupeSettings()
    billing: BillingSettings = BillingSettings()
    limits: LimitsSettings = LimitsSettings()
    http: HttpSettings = HttpSettings()
    run: RunSettings = RunSettings()
    log: LogSettings = LogSettings()

    @property
    def lease_seconds(self) -> float:
        """How long after the start of an accepted commit a request may still be started (invariant 5)."""
        return self.kafka.session_timeout_seconds - self.billing.timeout_seconds - LEASE_MARGIN_SECONDS

    @property
    def revocation_deadline_seconds(self) -> float:
        """How long a revocation may take: the longest request, the wait after an unknown outcome, and a margin."""
        return self.billing.timeout_seconds + UNKNOWN_OUTCOME_WAIT_SECONDS + LEASE_MARGIN_SECONDS

    @property
    def take_over_seconds(self) -> float:
        """How long whoever may have been replaced can still be sending, after its partitions were taken over."""
        return self.kafka.session_timeout_seconds if self.kafka.group_instance_id is not None else 0.0

    @property
    def rebalance_timeout_seconds(self) -> float:
        """Longer than a revocation and no shorter than the session, so that nobody is thrown out while finishing."""
        return max(self.kafka.session_timeout_seconds, self.revocation_deadline_seconds + REBALANCE_ROOM_SECONDS)


SECRETS = frozenset({"kafka.sasl_password", "billing.secret_key", "http.token"})
"""The options that are never shown."""


def every_option() -> Iterator[tuple[str, Any]]:
    """(`section.option`, its pydantic FieldInfo) in the order of the documentation."""
    for section, field in Settings.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)  # noqa: S101  # narrows for mypy: every section is a model
        assert issubclass(model, BaseModel)  # noqa: S101  # see above
        for option, info in model.model_fields.items():
            yield f"{section}.{option}", info


def secret_values(settings: Settings) -> list[str]:
    """Every secret in plain text, for the log's redaction and nothing else."""
    found = (settings.kafka.sasl_password, settings.billing.secret_key, settings.http.token)
    return [secret.get_secret_value() for secret in found if secret is not None]
