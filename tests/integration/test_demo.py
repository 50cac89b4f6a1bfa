"""The demo as a user starts it, with fewer events."""

import subprocess

import pytest

from tests.commands import METER, environment


@pytest.mark.timeout(240)
def test_a_short_demo_is_killed_half_way_and_balances_its_books() -> None:
    """Exit 0 and one verdict line, after a SIGKILL while events were held and a "no" from the limits."""
    told = subprocess.run(
        [*METER, "demo", "--events", "4000"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "SIGKILL: meter is gone; it held " in told.stdout
    assert 'limits: "no" on the free plan' in told.stdout
    audit, verdict = told.stdout.splitlines()[-2:]
    assert audit.startswith("meter audit: every one of 4,000 offsets has exactly one end (")
    assert "; the provider has the same 3,860 events and " in audit
    assert verdict.startswith("OK  3,860 events billed exactly once, 20 invalid ones in the dead letters")
    assert "\x1b" not in told.stdout, "piped output has control characters"
