"""Who calls: takes the key from either header, refuses in the provider's words, and finds the environment."""

import hmac
from collections.abc import Mapping

from meter.sandbox.rest.calls import LIVE, SANDBOX
from meter.sandbox.rest.errors import ProviderError


def authenticate(headers: Mapping[str, str], only_key: str | None) -> int:
    """The environment (SANDBOX or LIVE) that the caller's key opens; header names are looked up in lower case.

    Any non-empty key is good unless `only_key` names the one that is. Raises ProviderError (401).
    """
    key = _key(headers)
    if not key:
        raise ProviderError(401, "Authentication required")
    if only_key is not None and not hmac.compare_digest(key.encode(), only_key.encode()):
        raise rejected(key)
    return environment_of(key)


def environment_of(key: str) -> int:
    """The environment that a key opens, by its prefix."""
    return LIVE if key.startswith("sk_live_") else SANDBOX


def rejected(key: str = "") -> ProviderError:
    """The 401 of a key that is not accepted; something that looks like a signed token is called one."""
    what = "provider token" if key.startswith("eyJ") and key.count(".") == 2 else "secret key"
    return ProviderError(401, f"Invalid or expired {what}")


def _key(headers: Mapping[str, str]) -> str:
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credential.strip():
        return credential.strip()
    return headers.get("x-api-key", "").strip()
