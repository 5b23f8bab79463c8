"""MQTT packets as bytes, versions 5.0 and 3.1.1 (OASIS standards), as far as a QoS 0/1 broker needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 1, 2, 3, 4, 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14

Properties: TypeAlias = dict[int, list["int | bytes | tuple[bytes, bytes]"]]

MESSAGE_EXPIRY, SUBSCRIPTION_ID, SESSION_EXPIRY, WILL_DELAY = 0x02, 0x0B, 0x11, 0x18
ASSIGNED_CLIENT_ID, RECEIVE_MAXIMUM, TOPIC_ALIAS, MAXIMUM_QOS, USER = 0x12, 0x21, 0x23, 0x24, 0x26
MAXIMUM_PACKET_SIZE, REASON_STRING, SHARED_AVAILABLE = 0x27, 0x1F, 0x2A

# Property id -> form: a number of bytes, "v" variable byte integer, "s" string or binary data, "p" pair of strings.
_FORMS: Final[Mapping[int, int | str]] = {
    0x01: 1, 0x02: 4, 0x03: "s", 0x08: "s", 0x09: "s", 0x0B: "v", 0x11: 4, 0x12: "s", 0x13: 2, 0x15: "s", 0x16: "s",
    0x17: 1, 0x18: 4, 0x19: 1, 0x1A: "s", 0x1C: "s", 0x1F: "s", 0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1, 0x26: "p",
    0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1,
}  # fmt: skip


class Malformed(Exception):
    """A packet that breaks the protocol; `code` is the MQTT 5 reason for the DISCONNECT."""

    def __init__(self, fact: str, code: int = 0x81) -> None:
        super().__init__(fact)
        self.code = code


@dataclass(frozen=True, slots=True)
class Packet:
    """One control packet: type, the four flag bits, and what stands behind the remaining length."""

    kind: int
    flags: int
    body: bytes
    size: int


def variable(number: int) -> bytes:
    """A variable byte integer."""
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        out.append(low | (128 if number else 0))
        if not number:
            return bytes(out)


def packet(kind: int, body: bytes, *, flags: int = 0) -> bytes:
    """A control packet."""
    return bytes([kind << 4 | flags]) + variable(len(body)) + body


def string(data: bytes) -> bytes:
    """A string or binary field with its length."""
    return len(data).to_bytes(2, "big") + data


def cut(buffer: bytearray) -> Iterator[Packet]:
    """Whole packets from the head of `buffer`, taken off it.

    Raises:
        Malformed: the remaining length has more than four bytes.
    """
    while len(buffer) >= 2:
        length, at = 0, 1
        while True:
            if at >= len(buffer):
                return
            if at > 4:
                raise Malformed("remaining length")
            length |= (buffer[at] & 127) << 7 * (at - 1)
            at += 1
            if not buffer[at - 1] & 128:
                break
        if len(buffer) < at + length:
            return
        found = Packet(buffer[0] >> 4, buffer[0] & 15, bytes(buffer[at : at + length]), at + length)
        del buffer[: at + length]
        yield found


@dataclass
class Fields:
    """Reads the fields of a packet in order; every read past the end is `Malformed`."""

    data: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if self.at + size > len(self.data):
            raise Malformed("packet too short")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        """A big-endian number."""
        return int.from_bytes(self.take(size), "big")

    def variable(self) -> int:
        """A variable byte integer."""
        number = 0
        for shift in (0, 7, 14, 21):
            byte = self.number(1)
            number |= (byte & 127) << shift
            if not byte & 128:
                return number
        raise Malformed("variable byte integer")

    def string(self) -> bytes:
        """A string or binary field."""
        return self.take(self.number(2))

    def properties(self, version: int) -> Properties:
        """The properties; none before version 5."""
        found: Properties = {}
        if version < 5:
            return found
        end = self.variable() + self.at
        while self.at < end:
            key = self.number(1)
            form = _FORMS.get(key)
            if form is None:
                raise Malformed(f"property {key:#x}")
            value: int | bytes | tuple[bytes, bytes]
            if isinstance(form, int):
                value = self.number(form)
            elif form == "v":
                value = self.variable()
            else:
                value = self.string() if form == "s" else (self.string(), self.string())
            found.setdefault(key, []).append(value)
        return found

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.at


def number(properties: Properties, key: int, *, default: int) -> int:
    """A numeric property."""
    value = properties.get(key, [default])[0]
    return value if isinstance(value, int) else default


def properties(found: Properties, version: int) -> bytes:
    """Properties as bytes, with their length; nothing before version 5."""
    if version < 5:
        return b""
    body = b""
    for key, values in found.items():
        form = _FORMS[key]
        for value in values:
            body += bytes([key])
            if isinstance(value, int):
                body += value.to_bytes(form, "big") if isinstance(form, int) else variable(value)
            else:
                body += string(value) if isinstance(value, bytes) else string(value[0]) + string(value[1])
    return variable(len(body)) + body


@dataclass(frozen=True, slots=True)
class Message:
    """An application message."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties = field(default_factory=dict)
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """What a client says when it connects. `version` is 4 for MQTT 3.1.1, 5 for MQTT 5.0."""

    version: int
    client_id: str
    clean: bool
    keepalive_s: int
    properties: Properties
    will: Message | None
    will_properties: Properties
    username: str | None
    password: bytes | None


def connect(body: bytes) -> Connect:
    """A CONNECT packet.

    Raises:
        Malformed: it is none, or of another version.
    """
    fields = Fields(body)
    name, version, flags = fields.string(), fields.number(1), fields.number(1)
    if name != b"MQTT" or version not in {4, 5}:
        raise Malformed("protocol version", 0x84)
    if flags & 1:
        raise Malformed("reserved flag")
    keepalive_s = fields.number(2)
    found = fields.properties(version)
    client_id = fields.string().decode()
    will, will_properties = None, Properties()
    if flags & 4:
        will_properties = fields.properties(version)
        topic, payload = fields.string().decode(), fields.string()
        kept = {key: value for key, value in will_properties.items() if key != WILL_DELAY}
        will = Message(topic, payload, flags >> 3 & 3, bool(flags & 32), kept)
    username = fields.string().decode() if flags & 128 else None
    password = fields.string() if flags & 64 else None
    return Connect(version, client_id, bool(flags & 2), keepalive_s, found, will, will_properties, username, password)


def publish(body: bytes, flags: int, *, version: int) -> tuple[Message, int]:
    """A PUBLISH packet and its packet id (0 with QoS 0)."""
    fields = Fields(body)
    topic = fields.string().decode()
    qos = flags >> 1 & 3
    packet_id = fields.number(2) if qos else 0
    found = fields.properties(version)
    return Message(topic, body[fields.at :], qos, bool(flags & 1), found, bool(flags & 8)), packet_id


def publish_packet(message: Message, packet_id: int, *, version: int) -> bytes:
    """A message as a PUBLISH packet."""
    flags = message.duplicate << 3 | message.qos << 1 | message.retain
    head = string(message.topic.encode()) + (packet_id.to_bytes(2, "big") if message.qos else b"")
    return packet(PUBLISH, head + properties(message.properties, version) + message.payload, flags=flags)


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic falls under a filter; wildcards never reach topics that begin with `$`."""
    if topic.startswith("$") and topic_filter[:1] in {"+", "#"}:
        return False
    wanted, levels = topic_filter.split("/"), topic.split("/")
    for at, part in enumerate(wanted):
        if part == "#":
            return True
        if at >= len(levels) or (part not in {"+", levels[at]}):
            return False
    return len(wanted) == len(levels)
