"""A SunSpec device as the poller sees it: found by walking its models, then one read per poll.

The profile's `variant` says which model is wanted: `inverter`, `meter`, `weather`; `meter2` is the second meter of a
device (SolarEdge appends up to three). Rows name the fields of the model; a row with `scale = -1.0` turns a sign.
"""

from __future__ import annotations

import asyncio
import struct
from math import inf
from typing import Final

from drivers.device import Finding
from drivers.errors import BadFrame, DeviceRefused, NoReply, ReplyError
from drivers.modbus import sunspec
from drivers.modbus.master import Master, Priority
from drivers.profile import Profile
from drivers.sample import Code, Sample
from drivers.uart.family import Facts
from drivers.uart.rows import Rows

COMMON: Final = 1
SERIAL_AT: Final = 50
SERIAL_REGISTERS: Final = 16
_CODES: Final[dict[type[ReplyError], Code]] = {
    NoReply: Code.TIMEOUT,
    BadFrame: Code.CRC,
    DeviceRefused: Code.EXCEPTION,
}


def choose(models: tuple[sunspec.Model, ...], variant: str) -> sunspec.Model | None:
    """The model that `variant` names (`meter` is the first, `meter2` the second of its kind), or None."""
    kind = variant.rstrip("0123456789")
    wanted = int(variant[len(kind) :] or 1)
    fitting = [model for model in models if model.layout is not None and model.layout.kind == kind]
    return fitting[wanted - 1] if 0 < wanted <= len(fitting) else None


class SunspecDevice:
    """One SunSpec model of one unit. Follows `drivers.device.Addressed`.

    The chain is walked at the first poll and again after a refusal or a header that no longer fits: firmware updates
    and a setting (integer or float models) move models.
    """

    def __init__(self, master: Master, profile: Profile, *, unit: int, patience_s: float = 0.0) -> None:
        self.profile = profile
        self.unit = unit
        self.model: sunspec.Model | None = None
        self._common: sunspec.Model | None = None
        self._master = master
        self._rows = Rows(profile)
        self._patience_s = patience_s
        self._t_first_s = 0.0
        self._priority = Priority.POLL
        self._until_s = inf

    def doubt_s(self) -> float:
        """As `Addressed.doubt_s`."""
        return self._master.doubt_s(self.unit)

    def plan_s(self) -> float:
        """As `Addressed.plan_s`: what the device has is not known beforehand."""
        return 0.0

    async def poll_now(self) -> tuple[Sample, ...]:
        """As `Addressed.poll_now`."""
        self._priority = Priority.PERSON
        try:
            return await self.poll()
        finally:
            self._priority = Priority.POLL

    async def poll_within(self, limit_s: float) -> tuple[Sample, ...]:
        """As `Addressed.poll_within`."""
        self._until_s = asyncio.get_running_loop().time() + limit_s
        try:
            return await self.poll()
        finally:
            self._until_s = inf

    async def identify(self) -> tuple[Finding, ...]:
        """Its serial number, from the common model (offset 50, 16 registers) of the model's device block.

        The model's own header stands before its values and is checked with each poll. Raises `LinkError`.
        """
        if self._common is None:
            return ()
        try:
            data = await self._read(sunspec.TABLE, self._common.address + SERIAL_AT, SERIAL_REGISTERS)
        except ReplyError as error:
            return (Finding("serial number", holds=False, seen=error.fact, read=False),)
        number = (sunspec.text(data) or "").strip()
        return (Finding("serial number", holds=bool(number), seen=number, same=True),)

    async def poll(self) -> tuple[Sample, ...]:
        """One poll; what failed is marked.

        Raises:
            LinkError: the wire is gone.
        """
        try:
            return (await self._sample(),)
        except ReplyError as error:
            if isinstance(error, DeviceRefused):
                self.model = None
            return (self._failed(_CODES.get(type(error), Code.TIMEOUT)),)

    async def _sample(self) -> Sample:
        if self.model is None:
            found = await sunspec.discover(self._read)
            self.model = wanted = choose(found, self.profile.variant)
            here = [one for one in found if one.id == COMMON and wanted is not None and one.block == wanted.block]
            self._common = here[0] if here else None
        layout = None if self.model is None else self.model.layout
        if self.model is None or layout is None:
            return self._failed(Code.ABSENT)
        address, count, first = sunspec.span(self.model)
        data = await self._read(sunspec.TABLE, address, count)
        if first == 0 and struct.unpack_from(">HH", data) != (self.model.id, self.model.length):
            self.model = None
            return self._failed(Code.ABSENT)
        facts = Facts(sunspec.decode(layout, data, first=first))
        return self._rows.sample(facts, int(self._t_first_s * 1e9)) or self._failed(Code.ABSENT)

    async def _read(self, table: str, address: int, count: int) -> bytes:
        answer = await self._master.read(
            self.unit,
            table,
            address=address,
            count=count,
            limits=self.profile.limits,
            priority=self._priority,
            patience_s=self._patience_s,
            until_s=self._until_s,
        )
        self._t_first_s = answer.t_first_s
        return answer.data

    def _failed(self, code: Code) -> Sample:
        now_ns = int(asyncio.get_running_loop().time() * 1e9)
        return Sample.failed(now_ns, count=self._rows.count(""), code=code)
