"""What is written to stderr: named events with keys, readable or as JSON, never with a secret in them."""

import logging
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from meter.settings import LogSettings

HARMLESS = (
    "GroupCoordinatorNotAvailableError",  # the broker is making its offsets topic
    "CoordinatorLoadInProgress",
    "because it is rebalancing",
    "is not available during auto-create initialization",
)
"""What aiokafka complains about while it does what it should."""

REPEAT_AFTER_SECONDS = 60.0
"""A library that tries again ten times a second says so once a minute."""


MOST_REMEMBERED = 1000


def configure(log: LogSettings, secrets: Iterable[str], stream: TextIO | None = None) -> None:
    """Send our events, and the libraries' warnings, to `stream` (stderr); may be called again."""
    stream = sys.stderr if stream is None else stream
    readable = log.format == "readable" or (log.format == "auto" and stream.isatty())
    level = logging.getLevelNamesMapping()[log.level.upper()]
    before: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        _Redaction(secrets),
    ]
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_meter_logger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *before],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _in_order,
            _readable(stream) if readable else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )
    _install(formatter, stream, level)


def _meter_logger(*_: object) -> logging.Logger:
    return logging.getLogger("meter")


def _readable(stream: TextIO) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(),
        exception_formatter=structlog.dev.plain_traceback,
        timestamp_key="at",
        pad_event_to=28,
    )


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """When, how bad and what come first: people read JSON lines too."""
    return {**{key: event[key] for key in ("at", "level", "event") if key in event}, **event}


def _install(formatter: logging.Formatter, stream: TextIO, level: int) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(LibraryChatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("meter").setLevel(level)


class LibraryChatter(logging.Filter):
    """Drops what is harmless, and what a library said in the same words less than a minute ago."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if record.name == "meter" or not isinstance(record.msg, str):
            return True
        if record.name == "asyncio" and _is_forsaken_by_aiokafka(record):
            return False
        if record.name.startswith("aiokafka"):
            if any(words in record.getMessage() for words in HARMLESS):
                return False
            if record.levelno > logging.WARNING:  # it tries again by itself; what somebody must act on is ours to say
                record.levelno, record.levelname = logging.WARNING, "WARNING"
        words = (record.name, record.msg)  # the template: its arguments differ from try to try
        if record.created - self._said.get(words, 0.0) < REPEAT_AFTER_SECONDS:
            return False
        if len(self._said) >= MOST_REMEMBERED:  # a library that puts its arguments into the template
            self._said.clear()
        self._said[words] = record.created
        return True


def _is_forsaken_by_aiokafka(record: logging.LogRecord) -> bool:
    """It shields its requests from whoever no longer waits for them, and does not look at how they end."""
    said = record.getMessage()
    return "exception was never retrieved" in said and "/aiokafka/" in said


class _Redaction:
    """Replaces every configured secret, wherever in an event it stands."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # Longest first: one secret may be a part of another.
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: value if key.startswith("_") else self._clean(value) for key, value in event.items()}

    def _clean(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {str(self._clean(key)): self._clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(item) for item in value]
        text = _as_text(value)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
