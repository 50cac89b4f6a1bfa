"""How the demo sets up its three programs."""

from pathlib import Path

import pytest

from meter.demo.processes import Installation, clean_environment
from meter.settings import load


@pytest.mark.parametrize("transport", ["rest", "mcp"])
def test_the_configuration_of_the_demo_is_a_good_one(tmp_path: Path, transport: str) -> None:
    """`meter run`, and the commands that `--keep` suggests, read the same file."""
    here = Installation(tmp_path, transport)
    settings = load(here.config_file, {}, needs_secret_key=True)
    assert settings.kafka.bootstrap_servers == here.bootstrap_servers
    assert str(settings.billing.base_url) == here.sandbox_url
    assert (settings.billing.transport, settings.billing.mcp_url) == (transport, f"{here.sandbox_url}/mcp")
    assert here.meter_url.endswith(f":{settings.http.port}")


def test_settings_of_the_users_own_meter_do_not_reach_the_demo() -> None:
    """Their provider would be billed for the demo's events."""
    environ = {"METER_BILLING__BASE_URL": "https://real.example", "SOLVAPAY_SECRET_KEY": "sk_live_1", "HOME": "/root"}
    words = clean_environment(environ)
    assert words == ["/usr/bin/env", "-u", "METER_BILLING__BASE_URL", "-u", "SOLVAPAY_SECRET_KEY"]
