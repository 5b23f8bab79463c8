"""The commissioning wizard's addresses: POST alone, JSON alone, each passed to the daemon's desk, which decides.

Nothing is held here: the one-time code and the permit are the daemon's. The permit comes in a header of its own, which
a page of another site cannot send, and never in a cookie or an address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway.web.source import NoSteering, Source

BODY_S: Final = 6.0
PERMIT: Final = "x-citygate-permit"
_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "state": frozenset(),
    "close": frozenset(),
    "finish": frozenset(),
    "scan": frozenset({"bus", "lang"}),
    "read": frozenset({"device", "lang"}),
    "add": frozenset({"bus", "unit", "profile", "id", "every", "lang"}),
}
_NO_STORE: Final = {"cache-control": "no-store"}
_encode: Final = msgspec.json.Encoder().encode


class Setup:
    """Answers `/setup/{what}`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def answer(self, request: Request) -> Response:
        """One step of the wizard: 200 with the daemon's answer, 400 or 403 with one sentence."""
        what = request.path_params["what"]
        try:
            async with asyncio.timeout(BODY_S):
                form = msgspec.json.decode(await request.body(), type=dict[str, Any])
        except (msgspec.DecodeError, TimeoutError):
            return _no("the body is one JSON object", 400)
        if what == "unlock":
            asked = {"ask": "unlock", "code": str(form.get("code", ""))[:32]}
        elif what in _KEYS:
            permit = request.headers.get(PERMIT, "")[:64]
            known = {key: value for key, value in form.items() if key in _KEYS[what]}
            asked = {**known, "ask": "desk", "permit": permit, "do": what}
        else:
            return _no("there is nothing here", 404)
        try:
            found = await self._source.steer(asked)
        except NoSteering as no:
            return _no(str(no), 403)
        return Response(_encode(found), media_type="application/json", headers=_NO_STORE)


def _no(fact: str, status: int) -> Response:
    return PlainTextResponse(f"{fact}\n", status, headers=_NO_STORE)
