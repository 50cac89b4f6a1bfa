"""Topics that are known to the last record, to be looked back at: what `Archive` is on the real broker."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from meter.accounting.trail import Trail
from meter.pipeline.event import Record
from meter.pipeline.receipt import Owner, Receipt, encode
from meter.pipeline.start import Bounds, CommitNote, Committed, encode_note
from tests.records import FakeRecord, as_json

OWNER = Owner("meter", "http://provider", "sandbox")
TRAIL = Trail("t", "t-receipts", "t-dead-letters", OWNER)


class KeptTopics:
    """`t` with its receipts and dead letters, one partition each, and the group's commit."""

    cluster_id = "cluster-1"

    def __init__(self, committed: int, note: CommitNote | None = None) -> None:
        self.logs: dict[str, list[FakeRecord]] = {"t": [], "t-receipts": [], "t-dead-letters": []}
        self._committed = Committed(committed, encode_note(note or CommitNote()))

    def add(self, topic: str, value: bytes | None, *headers: tuple[str, bytes], key: bytes | None = None) -> int:
        log = self.logs[topic]
        log.append(FakeRecord(value, headers, offset=len(log), key=key))
        return len(log) - 1

    def event(self, key: str, units: int = 1, customer: str = "cus_1", product: str = "") -> int:
        of = {"productRef": product} if product else {}
        return self.add("t", as_json({"customerRef": customer, **of, "units": units, "idempotencyKey": key}))

    def commit(self, offset: int) -> None:
        self._committed = self._committed._replace(offset=offset)

    def receipt(
        self, ends: Mapping[int, tuple[str, str]], owner: Owner = OWNER, at: float = 0.0, **more: object
    ) -> None:
        keys, letters = [key for key, _ in ends.values()], "".join(end for _, end in ends.values())
        receipt = Receipt(1, *owner, 0, "b", at, list(ends), keys, letters, keys, [0] * len(keys), **more)  # type: ignore[arg-type]  # `undebited` alone
        self.add("t-receipts", encode(receipt))

    def dead_letter(self, origin: int, key: str = "", *more: tuple[str, bytes], reason: str = "rejected") -> None:
        said = {"meter-origin": f"t:0:{origin}", "meter-reason": reason, "meter-key": key}
        self.add("t-dead-letters", b"x", *((name, text.encode()) for name, text in said.items()), *more)

    async def partitions(self, topic: str) -> Sequence[int]:
        return [0] if topic in self.logs else []

    async def bounds(self, topic: str, partitions: Iterable[int]) -> Mapping[int, Bounds]:
        return {number: Bounds(0, len(self.logs[topic])) for number in partitions}

    async def offsets_at(self, topic: str, partitions: Iterable[int], wall_seconds: float) -> Mapping[int, int]:
        return {number: int(wall_seconds) for number in partitions if wall_seconds < len(self.logs[topic])}

    async def committed(self, group: str, topic: str) -> Mapping[int, Committed]:
        return {0: self._committed}

    async def read(self, topic: str, ranges: Mapping[int, Bounds]) -> AsyncIterator[tuple[int, Sequence[Record]]]:
        for partition, bounds in ranges.items():
            yield partition, self.logs[topic][bounds.beginning : bounds.end]

    async def record_at(self, topic: str, partition: int, offset: int) -> Record | None:
        log = self.logs[topic]
        return log[offset] if offset < len(log) else None
