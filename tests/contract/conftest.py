"""The run's broker, for suites that run on fakes and on the real thing."""

from tests.integration.conftest import broker

__all__ = ["broker"]
