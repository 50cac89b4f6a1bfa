"""`meter explain`: finds every trace of one event in the source topic, the receipts and the dead letters."""

from collections import defaultdict
from collections.abc import Mapping

from meter.accounting.letters import Letter, read_letter
from meter.accounting.reading import Progress, Topics, read_ranges, read_receipts, read_whole
from meter.accounting.trace import Content, Explanation, Facts, Receipted, Redriven
from meter.accounting.trail import Trail
from meter.errors import CommandFailed
from meter.pipeline import identity
from meter.pipeline.event import Origin, Record, UsageEvent, read_back
from meter.pipeline.place import Place, place_of
from meter.pipeline.receipt import Receipt
from meter.pipeline.start import Bounds


async def explain(topics: Topics, trail: Trail, asked: str, progress: Progress) -> Explanation:
    """What became of the event with this key or at this place.

    Raises `CommandFailed` when nothing that is kept tells of it, `Unavailable`.
    """
    return await _Search(topics, trail, asked, progress).run()


class _Search:
    """One search, from the place or the key to everything else."""

    def __init__(self, topics: Topics, trail: Trail, asked: str, progress: Progress) -> None:
        self._topics = topics
        self._trail = trail
        self._asked = asked
        self._progress = progress
        place = place_of(asked)
        self._place = place if place is not None and place.topic == trail.topic else None
        self._key = "" if self._place is not None else identity.fit(asked)
        self._records: dict[Place, Facts] = {}

    async def run(self) -> Explanation:
        """The traces, cheapest first: the whole source topic is read only when nothing else tells where to look."""
        bounds = await self._bounds()
        commits = await self._topics.committed(self._trail.owner.group, self._trail.topic)
        committed = {partition: commit.offset for partition, commit in commits.items()}
        if self._place is not None:
            await self._read_record(self._place, bounds)
        await self._search_receipts()
        await self._search_letters()
        if self._key:
            await self._search_source({p: _above(log, committed.get(p, 0)) for p, log in bounds.items()})
            if not self._records:
                await self._search_source(bounds)
        for place in list(self._records):
            await self._read_record(place, bounds)
        if not self._records:
            raise CommandFailed(f"no trace of {self._asked} in the topics")
        for place, facts in self._records.items():
            if place.partition in committed:
                facts.is_committed = place.offset < committed[place.partition]
        return Explanation(self._asked, self._key, [self._records[place] for place in sorted(self._records)])

    async def _bounds(self) -> Mapping[int, Bounds]:
        topic = self._trail.topic
        partitions = await self._topics.partitions(topic)
        if not partitions:
            raise CommandFailed(f"topic {topic} does not exist: check kafka.topic")
        return await self._topics.bounds(topic, partitions)

    async def _read_record(self, place: Place, bounds: Mapping[int, Bounds]) -> None:
        """The record itself, if the topic still has it; an event's key is learned from its own place."""
        log = bounds.get(place.partition)
        if log is None or not log.beginning <= place.offset < log.end:
            return
        record = await self._topics.record_at(*place)
        if record is not None:
            self._note_record(place, record)

    def _note_record(self, place: Place, record: Record) -> None:
        event = read_back(record, Origin(self._topics.cluster_id, place.topic, place.partition))
        if place == self._place and not self._key:
            self._key = event.key
        if event.key != self._key:
            return  # another topic's offset under the same name, long ago
        facts = self._facts(place)
        facts.is_kept, facts.recorded_milliseconds = True, record.timestamp or 0
        if isinstance(event, UsageEvent):
            facts.content = Content(event.customer, event.product, event.units)

    async def _search_receipts(self) -> None:
        """By key; by place first where no record tells the key any more."""
        if not self._key:
            await self._read_receipts()
        if self._key:
            await self._read_receipts()

    async def _read_receipts(self) -> None:
        topic, by_key = self._trail.receipts_topic, bool(self._key)
        async for place, found in read_receipts(self._topics, topic, self._progress):
            if found.owner == self._trail.owner:
                self._note_receipt(place, found, by_key=by_key)

    def _note_receipt(self, found: Place, receipt: Receipt, *, by_key: bool) -> None:
        if not by_key:
            place = self._place
            if place is not None and receipt.partition == place.partition and place.offset in receipt.offsets:
                self._key = receipt.keys[list(receipt.offsets).index(place.offset)]
            return
        if self._key not in receipt.keys:
            return
        for index, key in enumerate(receipt.keys):
            if key == self._key:
                place = Place(self._trail.topic, receipt.partition, receipt.offsets[index])
                undebited = receipt.undebited.get(str(index), "")
                named = (key, receipt.ends[index], receipt.batch, receipt.at, receipt.references[index], undebited)
                self._facts(place).receipts.append(Receipted(found, *named))

    async def _search_letters(self) -> None:
        topic = self._trail.dead_letter_topic
        notes: defaultdict[str, dict[int, Redriven]] = defaultdict(dict)
        async for partition, records in read_whole(self._topics, topic, "dead letters", self._progress):
            for record in records:
                letter = read_letter(Place(topic, partition, record.offset), record.headers, record.value)
                if letter.is_note:
                    notes[letter.origin][letter.redrives] = Redriven(letter.at, letter.key)
                elif self._is_meant(letter):
                    self._note_letter(letter)
        for facts in self._records.values():
            past = {(letter.origin, letter.redrives + 1) for letter in facts.letters}
            facts.redriven = [notes[origin][number] for origin, number in sorted(past) if number in notes[origin]]

    def _is_meant(self, letter: Letter) -> bool:
        wanted = str(self._place) if self._place is not None else self._asked
        return wanted in (letter.origin, letter.died) or bool(self._key and letter.key == self._key)

    def _note_letter(self, letter: Letter) -> None:
        died = place_of(letter.died)
        if died is not None and died.topic == self._trail.topic:
            self._key = self._key or letter.key
            self._facts(died).letters.append(letter)

    async def _search_source(self, ranges: Mapping[int, Bounds]) -> None:
        topic = self._trail.topic
        async for partition, records in read_ranges(self._topics, topic, ranges, "the source", self._progress):
            origin = Origin(self._topics.cluster_id, topic, partition)
            for record in records:
                if read_back(record, origin).key == self._key:
                    self._note_record(Place(topic, partition, record.offset), record)

    def _facts(self, place: Place) -> Facts:
        return self._records.setdefault(place, Facts(place))


def _above(log: Bounds, committed: int) -> Bounds:
    return Bounds(min(max(log.beginning, committed), log.end), log.end)
