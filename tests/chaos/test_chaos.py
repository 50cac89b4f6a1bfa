"""The short form of `make chaos`: one seed, each fault once, in about a minute. METER_TEST_CHAOS_SEED plays another."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.brokers import MakeBroker
from tests.chaos.story import play
from tests.chaos.variants import VARIANTS

SEED = int(os.environ.get("METER_TEST_CHAOS_SEED", "2026"))
SHORT = replace(VARIANTS["everything"], events=12_000, times=1)


@pytest.mark.timeout(400)
async def test_every_event_is_billed_once_or_dead_lettered_whatever_breaks(
    own_broker: MakeBroker, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Nothing is lost, billed twice, billed though invalid or dead-lettered though valid, by topics and rows alone."""
    result = await play(SEED, SHORT, own_broker(), tmp_path)
    record_property("said", f"chaos, seed {SEED}: {result.seconds:.0f} s")
    assert result.faults == [], f"METER_TEST_CHAOS_SEED={SEED} plays it again"
