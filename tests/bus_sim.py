"""A simulated RS-485 bus as a link, for virtual time: units with delays, line speed, faults.

Each unit answers in the order asked, after its delay; answers take the line's time byte by byte.
"""

import asyncio
import random

from drivers.line import LineSettings, line


def _step(value):
    for _ in range(8):
        value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return value


STEPS = [_step(byte) for byte in range(256)]


def crc(data):
    """CRC-16/MODBUS."""
    value = 0xFFFF
    for byte in data:
        value = (value >> 8) ^ STEPS[(value ^ byte) & 0xFF]
    return value.to_bytes(2, "little")


class Bus:
    """A `Link` whose other end is a set of units.

    delay(unit): seconds from the end of a request to the first byte of its answer.
    memory(unit, address, count): the bytes of registers. answer(unit, pdu): a whole answer PDU instead.
    mutate(frame): what the line makes of an answer; dead: units that never answer.
    busy: "queue" (answers in order), "drop" (a unit that still works on a request does not hear the next).
    """

    def __init__(
        self,
        *,
        delay=lambda unit: 0.02,
        memory=None,
        answer=None,
        mutate=lambda frame: frame,
        dead=(),
        busy="queue",
        settings="9600 8N1",
        chunk=8,
        echo=False,
    ):
        self.endpoint = "bus"
        self.line: LineSettings = line(settings)
        self.requests = []
        self.ends = []
        self.keep = True
        self.dead = set(dead)
        self.echo = echo
        self._delay, self._memory, self._answer, self._mutate = delay, memory, answer, mutate
        self._busy, self._chunk = busy, chunk
        self._ready_s = {}
        self._free_s = 0.0
        self._inbox = bytearray()
        self._first_s = 0.0
        self._waiter = None
        self._loop = None

    async def open(self):
        self._loop = asyncio.get_running_loop()

    async def close(self):
        self._loop = None

    async def write(self, data):
        now_s = self._loop.time()
        end_s = now_s + len(data) * self.line.char_s
        if self.keep:
            self.requests.append((now_s, bytes(data)))
        if self.echo:
            self.put(bytes(data))
        unit, function, address, count = data[0], data[1], data[2] << 8 | data[3], data[4] << 8 | data[5]
        assert crc(data[:-2]) == data[-2:]
        if unit in self.dead or (self._busy == "drop" and self._ready_s.get(unit, 0) > end_s):
            return
        if self._answer is not None:
            pdu = self._answer(unit, data[1:-2])
            if pdu is None:
                return
        else:
            body = self._memory(unit, address, count)
            pdu = bytes([function, len(body)]) + body
        frame = bytes([unit]) + pdu
        frame = self._mutate(frame + crc(frame))
        at_s = max(end_s + self._delay(unit), self._ready_s.get(unit, 0))
        for begin in range(0, len(frame), self._chunk):
            portion = frame[begin : begin + self._chunk]
            at_s += len(portion) * self.line.char_s
            self._loop.call_at(at_s, self.put, portion)
        self._ready_s[unit] = at_s
        if self.keep:
            self.ends.append(at_s)

    def put(self, data):
        """Bytes arrive at the master, from whomever."""
        if not self._inbox:
            self._first_s = self._loop.time()
        self._inbox += data
        self._wake()

    def _wake(self):
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read(self, timeout_s):
        if not self._inbox and timeout_s > 0:
            self._waiter = self._loop.create_future()
            timer = self._loop.call_later(timeout_s, self._wake)
            try:
                await self._waiter
            finally:
                self._waiter = None
                timer.cancel()
        first_s = self._first_s if self._inbox else self._loop.time()
        return self.flush(), first_s

    def flush(self):
        data = bytes(self._inbox)
        self._inbox.clear()
        return data


def noise(seed=0):
    """A mutation: one to three flipped bits in every third frame."""
    chance = random.Random(seed)

    def mutate(frame):
        if chance.random() < 0.33:
            data = bytearray(frame)
            for _ in range(chance.randint(1, 3)):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            return bytes(data)
        return frame

    return mutate
