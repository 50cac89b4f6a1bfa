"""Whose receipts a configuration writes, and which are therefore its own."""

from meter.pipeline.receipt import Owner
from meter.settings import Settings


def owner_of(settings: Settings) -> Owner:
    """The group at this provider, in the environment of its key."""
    return Owner(settings.kafka.group_id, settings.billing.provider, environment_of(settings.billing.plain_secret_key))


def environment_of(secret_key: str) -> str:
    """The provider's environment that a key belongs to: by its documentation, the key's prefix says so."""
    return "live" if secret_key.startswith("sk_live_") else "sandbox"
