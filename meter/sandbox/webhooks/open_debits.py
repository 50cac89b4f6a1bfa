"""Debits that nobody has begun to send: further ones of the same customer are added to them.

A busy customer is debited with every call, much more often than webhooks go out. So what waits is at most a debit a
customer, however long the receiver takes; it is not added to once anything else was told of the customer.
"""

from typing import NamedTuple

from meter.sandbox.webhooks.events import DEBITED, Event


class OpenDebit(NamedTuple):
    """A debit in the outbox; `event` is what it tells so far."""

    row: int
    event_id: str
    event: Event


class OpenDebits:
    """The open debits of every endpoint and customer, in memory: after a restart none is open."""

    def __init__(self) -> None:
        self._debits: dict[tuple[str, str], OpenDebit] = {}
        self._names: dict[int, tuple[str, str]] = {}

    def grown(self, endpoint: str, event: Event) -> OpenDebit | None:
        """The open debit that takes the event in, with the sum of both; None when there is none.

        Any other event about the customer closes what is open.
        """
        name = (endpoint, _customer(event))
        debit = self._debits.get(name)
        if debit is None:
            return None
        if event.type != DEBITED:
            self.close(debit.row)
            return None
        amount = debit.event.object["amount"] + event.object["amount"]
        both = event._replace(object={**event.object, "amount": amount})
        self._debits[name] = debit._replace(event=both)
        return self._debits[name]

    def open(self, endpoint: str, row: int, event_id: str, event: Event) -> None:
        """A new row; only a debit is open."""
        if event.type == DEBITED:
            name = (endpoint, _customer(event))
            self._debits[name] = OpenDebit(row, event_id, event)
            self._names[row] = name

    def close(self, row: int) -> None:
        """Somebody begins to send the row."""
        name = self._names.pop(row, None)
        if name is not None:
            del self._debits[name]

    def clear(self) -> None:
        """None is open any more."""
        self._debits.clear()
        self._names.clear()


def _customer(event: Event) -> str:
    return str(event.object.get("customerId") or event.object.get("customer"))
