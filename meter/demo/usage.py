"""What happened at a product service, before anybody wrote it down in a dialect."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

ACTIONS: Final = ("transaction", "api_call", "hour", "email", "storage", "custom")


@dataclass(frozen=True, slots=True)
class Usage:
    """One use of a product; `identity` is the id that its producer gives it."""

    number: int
    identity: str
    customer: str
    product: str
    units: int
    action: str
    outcome: str
    timestamp_seconds: float

    @property
    def time(self) -> str:
        """RFC 3339, UTC, milliseconds."""
        moment = datetime.fromtimestamp(self.timestamp_seconds, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    @property
    def local_time(self) -> str:
        """The same moment as it is written in Stockholm in summer."""
        summer = timezone(timedelta(hours=2))
        return datetime.fromtimestamp(self.timestamp_seconds, summer).isoformat(timespec="milliseconds")


class Written(NamedTuple):
    """A usage as bytes: the value and the headers of a record."""

    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
