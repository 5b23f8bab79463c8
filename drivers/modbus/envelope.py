"""Envelopes of Modbus: requests built once, answers recognised by what a checksum, an id and a length vouch for.

Pure functions and small state over bytes; no clock, no I/O. Layouts: MODBUS Application Protocol V1.1b3 (PDUs, MBAP)
and MODBUS over serial line V1.02 (RTU). pymodbus encodes the requests. Answers are framed by their expected length,
never by gaps between bytes: USB adapters cut answers into pieces with gaps of 16 ms (devices.md 1.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU, ReadCoilsRequest, ReadHoldingRegistersRequest
from pymodbus.pdu.bit_message import ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadInputRegistersRequest

from drivers.checksum import crc16_modbus
from drivers.errors import DriverError

Shape: TypeAlias = tuple[int, int]
"""Function code and byte count: all that an RTU answer says about the question it answers, beside the unit."""

MAX_ADU_BYTES: Final = 260
EXCEPTION: Final = 0x80
BIT_TABLES: Final = ("coil", "discrete")
FUNCTION: Final = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_PDU: Final[dict[str, type[ModbusPDU]]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}
_KEEP_BYTES: Final = 1024
EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledged, takes long",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not respond",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One read request, ready to send.

    Attributes:
        unit, table, address, count: what is asked (protocol address, 0-based; registers or bits).
        function: function code 1 to 4.
        byte_count: data bytes of its answer.
        rtu: the whole RTU frame.
        mbap: the TCP frame after its transaction id.
    """

    unit: int
    table: str
    address: int
    count: int
    function: int
    byte_count: int
    rtu: bytes
    mbap: bytes

    @property
    def shape(self) -> Shape:
        """What its answer will look like."""
        return self.function, self.byte_count

    @property
    def rtu_size_bytes(self) -> int:
        """Length of its answer as an RTU frame."""
        return 5 + self.byte_count


def build(unit: int, table: str, *, address: int, count: int) -> Request:
    """A read request (functions 1 to 4).

    Raises:
        DriverError: no such request exists (count above 125 registers or 2000 bits, unit above 255, ...).
    """
    if table not in FUNCTION or not 0 <= unit <= 255 or address + count > 0x10000:
        raise DriverError(f"no read of {count} from {table} {address} of unit {unit} exists")
    try:
        payload = bytes([FUNCTION[table]]) + _PDU[table](address=address, count=count).encode()
    except ValueError as error:
        raise DriverError(f"no read of {count} from {table} {address} exists ({error})") from None
    decoder = DecodePDU(False)
    return Request(
        unit=unit,
        table=table,
        address=address,
        count=count,
        function=FUNCTION[table],
        byte_count=(count + 7) // 8 if table in BIT_TABLES else 2 * count,
        rtu=FramerRTU(decoder).encode(payload, unit, 0),
        mbap=FramerSocket(decoder).encode(payload, unit, 0)[2:],
    )


class Frame(NamedTuple):
    """A whole RTU answer whose checksum holds. `code` is the exception code, 0 for an answer with data."""

    unit: int
    shape: Shape
    code: int
    data: bytes


def frame_at(buffer: bytes | bytearray, start: int) -> tuple[Frame, int] | None:
    """The RTU answer (functions 1 to 4) that stands whole at `start`, with its end; None if there is none."""
    if len(buffer) - start < 5:
        return None
    function = buffer[start + 1]
    refused = function >= EXCEPTION
    if not 1 <= function & 0x7F <= 4:
        return None
    end = start + (5 if refused else 5 + buffer[start + 2])
    if end > len(buffer) or crc16_modbus(buffer[start:end]) != 0:
        return None
    third = buffer[start + 2]
    shape = (function & 0x7F, 0 if refused else third)
    return Frame(buffer[start], shape, third if refused else 0, bytes(buffer[start + 3 : end - 2])), end


def frames_in(
    buffer: bytes | bytearray, start: int = 0, *, end: int | None = None
) -> tuple[list[tuple[Frame, int]], int]:
    """All whole RTU answers in `buffer` with their offsets, and how many bytes belong to none."""
    frames: list[tuple[Frame, int]] = []
    at, junk = start, 0
    end = len(buffer) if end is None else end
    while at < end:
        found = frame_at(buffer, at)
        if found is None or found[1] > end:
            junk += 1
            at += 1
        else:
            frames.append((found[0], at))
            at = found[1]
    return frames, junk


