"""The billing provider over REST: a batch or a limits question is the body of a request, as it is."""

from collections.abc import Mapping, Sequence

import httpx
import msgspec

from meter.billing.calling import Answer, Call, address, common_headers, joined
from meter.billing.exchange import Target
from meter.billing.reply import Reply

_PREFIX = "/v1/sdk"


class RestFraming:
    """The provider's REST interface. Raises BadConfiguration for an address or a key that no request can carry."""

    unasked_fields: frozenset[str] = frozenset()

    def __init__(self, base_url: str, secret_key: str) -> None:
        self.secret_key = secret_key
        root = base_url.rstrip("/")
        root = root if root.endswith(_PREFIX) else root + _PREFIX
        address("billing.base_url", root)
        said = {"Authorization": f"Bearer {secret_key}", "Accept": "application/json"}
        headers = common_headers(secret_key) | said
        self._bulk = Target(httpx.URL(f"{root}/usages/bulk"), headers)
        self._limits = Target(httpx.URL(f"{root}/limits"), headers)

    def bulk(self, bodies: Sequence[bytes]) -> Call:
        return Call(self._bulk, joined(b'{"events":[', bodies, b"]}"))

    def limits(self, request: Mapping[str, object]) -> Call:
        return Call(self._limits, msgspec.json.encode(request))

    def read(self, reply: Reply) -> Answer:
        return Answer(reply.status, reply.body)
