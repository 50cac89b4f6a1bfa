"""The provider's own rows: the sandbox can be asked for them, the real provider cannot."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import httpx

from meter.accounting.usage import Row
from meter.errors import Unavailable

PAGE_ROWS = 10_000
TIMEOUT_SECONDS = 30.0


class Provider(Protocol):
    """Whoever may know what was billed."""

    def rows(self) -> AsyncIterator[Sequence[Row]]:
        """Every row, in pages. Raises `Unavailable` with one sentence when it cannot be asked."""


class SandboxRows:
    """The provider at `base_url`, if it is the sandbox."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    async def rows(self) -> AsyncIterator[Sequence[Row]]:
        """As `Provider`."""
        async with httpx.AsyncClient(base_url=self._base_url, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            after = 0
            while True:
                page = await self._page(client, after)
                if not page["usages"]:
                    return
                yield [_row(usage) for usage in page["usages"]]
                after = page["next"]

    async def _page(self, client: httpx.AsyncClient, after: int) -> dict[str, Any]:
        """No key is shown: a provider that is no sandbox is asked for something that it does not have."""
        why = "the provider shows nobody its usage rows"
        try:
            answer = await client.get("/sandbox/usages", params={"after": after, "limit": PAGE_ROWS})
            content = answer.json() if answer.is_success else None
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._base_url} does not answer: {str(error) or type(error).__name__}") from error
        except ValueError as error:
            raise Unavailable(why) from error
        if not isinstance(content, dict) or not {"usages", "next"} <= content.keys():
            raise Unavailable(why)
        return content


def _row(usage: dict[str, Any]) -> Row:
    customer, product = usage.get("customerRef") or "", usage.get("productRef") or ""
    return Row(str(usage.get("idempotencyKey") or ""), str(customer), str(product), int(usage.get("units") or 0))
