"""All gateways of a city from their MQTT broker alone: retained `meta` names them, windows and events follow.

Everything that arrives is foreign: ids are checked, sizes and counts are capped, a message that is not what
contracts.md says is counted and left. Gateway ids are unique in their city alone, so the page's id of a gateway is
"city/gateway" here.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import aiomqtt
import msgspec

from gateway.clock import Clock, rfc3339
from gateway.reading import LENGTHS_S
from gateway.web import foreign
from gateway.web.picture import Picture
from gateway.web.secret import secret_text
from gateway.web.source import NoHistory, NoSteering

AGAIN_S: Final = 2.0
BEHIND_MAX: Final = 20_000  # messages taken by the library and not yet by us
REFUSED: Final = 0x80
PAYLOAD_MAX: Final = 262_144
ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?|_gateway")
STREAMS: Final = frozenset({"raw", *LENGTHS_S})
# What data alone can raise: whatever a gateway sends, the page of its city goes on.
_FOREIGN: Final = (
    msgspec.MsgspecError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Door:
    """The way into a broker."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    username: str | None = None
    password: str | None = None

    @classmethod
    def of(cls, url: str, *, password_file: Path | None = None, ca_file: Path | None = None) -> Door:
        """From mqtt[s]://[user@]host[:port]; a password stands in a file, never in the url.

        Raises:
            ValueError: this is no such url, or others can read the password.
        """
        where = urlsplit(url)
        if where.scheme not in {"mqtt", "mqtts"} or not where.hostname or where.password:
            raise ValueError(f"{where.scheme}://{where.hostname}: the broker is mqtts://USER@HOST[:PORT]")
        secure = where.scheme == "mqtts"
        context = ssl.create_default_context(cafile=ca_file) if secure else None
        password = None if password_file is None else secret_text(password_file)
        user = unquote(where.username) if where.username else None
        return cls(where.hostname, where.port or (8883 if secure else 1883), context, user, password)


def _granted(answers: Iterable[Any]) -> None:
    """Look at what the subscription was answered: an int in MQTT 3.1.1, a reason code in 5; from 0x80 on a refusal.

    Raises:
        PermissionError: the broker took the subscription, but lets us read nothing.
    """
    for answer in answers:
        code = int(getattr(answer, "value", answer))
        if code >= REFUSED:
            raise PermissionError(f"the broker refuses to let us read (0x{code:02X})")


class BrokerSource:
    """Every gateway under `prefix`/{city}/{gateway}; `city` "+" is every city of the broker."""

    tick_s = 0.4  # a city is to be less than a second behind, its browser's work included

    def __init__(self, door: Door, *, prefix: str, clock: Clock, city: str = "+") -> None:
        self.foreign = 0  # messages that were not as agreed
        self._door = door
        self._prefix = prefix
        self._city = city
        self._clock = clock
        self._early: dict[str, list[tuple[str, dict[str, Any]]]] = {}

    async def run(self, picture: Picture) -> None:
        """Connect, subscribe, read; begin again two seconds after any end."""
        picture.source |= {"kind": "broker", "where": f"{self._door.host}:{self._door.port}"}
        while True:
            fact = "the broker ended the connection"
            try:
                async with self._client() as client:
                    _granted(await client.subscribe(f"{self._prefix}/{self._city}/+/#", qos=1))
                    picture.state(up=True, since=rfc3339(self._clock.wall_ms()))
                    async for message in client.messages:
                        self.take(picture, str(message.topic), payload=message.payload)
            except (aiomqtt.MqttError, OSError) as error:
                fact = str(error) or type(error).__name__
            picture.state(up=False, since=rfc3339(self._clock.wall_ms()), fact=fact)
            await asyncio.sleep(AGAIN_S)

    def _client(self) -> aiomqtt.Client:
        door = self._door
        return aiomqtt.Client(
            door.host,
            door.port,
            username=door.username,
            password=door.password,
            tls_context=door.tls,
            keepalive=20,
            timeout=10,
            max_queued_incoming_messages=BEHIND_MAX,
        )

    def take(self, picture: Picture, topic: str, *, payload: object) -> None:
        """One message."""
        parts = topic.removeprefix(f"{self._prefix}/").split("/")
        if len(parts) < 3 or not all(ID.fullmatch(part) for part in parts[:2]) or not isinstance(payload, bytes):
            self._leave(picture)
            return
        if len(payload) > PAYLOAD_MAX:
            self._leave(picture)
            return
        try:
            form = msgspec.json.decode(payload, type=dict[str, Any]) if payload else {}
            self._route(picture, parts, form)
        except _FOREIGN:
            self._leave(picture)  # a message of another kind, or a broken one: nothing of it is shown

    def _leave(self, picture: Picture) -> None:
        self.foreign += 1
        picture.left["messages"] += 1

    def _route(self, picture: Picture, parts: list[str], form: dict[str, Any]) -> None:
        city, name, *rest = parts
        gateway = f"{city}/{name}"
        match rest:
            case ["status"] if form:
                facts = {"city": city, "up": form["state"] == "online", "version": foreign.text(form.get("version"))}
                picture.gateway(gateway, facts | ({"t": foreign.time(form["t"])} if "t" in form else {}))
            case ["meta"] if form:
                named = {"name": foreign.names(form.get("name")), "location": foreign.place(form.get("location"))}
                picture.gateway(gateway, {"city": city, "version": foreign.text(form.get("version")), **named})
            case ["health"] if form:
                picture.gateway(gateway, {"city": city, **foreign.health(form)})
            case ["event"] if form:
                picture.event(gateway, foreign.event(form, "_gateway"))
            case [device, what] if ID.fullmatch(device):
                self._device(picture, gateway, device=device, what=what, form=form)

    def _device(self, picture: Picture, gateway: str, *, device: str, what: str, form: dict[str, Any]) -> None:
        if what == "meta":
            if not form:
                picture.drop(f"{gateway}/{device}")
                return
            picture.device(gateway, device, facts=foreign.described(form))
            for stream, early in self._early.pop(f"{gateway}/{device}", []):
                self._record(picture, gateway, line={**early, "device": device, "stream": stream})
        elif what == "event" and form:
            picture.event(gateway, foreign.event(form, device))
        elif what in STREAMS and form:
            foreign.identity(form)
            if f"{gateway}/{device}" not in picture.devices:
                self._keep(f"{gateway}/{device}", what, form)
                return
            self._record(picture, gateway, line={**form, "device": device, "stream": what})

    def _keep(self, key: str, stream: str, form: dict[str, Any]) -> None:
        """Retained windows may come before the `meta` that explains them."""
        if key in self._early or len(self._early) < BEHIND_MAX:
            waiting = self._early.setdefault(key, [])
            del waiting[:-3]
            waiting.append((stream, form))

    @staticmethod
    def _record(picture: Picture, gateway: str, *, line: Mapping[str, Any]) -> None:
        checked = {**line, "v": foreign.values(line.get("v")), "q": foreign.quality(line.get("q"))}
        checked |= foreign.identity(line)
        if line["stream"] == "raw":
            checked |= {"bad": {}}
        else:
            checked |= {"end": foreign.time(line["end"]), "i": foreign.figures(line.get("i"))}
            picture.window(gateway, checked)
        picture.reading(gateway, checked)

    async def history(self, gateway: str, *, question: Mapping[str, Any]) -> dict[str, Any]:
        """The broker keeps none. Raises `NoHistory`, always."""
        raise NoHistory("a broker keeps no history; look into the database")

    async def steer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A city is looked at from here, not changed. Raises `NoSteering`, always."""
        raise NoSteering("set a gateway up on its own page")