class RtuHunt:
    """The hunt for the answer to one request in the bytes that follow it.

    Junk before the frame, an echo of the request, frames of others and one byte at a time are all the same to it. Since
    every wanted answer has the same size, the first whole one with a right checksum is found however many false
    heads stand before it. A rejected candidate is left by one byte, not by its length.

    Attributes:
        frame: the answer, or an exception answer, once it is found.
        end: offset behind it in `seen`, all that has come.
        spoiled: a candidate of the right head and length had a wrong checksum.
    """

    def __init__(self, request: Request, *, echo: bool = False) -> None:
        self.request = request
        self.frame: Frame | None = None
        self.spoiled = False
        self.echoed = False
        self.seen = bytearray()
        self._strip_echo = echo
        self._marks: list[tuple[int, float]] = []
        self._head = bytes((request.unit, request.function, request.byte_count))
        self._refusal = bytes((request.unit, request.function | EXCEPTION))
        self._from = 0
        self.end = 0

    @property
    def pending(self) -> bool:
        """A head of the wanted answer stands there and its end has not come yet."""
        return self.seen.find(self._head, self._from) >= 0

    def feed(self, data: bytes, t_s: float) -> bool:
        """More bytes, whose first arrived at `t_s`; true when the answer is there."""
        self._marks.append((len(self.seen), t_s))
        self.seen += data
        if not self.echoed and self.seen.startswith(self.request.rtu):
            self.echoed = True
            self._from = len(self.request.rtu) if self._strip_echo or self.request.byte_count != 3 else 0
        if len(self.seen) > 2 * _KEEP_BYTES:
            gone = len(self.seen) - _KEEP_BYTES
            del self.seen[:gone]
            self._from = max(0, self._from - gone)
            self._marks = [(max(0, begin - gone), then_s) for begin, then_s in self._marks[-_KEEP_BYTES:]]
        return self._search()

    def last_look(self) -> bool:
        """Nothing more will come: look behind heads that wait for their end; true when the answer is there."""
        for at in range(self._from, len(self.seen) - 4):
            if self.seen.startswith((self._head, self._refusal), at):
                found = frame_at(self.seen, at)
                if found is not None:
                    self.frame, self.end = found
                    return True
        return False

    def resume(self) -> bool:
        """Go on behind the exception answer just found, which was another request's; true when one more is there."""
        self._from = self.end
        self.frame = None
        return self._search()

    def others(self) -> tuple[list[tuple[Frame, float]], int, int]:
        """Frames beside the answer with their times, bytes before it that belong to none, and bytes after it."""
        if self.frame is None:
            frames, junk = frames_in(self.seen)
            return [(frame, self.time_at(at)) for frame, at in frames], junk, 0
        before, junk = frames_in(self.seen, end=self.start)
        after, _ = frames_in(self.seen, self.end)
        return [(frame, self.time_at(at)) for frame, at in before + after], junk, len(self.seen) - self.end

    @property
    def start(self) -> int:
        """Offset in `seen` of the first byte of the answer found."""
        return self.end - (5 if self.frame is not None and self.frame.code else self.request.rtu_size_bytes)

    def time_at(self, offset: int) -> float:
        """When the byte at `offset` arrived: the time of the last portion that began at or before it."""
        return next((t_s for begin, t_s in reversed(self._marks) if begin <= offset), self._marks[0][1])

    def _search(self) -> bool:
        at = self._from
        while at < len(self.seen) - 4:
            answer, refusal = self.seen.find(self._head, at), self.seen.find(self._refusal, at)
            at = min(place for place in (answer, refusal, len(self.seen)) if place >= 0)
            if at >= len(self.seen) - 4:
                break
            size = self.request.rtu_size_bytes if at == answer else 5
            if at + size > len(self.seen):
                self._from = at
                return False
            found = frame_at(self.seen, at)
            if found is not None:
                self.frame, self.end = found
                return True
            self.spoiled = self.spoiled or at == answer
            at += 1
        self._from = max(self._from, min(at, len(self.seen) - 4))
        return False


def tcp_data(request: Request, adu: bytes) -> bytes | int | None:
    """What a complete TCP answer with the right transaction id says: data, an exception code, or None if it lies.

    Protocol id 0, the length field, unit, function and byte count must all hold (V1.1b3, 4.2; faults W14).
    """
    size = len(adu)
    if adu[2:4] != b"\0\0" or adu[6] != request.unit or int.from_bytes(adu[4:6], "big") != size - 6:
        return None
    if adu[7] == request.function:
        return adu[9:] if size == 9 + request.byte_count and adu[8] == request.byte_count else None
    return adu[8] if adu[7] == request.function | EXCEPTION and size == 9 else None
