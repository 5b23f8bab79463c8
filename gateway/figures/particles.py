"""Beside the raw values of an air sensor, in `1h`: gases in ug/m3, and PM2.5 corrected for humidity where asked for.

Options of the device: `barkjohn` (2021 or 2022: PurpleAir's correction of PMS5003 CF=1 readings) and `kappa` (growth of
humid particles, about 0.4 in cities). A correction never takes the place of a reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from gateway.figures.look import Look, told
from gateway.indicators import air
from gateway.reading import Aggregate, Indicator

GASES: Final = ("o3", "no2", "so2", "co")
CF1: Final = ("pm2_5_cf1", "pm2_5")
HUMID_PCT: Final = 95.0  # above it a growth factor is not to be trusted
BARKJOHN: Final[Mapping[float, tuple[str, Callable[[float, float], float]]]] = {
    2021.0: ("Barkjohn2021", air.barkjohn_2021),
    2022.0: ("Barkjohn2022", air.barkjohn_2022),
}


class Particles:
    """Conversions and corrections of one sensor."""

    def __init__(self, look: Look, options: Mapping[str, float]) -> None:
        self._look = look
        self._options = options
        self._cf1 = look.first(CF1)

    def take(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """The figures of this record."""
        if aggregate.stream != "1h":
            return
        for gas in GASES:
            ppb = self._look.whole(aggregate, gas, name="mean")
            if ppb is not None:
                ppb *= 1000 if gas == "co" else 1
                mass, coverage = air.mass(gas, ppb=ppb), self._look.coverage(aggregate, gas)
                yield told(f"{gas}_mass", mass, rule="25C-1013.25hPa", span="1h", coverage=coverage)
        yield from self._corrected(aggregate)

    def _corrected(self, aggregate: Aggregate) -> Iterator[Indicator]:
        humidity = self._look.whole(aggregate, "humidity", name="mean")
        rule = BARKJOHN.get(self._options.get("barkjohn", 0.0))
        kappa = self._options.get("kappa")
        if humidity is None or self._cf1 is None:
            return
        raw = self._look.whole(aggregate, self._cf1, name="mean")
        if rule is not None and raw is not None:
            yield told("pm2_5_corrected", rule[1](raw, humidity), rule=rule[0], span="1h")
        plain = self._look.whole(aggregate, "pm2_5", name="mean")
        if kappa is not None and plain is not None and 0 <= humidity <= HUMID_PCT:
            dry = plain / air.growth(humidity, kappa=kappa)
            yield told("pm2_5_dry", dry, rule=f"kappa-Koehler-{kappa:g}", span="1h")
