"""Mistakes that somebody might make in the machine; `mutations.py` puts them into a copy of it, one at a time."""

from typing import NamedTuple


class Edit(NamedTuple):
    """One change: `old` must stand in the file."""

    file: str
    old: str
    new: str


class Mutation(NamedTuple):
    """One mistake that somebody might make."""

    name: str
    edits: tuple[Edit, ...]
    simulation: str = "machine"
    """The one that has to notice it."""


def _one(name: str, file: str, old: str, new: str) -> Mutation:
    return Mutation(name, (Edit(file, old, new),))


MUTATIONS = (
    Mutation(
        "commit before the receipt",
        (
            Edit(
                "machine.py",
                "            self._settlement.accept(batch, answer, now)",
                "            for event in batch.events:\n"
                "                self.counts.accepted += self._end(event.partition, [event], now)\n"
                "            self._settlement.accept(batch, answer, now)",
            ),
            Edit(
                "machine.py",
                "        self.counts.accepted += self._end(receipt.partition, accepted, now)",
                "        pass",
            ),
        ),
    ),
    _one(
        "remember ids at buffering",
        "admission.py",
        "        self._usage.hold(events)",
        "        self._usage.hold(events)\n"
        "        self._window.remember([e.key for e in events], [e.digest for e in events], now.wall_seconds)",
    ),
    _one("forget the epoch", "assignment.py", " if event.epoch == progress.epoch]", "]"),
    _one(
        "the highest end instead of the contiguous prefix",
        "offsets.py",
        "return self._order[0] if self._order else self.position",
        "return max(self._ended) + 1 if self._ended else self._order[0] if self._order else self.position",
    ),
    Mutation(
        "a copy of a held id counts as a duplicate at once",
        (
            Edit(
                "admission.py",
                "        self._take_turn(self._holding.claim(new), now)",
                "        mine = self._holding.claim(new)\n"
                "        copies = [event for event in new if event not in mine]\n"
                "        self._settlement.duplicates(partition, copies, now.steady_seconds)\n"
                "        self._take_turn(mine, now)",
            ),
            Edit("holding.py", "self._copies.setdefault(event.key, deque()).append(event)", "pass"),
        ),
    ),
    _one(
        "send without a lease",
        "lease.py",
        "return self._waits_until <= steady_seconds < self._lease_until",
        "return self._waits_until <= steady_seconds",
    ),
    _one(
        "send while a replaced member still may",
        "lease.py",
        "return self._waits_until <= steady_seconds < self._lease_until",
        "return steady_seconds < self._lease_until",
    ),
    _one(
        "partitions are given back while an earlier owner may send",
        "machine.py",
        "self._is_handing_over and no_other and self.is_quiet(now)",
        "self._is_handing_over and self.is_quiet(now)",
    ),
    _one(
        "the lease runs from the commit's answer",
        "lease.py",
        "self._lease_until = self._started_at + self._lease_seconds",
        "self._lease_until = steady_seconds + 2 * self._lease_seconds",
    ),
    Mutation(
        "a dead letter ends its event before it is acknowledged",
        (
            Edit(
                "machine.py",
                "        commit = self._commit(now)\n",
                "        for letter in writes.dead_letters:\n"
                "            if letter.failures == 0 and self._end(letter.event.partition, [letter.event], now):\n"
                "                self.counts.dead_letter(letter.reason)\n"
                "        commit = self._commit(now)\n",
            ),
            Edit("machine.py", "if self._end(write.event.partition, [write.event], now):", "if False:"),
        ),
    ),
    _one(
        "a key is free at once after an unknown outcome",
        "queue.py",
        "if batch.cool_at > steady_seconds:",
        "if False:",
    ),
    _one(
        "a retry does not wait two seconds after an unknown outcome",
        "retry.py",
        "return max(wait, UNKNOWN_OUTCOME_PAUSE_SECONDS) if outcome_unknown else wait",
        "return wait",
    ),
    Mutation(
        "keys in flight are forgotten on revocation",
        (
            Edit("holding.py", "self._keys.remove(key)", "self._keys.discard(key)"),
            Edit("holding.py", "        if len(self._keys) != left:\n", "        if False:\n"),
            Edit(
                "machine.py",
                "        self._holding.take_copies(",
                "        self._holding._keys.clear()\n        self._holding.take_copies(",
            ),
        ),
    ),
    _one(
        "a refused event is dead-lettered without another's acceptance",
        "refusals.py",
        "return refusal.refused_at < self._accepted_from",
        "return True",
    ),
    _one(
        "an earlier acceptance is enough to dead-letter",
        "refusals.py",
        "return refusal.refused_at < self._accepted_from",
        "return self._accepted_from > 0",
    ),
    _one(
        "a retry is mixed with new events",
        "dispatch.py",
        "            if batch.events:\n",
        "            batch.events += self._buffer.take(1) if batch.failures and len(self._buffer) else []\n"
        "            if batch.events:\n",
    ),
    _one("other people's receipts count", "machine.py", "if receipt.owner == self._options.owner:", "if True:"),
    Mutation(
        "duplicates end without a receipt",
        (
            Edit(
                "admission.py",
                "        self._settlement.duplicates(partition, copies, now.steady_seconds)\n        new =",
                "        self.copies = copies\n        new =",
            ),
            Edit(
                "machine.py",
                "        self._admission.admit(partition, events, now)\n",
                "        self._admission.admit(partition, events, now)\n"
                "        self.counts.duplicate += self._end(partition, self._admission.copies, now)\n",
            ),
        ),
    ),
    _one(
        "a hand-over does not wait",
        "machine.py",
        "return self._dispatch.is_quiet(now.steady_seconds) and self._settlement.is_quiet()",
        "return True",
    ),
    _one(
        "a hand-over does not wait for late inserts",
        "dispatch.py",
        "return not self._in_flight and not self._queue.inserting(steady_seconds)",
        "return not self._in_flight",
    ),
    _one(
        "a waiting copy is swallowed when its original is rejected",
        "admission.py",
        "            if copy is not None:\n",
        "            if copy is not None and not event.attempts:\n",
    ),
    _one(
        "receipts of an older assignment are dropped",
        "dispatch.py",
        "self._verdicts.accepted.append((batch, outcome))",
        "self._verdicts.accepted.extend([(batch, outcome)] if batch.events[0].epoch in self._live else [])",
    ),
    _one(
        "released copies go on waiting",
        "machine.py",
        "        self._holding.take_copies(lambda copy: copy.epoch in epochs)\n",
        "",
    ),
    _one(
        "the note points past receipts above the commit",
        "offsets.py",
        "return min([*self._receipts, *waiting], default=self._next_receipt)",
        "return self._next_receipt",
    ),
    _one(
        "ends of released events are written until somebody takes them",
        "settlement.py",
        "        if not self._is_wanted(write):\n            return write\n",
        "",
    ),
    _one(
        "a conflict frees the key of the event that was billed",
        "admission.py",
        "CONFLICT, detail, owns_key=False",
        "CONFLICT, detail",
    ),
    _one(
        "a copy that an operator parks frees the key of the event that it waited for",
        "parking.py",
        "PARKED, detail, owns_key=False",
        "PARKED, detail",
    ),
    _one(
        "wishes for events that have ended are kept",
        "parking.py",
        "        self._wished.intersection_update(_place(event) for event, _ in held.left_behind())\n",
        "",
    ),
    _one(
        "released units stay pending",
        "admission.py",
        "            self._usage.leave((event,), sent=event.attempts > 0)\n",
        "",
    ),
    _one(
        "a wake-up is due already",
        "dispatch.py",
        "return max(self._turns.next_due(), self.gate.opens_at)",
        "return self._turns.next_due()",
    ),
    _one(
        "an unacknowledged receipt does not count in the note",
        "offsets.py",
        "min([*self._receipts, *waiting]",
        "min([*self._receipts]",
    ),
    _one(
        "of two receipts told at one place only the later counts in the note",
        "offsets.py",
        "max(highest_offset, self._receipts.get(receipts_offset, highest_offset))",
        "highest_offset",
    ),
    _one(
        "receipts of an earlier process do not count in the note",
        "assignment.py",
        "            progress.receipt_read(receipts_offset, max(offsets))\n",
        "",
    ),
    _one(
        "what has ended behind refused events keeps new ones out",
        "assignment.py",
        "load = max(held / REFUSED_ALLOWANCE, (load - held) / ENDED_ALLOWANCE)",
        "load /= REFUSED_ALLOWANCE",
    ),
    _one(
        "nobody is woken for what an operator wants parked",
        "dispatch.py",
        "return min(self._wishes.next_due(), ",
        "return min(float('inf'), ",
    ),
    _one(
        "nothing is paused at the bound",
        "assignment.py",
        "return self._unfilled | self._full | blocked",
        "return self._unfilled | blocked",
    ),
)
