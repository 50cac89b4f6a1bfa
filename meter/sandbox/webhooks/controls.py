"""`/sandbox/webhooks`: what was delivered, and how to hurry it.

GET  /sandbox/webhooks?after=&limit=       {"endpoints": [...], "deliveries": [...], "next": n}
POST /sandbox/webhooks/send                everything that waits is due now; {"deliveries": [n, ...]}: those, once more
POST /sandbox/webhooks/{endpoint}/enable   an endpoint that was disabled gets events again
"""

from typing import Any

import msgspec

from meter.sandbox.rest.calls import Answer, Call, Handler
from meter.sandbox.rest.errors import ProviderError, iso
from meter.sandbox.rest.paging import whole_number
from meter.sandbox.rest.shapes import Reading, custom
from meter.sandbox.webhooks.endpoints import shown
from meter.sandbox.webhooks.outbox import Delivery, Outbox

MAX_PAGE = 1000


class WebhookControls:
    """The controls of webhooks; these show the endpoints' secrets, as they answer this machine only."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each."""
        return [
            ("GET", "/sandbox/webhooks", self.show),
            ("POST", "/sandbox/webhooks/send", self.send),
            ("POST", "/sandbox/webhooks/{endpoint}/enable", self.enable),
        ]

    def show(self, call: Call) -> Answer:
        """Endpoints, and deliveries in the order in which they were written; an empty page is the end."""
        after, limit = whole_number(call, "after", 0), min(whole_number(call, "limit", 100), MAX_PAGE)
        page = self._outbox.after(after, limit)
        endpoints = [{**shown(each), "secret": each.secret} for each in self._outbox.endpoints.values()]
        answer = {
            "endpoints": endpoints,
            "deliveries": [_shown(delivery) for delivery in page],
            "next": page[-1].row if page else after,
        }
        return Answer.of(200, answer)

    def send(self, call: Call) -> Answer:
        """Deliveries by number once more, whatever became of them; without numbers all that wait, at once."""
        body = Reading(call.json())
        numbers = body.array("deliveries")
        if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers or []):
            body.issues.append(custom(("deliveries",), "Expected numbers of deliveries"))
        body.done()
        return Answer.of(200, {"due": self._outbox.send_again(numbers, call.now)})

    def enable(self, call: Call) -> Answer:
        """What waits for the endpoint, and what comes from now on, is sent again."""
        endpoint = self._outbox.endpoints.get(call.params["endpoint"])
        if endpoint is None:
            raise ProviderError(404, f"Webhook endpoint with reference {call.params['endpoint']} not found")
        self._outbox.keep(endpoint._replace(disabled_at=None))
        return Answer.of(200, shown(self._outbox.endpoints[endpoint.reference]))


def _shown(delivery: Delivery) -> dict[str, Any]:
    return {
        "number": delivery.row,
        "endpoint": delivery.endpoint,
        "type": delivery.type,
        "eventId": delivery.event_id,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "answer": delivery.answer,
        "dueAt": iso(delivery.due_at) if delivery.state == "waiting" else None,
        "event": msgspec.Raw(delivery.body),
    }
