"""What is wrong with a unit's answers: the bytes of its exchanges as named symptoms. Pure functions.

Every symptom has a code of its own in the catalogue. An exchange may show several: an echo and a wrong checksum.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from drivers.checksum import crc16_modbus
from drivers.modbus.envelope import EXCEPTION
from drivers.modbus.hunt import frame_at
from gateway.technician.trace import Trace

CODES: Final = {
    "silence": "CG-BUS-05",
    "late": "CG-LNK-01",
    "bad_checksum": "CG-LNK-02",
    "half": "CG-LNK-03",
    "tail": "CG-LNK-04",
    "banner": "CG-LNK-05",
    "noise_before": "CG-LNK-06",
    "noise_between": "CG-LNK-07",
    "noise_after": "CG-LNK-08",
    "extra_byte": "CG-LNK-09",
    "dribble": "CG-LNK-10",
    "chunks": "CG-LNK-11",
    "echo": "CG-BUS-08",
    "exception": "CG-DEV-02",
    "wrong_unit": "CG-LNK-12",
    "wrong_function": "CG-LNK-13",
    "foreign": "CG-BUS-07",
    "duplicate": "CG-LNK-14",
    "wrong_transaction": "CG-LNK-15",
    "length_lie": "CG-LNK-16",
    "wrong_count": "CG-LNK-19",
    "burst": "CG-LNK-20",
    "scrambled": "CG-BUS-10",
    "garbage": "CG-LNK-21",
    "false_head": "CG-LNK-22",
    "idle": "CG-LNK-23",
    "garbled": "CG-DEV-01",
}
HARMLESS: Final = frozenset({
    "echo", "duplicate", "dribble", "chunks", "noise_after", "noise_between", "noise_before", "false_head", "idle",
})  # fmt: skip
ALIKE: Final = 0.3
ALIKE_OF: Final = 3
_MBAP_BYTES: Final = 6
_LONGEST_TCP: Final = 254
_PRINTABLE: Final = frozenset({9, 10, 13, *range(32, 127)})
_ADAPTER_S: Final = (0.008, 0.03)


def symptoms(trace: Trace) -> tuple[str, ...]:
    """What was wrong with this exchange, () where nothing was."""
    between = (_early(trace),) if trace.early else ()
    if not trace.seen:
        return (*between, "silence")
    found = dict.fromkeys((*between, *_rtu(trace)) if trace.framing == "rtu" else (*between, *_tcp(trace)))
    return tuple(found)


def _early(trace: Trace) -> str:
    """What came between two questions: an answer once more, somebody else's, or noise."""
    if trace.framing == "rtu" and not _frames(trace.early):
        return "noise_between"
    return "duplicate" if trace.head[-3:] in trace.early else "foreign"


def _rtu(trace: Trace) -> Iterator[str]:
    at, seen = trace.answer_at, trace.seen
    skip = 0
    if seen.startswith(trace.request.rtu) and at != 0:
        yield "echo"
        skip = len(trace.request.rtu)
        if len(seen) == skip:
            yield "silence"
            return
    if at is None:
        yield from _spoilt(trace, seen[skip:], at=skip)
        return
    yield from _around(trace, before=seen[skip:at], after=seen[at + trace.size_bytes :])
    yield from _pace(trace, at)


def _around(trace: Trace, *, before: bytes, after: bytes) -> Iterator[str]:
    """Bytes beside a right answer."""
    if before:
        yield "foreign" if _frames(before) else _stray(trace, before)
    if after:
        again = trace.framing == "rtu" and trace.seen[-len(after) - trace.size_bytes :][: trace.size_bytes] == after
        yield "duplicate" if again else "foreign" if _frames(after) else "noise_after"


def _stray(trace: Trace, before: bytes) -> str:
    """What bytes before an answer are: text, a line at rest, the answer's own head, or noise."""
    text = sum(byte in _PRINTABLE for byte in before)
    if len(before) >= 8 and text >= 0.9 * len(before):
        return "banner"
    if set(before) in ({0x00}, {0xFF}):
        return "idle"
    return "false_head" if trace.head.startswith(before[:3]) else "noise_before"


def _frames(data: bytes) -> bool:
    return any(frame_at(data, at) is not None for at in range(len(data)))


def _pace(trace: Trace, at: int) -> Iterator[str]:
    """How the bytes of a right answer came: late, one by one, or in an adapter's portions."""
    if trace.time_at(at) > trace.timeout_s:
        yield "late"
    whole = [t_s for t_s, _data in trace.pieces]
    gaps = [later - earlier for earlier, later in pairwise(whole)]
    sizes = [len(data) for _t_s, data in trace.pieces]
    slow_s = max(0.003, 3 * trace.char_s)
    if len(gaps) >= trace.size_bytes // 2 and sum(gap > slow_s for gap in gaps) > len(gaps) // 2:
        yield "dribble"
    elif gaps and max(sizes) > 32 and any(_ADAPTER_S[0] < gap < _ADAPTER_S[1] for gap in gaps):
        yield "chunks"


