"""Envelopes of Modbus: requests built once by pymodbus' codec, and what a TCP answer must say to count.

Pure functions of bytes. Layouts: MODBUS Application Protocol V1.1b3 (PDUs, MBAP), MODBUS over serial line V1.02 (RTU).
`drivers.modbus.hunt` finds RTU answers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, TypeAlias

from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU, ReadCoilsRequest, ReadHoldingRegistersRequest
from pymodbus.pdu.bit_message import ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadInputRegistersRequest

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
        answer: the head of its TCP answer after the transaction id, up to the byte count.
    """

    unit: int
    table: str
    address: int
    count: int
    function: int
    byte_count: int
    rtu: bytes
    mbap: bytes
    answer: bytes

    @property
    def shape(self) -> Shape:
        """What its answer will look like."""
        return self.function, self.byte_count

    @property
    def rtu_size_bytes(self) -> int:
        """Length of its answer as an RTU frame."""
        return 5 + self.byte_count


def shape_of(table: str, count: int) -> Shape:
    """The shape of the answer to a read of `count` registers or bits."""
    return FUNCTION[table], (count + 7) // 8 if table in BIT_TABLES else 2 * count


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
    _, byte_count = shape_of(table, count)
    return Request(
        unit=unit,
        table=table,
        address=address,
        count=count,
        function=FUNCTION[table],
        byte_count=byte_count,
        rtu=FramerRTU(decoder).encode(payload, unit, 0),
        mbap=FramerSocket(decoder).encode(payload, unit, 0)[2:],
        answer=struct.pack(">HHBBB", 0, 3 + byte_count, unit, FUNCTION[table], byte_count),
    )


def tcp_data(request: Request, adu: bytes) -> bytes | int | None:
    """What a complete TCP answer with the right transaction id says: data, an exception code, or None if it lies.

    Protocol id 0, the length field, unit, function and byte count must all hold (V1.1b3, 4.2).
    """
    if adu.startswith(request.answer, 2) and len(adu) == 9 + request.byte_count:
        return adu[9:]
    refusal = bytes((0, 0, 0, 3, request.unit, request.function | EXCEPTION))
    return adu[8] if len(adu) == 9 and adu.startswith(refusal, 2) else None
