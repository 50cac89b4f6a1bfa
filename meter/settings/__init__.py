"""What can be set, where it comes from, and which combinations cannot work.

options.py   every option: its type, its bounds, its default, one line about it
sources.py   file and environment, merged; who said what
checks.py    what no single option can see
load.py      the three together: settings, or every fault at once
"""

from meter.settings.load import load
from meter.settings.options import (
    BatchSettings,
    BillingSettings,
    DedupeSettings,
    HttpSettings,
    KafkaSettings,
    LimitsSettings,
    LogSettings,
    RunSettings,
    Settings,
)

__all__ = [
    "BatchSettings",
    "BillingSettings",
    "DedupeSettings",
    "HttpSettings",
    "KafkaSettings",
    "LimitsSettings",
    "LogSettings",
    "RunSettings",
    "Settings",
    "load",
]