def _spoilt(trace: Trace, seen: bytes, *, at: int) -> Iterator[str]:
    """No right answer is there: what is, instead. `at`: where `seen` begins."""
    unit, function = trace.request.unit, trace.request.function
    late = trace.time_at(at) > trace.timeout_s
    refusal = bytes((unit, function | EXCEPTION))
    place = seen.find(refusal)
    if place >= 0 and len(seen) >= place + 5 and crc16_modbus(seen[place : place + 5]) == 0:
        yield "exception"
    elif _whole(trace, seen, swap=0):
        yield "wrong_unit"
    elif _whole(trace, seen, swap=1):
        yield "wrong_function"
    elif _frames(seen):
        yield "wrong_count" if seen[:2] == trace.head[:2] else "foreign"
    else:
        yield _cut(trace, seen)
    if late:
        yield "late"


def _whole(trace: Trace, seen: bytes, *, swap: int) -> bool:
    """A frame of the right length and checksum that has another unit (0) or function (1) at its head."""
    frame = seen[: trace.size_bytes]
    if len(frame) != trace.size_bytes or crc16_modbus(frame) != 0:
        return False
    differs = [left != right for left, right in zip(frame, trace.head, strict=False)]
    return differs[swap] and sum(differs) == 1


def _cut(trace: Trace, seen: bytes) -> str:
    size = trace.size_bytes
    if len(seen) == size:
        return "bad_checksum" if _one_bit(seen) else "burst"
    if len(seen) == size + 1:
        shorter = (seen[:at] + seen[at + 1 :] for at in range(len(seen)))
        return "extra_byte" if any(crc16_modbus(one) == 0 for one in shorter) else "garbled"
    if len(seen) < size:
        begins = sum(left == right for left, right in zip(seen, trace.head, strict=False))
        return "half" if begins == min(len(seen), len(trace.head)) else "tail"
    return "banner" if _stray(trace, seen) == "banner" else "garbled"


def _one_bit(seen: bytes) -> bool:
    """Whether the checksum holds with one bit turned back: a CRC-16 finds a single wrong bit."""
    frame = bytearray(seen)
    for at in range(len(frame)):
        for bit in range(8):
            frame[at] ^= 1 << bit
            if crc16_modbus(frame) == 0:
                return True
            frame[at] ^= 1 << bit
    return False


def settled(found: list[tuple[str, ...]], traces: list[Trace]) -> list[tuple[str, ...]]:
    """What several exchanges show that one does not: damage in places, or answers without anything in common.

    Answers of one device to one question are alike byte by byte; those of two devices at once, or of a device that
    wakes up, are not. Bytes that came while nobody spoke explain those before and behind answers.
    """
    swap: dict[str, str] = {}
    for name, other in (("burst", "scrambled"), ("tail", "garbage")):
        same = [trace.seen for trace, names in zip(traces, found, strict=True) if name in names]
        if len(same) >= ALIKE_OF and _alike(same) < ALIKE:
            swap[name] = other
    if any("noise_between" in names for names in found):
        swap |= dict.fromkeys(("noise_before", "noise_after", "tail", "foreign", "garbled"), "noise_between")
    return [tuple(dict.fromkeys(swap.get(name, name) for name in names)) for names in found]


def _alike(heard: list[bytes]) -> float:
    """Share of places at which neighbours in time agree, behind the head."""
    pairs = [(left[3:], right[3:]) for left, right in pairwise(heard)]
    places = [one == other for left, right in pairs for one, other in zip(left, right, strict=False)]
    return sum(places) / len(places) if places else 0.0


def _tcp(trace: Trace) -> Iterator[str]:
    seen, at = trace.seen, trace.answer_at
    if at is not None:
        yield from _around(trace, before=seen[:at], after=seen[at + trace.size_bytes :])
        yield from _pace(trace, at)
        return
    length = int.from_bytes(seen[4:_MBAP_BYTES], "big")
    wanted = trace.head
    if len(seen) < 9:
        yield "half"
    elif not 3 <= length <= _LONGEST_TCP:
        yield "length_lie"
    elif seen[:2] != wanted[:2]:
        yield "wrong_transaction"
    elif seen[6] != wanted[6]:
        yield "wrong_unit"
    elif seen[7] == wanted[7] | EXCEPTION:
        yield "exception"
    elif seen[7] != wanted[7]:
        yield "wrong_function"
    elif len(seen) == 6 + length and seen[8] != wanted[8]:
        yield "wrong_count"
    else:
        yield "half" if len(seen) < trace.size_bytes else "garbled"
    if trace.time_at(0) > trace.timeout_s:
        yield "late"


def exception_code(trace: Trace) -> int:
    """The exception code of an answer that is one, else 0."""
    if trace.framing == "tcp":
        return trace.seen[8] if len(trace.seen) >= 9 else 0
    place = trace.seen.find(bytes((trace.request.unit, trace.request.function | EXCEPTION)))
    return trace.seen[place + 2] if place >= 0 and place + 2 < len(trace.seen) else 0
