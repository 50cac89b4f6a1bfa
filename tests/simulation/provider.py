"""A provider that looks keys up without a lock: two overlapping requests with one key insert it twice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meter.pipeline.batch import Batch
from meter.pipeline.event import UsageEvent
from meter.pipeline.outcome import (
    Accepted,
    NotSent,
    Outcome,
    Refusal,
    Refused,
    Rejected,
    TooLarge,
    TryAgain,
    UnknownCustomer,
)

BAD_CUSTOMERS = ("cus_bad", "cus_worse")
NEW_CUSTOMER = "cus_new"
CREATED_AT_SECONDS = 300.0
"""When the new customer comes into being: usage overtakes it."""
STILL_INSERTING_SECONDS = 2.0
UNLOCKED = "provider: inserted what was looked up before, without a lock"
"""How often another request with the same keys would have been billed twice: none may come in between."""
NOTHING_DONE: Mapping[str, Outcome] = {
    "unauthorized": Refused(Refusal.UNAUTHORIZED, "bad key"),
    "busy": TryAgain("status 503", outcome_unknown=False),
    "not_sent": NotSent(),
}


@dataclass(eq=False)
class Request:
    """One bulk call under way; `missing` are the keys that were not there when it was looked up."""

    member: int
    batch: str
    keys: Sequence[str]
    customers: Sequence[str]
    missing: frozenset[str]
    started: float


@dataclass
class Provider:
    """Rows by key, requests under way, and inserts that go on after the client has gone."""

    rows: Counter[str] = field(default_factory=Counter)
    requests: list[Request] = field(default_factory=list)
    late: list[tuple[float, Request]] = field(default_factory=list)
    uncertain: dict[str, float] = field(default_factory=dict)
    together: dict[UsageEvent, frozenset[UsageEvent]] = field(default_factory=dict)
    refused_at: dict[tuple[int, str], float] = field(default_factory=dict)
    """When each member was last refused each key: one that wakes up judges by what it has heard itself."""
    unlocked_total: int = 0
    """Requests that were inserted later than their keys were looked up: another could have come in between."""
    accepted_from: float = float("-inf")  # the latest start of a request that was accepted

    def receive(self, member: int, batch: Batch, now: float) -> None:
        """A batch arrives; a retry has the same members as before."""
        members = frozenset(batch.events)
        for event in batch.events:
            assert members <= self.together.get(event, members), "a retry was mixed with other events"
            self.together[event] = members
        keys = [event.key for event in batch.events]
        self.take(member, batch.name, keys, [event.customer for event in batch.events], now)

    def take(self, member: int, batch: str, keys: Sequence[str], customers: Sequence[str], now: float) -> Request:
        """A request arrives. Invariant 4: none of its keys is under way or may still be being inserted."""
        under_way = {key for request in self.requests for key in request.keys}
        assert not under_way.intersection(keys), "a key is in flight twice"
        soon = [key for key in keys if self.uncertain.get(key, 0.0) > now]
        assert not soon, f"sent again within 2 s of an unknown outcome: {soon}"
        assert len(keys) == len(set(keys)), "a key twice in one request"
        missing = frozenset(key for key in keys if not self.rows[key])
        self.requests.append(Request(member, batch, keys, customers, missing, now))
        return self.requests[-1]

    def answer(self, request: Request, how: str, now: float) -> Outcome:
        """Ends the request in one of the ways in which a provider can."""
        self.requests.remove(request)
        bad = {i: "refused" for i, customer in enumerate(request.customers) if customer in BAD_CUSTOMERS}
        if how in ("ok", "cut_after", "late"):
            if bad:
                return self._refuse(request, Rejected(bad if len(bad) % 2 else {}, "validation"), now)
            if NEW_CUSTOMER in request.customers and now < CREATED_AT_SECONDS:
                return self._refuse(request, UnknownCustomer("Customer not found"), now)
        if how == "ok":
            self.accepted_from = max(self.accepted_from, request.started)
            return self._insert(request, now)
        if how == "cut_after":
            self._insert(request, now)
        if how == "late":
            self.late.append((now + STILL_INSERTING_SECONDS * 0.9, request))
        if how in NOTHING_DONE:
            return NOTHING_DONE[how]
        if how == "too_large" and len(request.keys) > 1:
            return TooLarge()
        self.uncertain.update(dict.fromkeys(request.keys, now + STILL_INSERTING_SECONDS))
        return TryAgain("timeout", outcome_unknown=True)

    def pass_time(self, now: float) -> None:
        """Inserts whose client has gone happen when their time has come."""
        due = [request for when, request in self.late if when <= now]
        self.late = [(when, request) for when, request in self.late if when > now]
        for request in due:
            self._insert(request, now)

    def next_late(self) -> float:
        """When the next of these inserts happens."""
        return min((when for when, _ in self.late), default=float("inf"))

    def _refuse(self, request: Request, outcome: Outcome, now: float) -> Outcome:
        self.refused_at.update({(request.member, key): now for key in request.keys})
        return outcome

    def _insert(self, request: Request, now: float) -> Accepted:
        self.unlocked_total += now > request.started
        for key in set(request.keys):
            if key in request.missing:
                self.rows[key] += 1
                assert self.rows[key] == 1, f"billed twice: {key}"
        undebited = {i: "duplicate" for i, key in enumerate(request.keys) if key not in request.missing}
        return Accepted([f"usage_{key}" for key in request.keys], undebited)
