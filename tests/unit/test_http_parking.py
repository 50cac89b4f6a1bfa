"""Parking over HTTP: what is asked for is understood or refused, and needs the token."""

from typing import Any

import httpx
import pytest

from meter.http.api import build
from meter.http.parking import Parking
from meter.pipeline.parking import Leaving, Selection
from tests.unit.test_http_api import Limits, Probe

PATH = "/v1/dead-letters/park"


async def parked(body: Any, token: str | None = None) -> tuple[httpx.Response, list[Selection]]:
    """The answer, and what was asked of the machine."""
    asked: list[Selection] = []

    def park(wanted: Selection) -> Leaving:
        asked.append(wanted)
        return Leaving(2, 1)

    app = build(Limits(), Probe(), lambda: b"", token, Parking("usage-events", park, lambda: [3, 1]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://meter") as http:
        return await http.post(PATH, json=body), asked


async def test_places_and_filters_are_understood() -> None:
    """The answer says how many are parked, how many leave later, and of which partitions nobody else holds anything."""
    answer, asked = await parked({"origins": ["usage-events:3:41"]})
    assert answer.json() == {"parked": 2, "waiting": 1, "partitions": [1, 3]}
    _, more = await parked({"customers": ["cus_1"], "reasons": ["rejected"], "allRefused": True})
    assert asked + more == [
        Selection(origins=frozenset({(3, 41)})),
        Selection(frozenset(), frozenset({"cus_1"}), frozenset({"rejected"}), True),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "origins"),
        ({"allRefused": False}, "origins"),
        ({"origins": ["other-topic:3:41"]}, "origins"),
        ({"origins": ["usage-events:3"]}, "origins"),
        ({"origins": "usage-events:3:41"}, "origins"),
        ({"customers": [1]}, "customers"),
        ({"allRefused": 1}, "allRefused"),
        ({"everything": True}, "everything"),
    ],
)
async def test_what_is_not_understood_parks_nothing(body: Any, field: str) -> None:
    """400 that names the field."""
    answer, asked = await parked(body)
    assert answer.status_code == 400
    assert field in answer.text
    assert asked == []


async def test_it_needs_the_token() -> None:
    """Whoever may not see the status may not park either."""
    answer, asked = await parked({"allRefused": True}, token="secret")
    assert (answer.status_code, asked) == (401, [])
