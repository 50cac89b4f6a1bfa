"""Where nobody knows what the provider does: the sandbox's guess for each, and how to make it guess otherwise.

Read from the `[sandbox]` table of a TOML file, then from `METER_SANDBOX__<KNOB>` variables, which win.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from meter.sandbox.bookkeeping.counting import Counting
from meter.sandbox.webhooks.delivery import Manner
from meter.sandbox.webhooks.endpoints import is_url

PREFIX = "METER_SANDBOX__"
Outcome = Literal["success", "paywall", "fail"]


class Knobs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every knob with its default.

    strict_customer          usage of an unknown customer is a 404 for the whole call, instead of a skipped debit
    strict_names             parameter names of earlier versions are not accepted
    accept_offsets           timestamps may have an offset instead of `Z`
    key_life_seconds         how long an idempotency key is known; 0 is forever
    inserted_counts          what `inserted` counts in a bulk answer: all results, or only new rows
    allow_negative_credits   debits go on below zero
    pending_activation       a plan that waits for credits is remembered; otherwise `/activate` leaves no purchase
    limit_counts             what an allowance counts: units, or events regardless of their units
    limit_outcomes           which outcomes count
    limit_scope              whose usage counts: that of the product, or all of the customer's
    limit_period             `month`: calendar months; `anniversary`: from the purchase; `30_days`: 30 days from it
    bare_object              tools answer with the object itself, instead of an envelope around it
    unlimited_remaining      what `remaining` is if there is no limit
    low_balance_credits      a debit that leaves at most this many credits is announced; 0: never
    webhook_url              where events go from the start, besides endpoints created over REST
    webhook_secret           what they are signed with
    webhook_events           which events go there; an empty list is all
    webhook_time_scale       what the waits between attempts (5 minutes to 72 hours) are multiplied by
    webhook_lag_seconds      events go out only every so many seconds, 20 at a time; the provider uses 30
    webhook_delay_seconds    each event waits for a random part of this
    webhook_shuffle          events that are due together go out in any order
    webhook_duplicates       the share of events that is delivered twice
    """

    strict_customer: bool = False
    strict_names: bool = False
    accept_offsets: bool = False
    key_life_seconds: Annotated[float, msgspec.Meta(ge=0)] = 0
    inserted_counts: Literal["results", "new"] = "results"
    allow_negative_credits: bool = False
    pending_activation: bool = True
    limit_counts: Literal["units", "events"] = "units"
    limit_outcomes: tuple[Outcome, ...] = ("success",)
    limit_scope: Literal["product", "customer"] = "product"
    limit_period: Literal["month", "anniversary", "30_days"] = "month"
    bare_object: bool = False
    unlimited_remaining: Annotated[int, msgspec.Meta(ge=1, le=2**53)] = 999_999
    low_balance_credits: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    webhook_url: str = ""
    webhook_secret: Annotated[str, msgspec.Meta(min_length=1)] = "whsec_sandbox"  # noqa: S105  # public, for tests
    webhook_events: tuple[str, ...] = ()
    webhook_time_scale: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    webhook_lag_seconds: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 0.0
    webhook_delay_seconds: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 0.0
    webhook_shuffle: bool = False
    webhook_duplicates: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0

    @property
    def counting(self) -> Counting:
        """The knobs that the store must know."""
        return Counting(self.limit_counts, frozenset(self.limit_outcomes), self.limit_scope, self.limit_period)

    @property
    def webhooks(self) -> Manner:
        """The knobs that the delivery of webhooks must know."""
        return Manner(self.webhook_time_scale, self.webhook_lag_seconds, self.webhook_shuffle, self.webhook_duplicates)


class BadKnobsError(Exception):
    """A knob that does not exist or cannot be turned so; says which and why."""


USUAL = Knobs()


def read_knobs(file: Path | None, environ: Mapping[str, str]) -> Knobs:
    """The knobs of file and environment. Raises BadKnobsError for the first that is wrong."""
    given: dict[str, object] = dict(_table(file)) if file is not None else {}
    for name, text in environ.items():
        if name.startswith(PREFIX) and text:
            knob = name.removeprefix(PREFIX).lower()
            given[knob] = text if isinstance(getattr(USUAL, knob, None), str) else _value(text)
    try:
        knobs = msgspec.convert(given, Knobs)
    except msgspec.ValidationError as error:
        raise BadKnobsError(f"[sandbox]: {error}") from error
    if knobs.webhook_url and not is_url(knobs.webhook_url):
        raise BadKnobsError(f"[sandbox]: webhook_url is no http or https address: {knobs.webhook_url!r}")
    return knobs


def _table(file: Path) -> Mapping[str, Any]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("sandbox", {})
    except OSError as error:
        raise BadKnobsError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # not TOML, not UTF-8
        raise BadKnobsError(f"{file} is not valid TOML: {error}") from error
    if not isinstance(table, dict):
        raise BadKnobsError(f"{file}: sandbox is a section: write [sandbox] and its knobs below it")
    return table


def _value(text: str) -> object:
    """The value that a variable's text stands for: JSON where it is some (true, 5, ["success"]), else itself."""
    try:
        return msgspec.json.decode(text)
    except ValueError:
        return text
