"""How a webhook proves where it comes from: the headers of one attempt."""

import hashlib
import hmac
import secrets

USER_AGENT = "SolvaPay/1.0 (+webhooks)"


def headers(secret: str, event_id: str, body: bytes, now: float) -> dict[str, str]:
    """The headers of an attempt at `now` (Unix seconds); each attempt is a delivery of its own."""
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "sv-signature": signature(secret, body, int(now)),
        "sv-event-id": event_id,
        "sv-delivery": f"dlv_{secrets.token_hex(12)}",
    }


def signature(secret: str, body: bytes, timestamp: int) -> str:
    """`t=...,v1=...`: HMAC-SHA256 of `<timestamp>.<body>`; the key is the whole secret, its `whsec_` included."""
    digest = hmac.new(secret.encode(), b"%d.%s" % (timestamp, body), hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"
