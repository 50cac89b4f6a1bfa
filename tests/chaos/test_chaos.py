"""The short form of `make chaos`: one seed, each process fault and some of the provider's, in about a minute."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.brokers import MakeBroker
from tests.chaos.story import play
from tests.chaos.strikes import PROVIDER, Strikes
from tests.chaos.variants import VARIANTS

SEED = 2026
SHORT = replace(VARIANTS["everything"], events=12_000, times=1)
PROVIDER_KINDS = 6


@pytest.mark.timeout(400)
async def test_every_event_is_billed_once_or_dead_lettered_whatever_breaks(
    own_broker: MakeBroker, tmp_path: Path
) -> None:
    """Nothing is lost, billed twice, billed though invalid or dead-lettered though valid, by topics and rows alone."""
    kinds = [*Strikes.PROCESSES, *random.Random(SEED).sample(list(PROVIDER), PROVIDER_KINDS)]
    result = await play(SEED, SHORT, own_broker(), tmp_path, kinds=kinds)
    assert result.faults == []
    assert all(result.struck[kind] for kind in kinds), result.struck
