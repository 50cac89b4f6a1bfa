"""P5 in its real size: a producer of nothing but bad events, the default bounds, and others' good events beside it."""

import random

from meter.pipeline.buffer import BatchLimits
from meter.pipeline.outcome import Rejected
from meter.pipeline.parking import Selection
from meter.pipeline.settlement import DeadLetterWrite
from tests.builders import Driver, record

BAD_EVENTS = 60_000
BAD_CUSTOMERS = tuple(f"cus_bad{number}" for number in range(10))
POLLED = 1000
MAX_HELD_EVENTS = 50_000
LIMIT_SECONDS = 400.0


class Producers:
    """Partition 0 gets the bad ones as fast as they are read, partition 1 ten good ones a second."""

    def __init__(self) -> None:
        self.driver = Driver(
            0,
            1,
            chance=random.Random(5),
            batch=BatchLimits(POLLED, 900_000, 1.0),
            max_held_events=MAX_HELD_EVENTS,
            max_held_bytes=67_108_864,
        )
        self.bad = self.good = 0
        self.states: set[str | None] = set()
        self.until = self.driver.seconds + LIMIT_SECONDS

    def second(self) -> None:
        """What happens in one; the provider answers within a quarter of it, and names the bad events."""
        driver = self.driver
        if self.bad < BAD_EVENTS and 0 not in driver.actions.paused:
            made = range(self.bad, self.bad + POLLED)
            driver.feed(0, *(record(n, f"bad{n}", customerRef=BAD_CUSTOMERS[n % 10]) for n in made))
            self.bad += POLLED
        if 1 not in driver.actions.paused:
            driver.feed(1, *(record(n, f"good{n}") for n in range(self.good, self.good + 10)))
            self.good += 10
        for _ in range(4):
            for _ in range(len(driver.sends)):
                named = {at: "no" for at, one in enumerate(driver.sends[0].events) if one.customer in BAD_CUSTOMERS}
                driver.answer(Rejected(named, "no such field") if named else None)
            self._bury()
            driver.write()
            driver.seconds += 0.24
            driver.step()
            driver.accept_commit()
            self.states.add(driver.machine.gate.paused)
        assert driver.machine.counts.held <= MAX_HELD_EVENTS + POLLED
        assert driver.seconds < self.until, driver.ends()

    def _bury(self) -> None:
        """The dead letters that are due are written, all at once."""
        driver = self.driver
        letters = [write for write in driver.writes if isinstance(write, DeadLetterWrite)]
        driver.writes = [write for write in driver.writes if not isinstance(write, DeadLetterWrite)]
        for letter in letters:
            driver.machine.dead_letter_written(letter.number, driver.now)
        driver.kept.dead += letters
        driver.step()

    def billed_behind(self) -> int:
        """Good events that were made and are not billed yet."""
        return self.good - self.driver.machine.counts.accepted


def test_p5_good_events_go_on_beside_sixty_thousand_bad_ones_that_an_operator_parks() -> None:
    """A mass refusal stops no others for good: they are soon billed as they come, and a filter parks the bad ones."""
    producers = Producers()
    driver, counts = producers.driver, producers.driver.machine.counts
    while counts.accepted < 500 or producers.billed_behind() > 50:
        producers.second()
    assert "mass_refusal" in producers.states
    assert 0 in driver.actions.paused
    while sum(counts.dead_lettered.values()) < BAD_EVENTS:
        driver.machine.park(Selection(customers=frozenset(BAD_CUSTOMERS)), driver.now)
        producers.second()
    while producers.billed_behind() > 50:
        producers.second()
    assert {write.event.record.offset for write in driver.kept.dead if write.event.partition == 0} == set(
        range(BAD_EVENTS)
    )
    assert len(driver.kept.dead) == driver.position(0) == BAD_EVENTS
    assert driver.machine.gate.state() == "ok"
