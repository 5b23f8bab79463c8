"""Air: the Thai and the US air quality index, NowCast, units, and corrections of low-cost particle sensors.

Numbers that meet a table are exact decimals: 35.4 / 0.1 is below 354 in binary. Pollutants are named as points are
(`pm2_5`, `pm10` in ug/m3; `o3`, `no2`, `so2` in ppb; `co` in ppm), averages are the caller's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Final

GAS_CONSTANT: Final = 8.314462618  # J/(mol K), CODATA 2018
MOLAR_MASS: Final = {"o3": 47.998, "no2": 46.006, "so2": 64.064, "co": 28.010, "no": 30.006}  # g/mol
_NOISE: Final = Decimal("1e-9")  # what binary arithmetic may have added to a decimal number


@dataclass(frozen=True, slots=True)
class Index:
    """An index value with its level. `above`: the table ends here, the true index is this or more."""

    value: int
    level: int
    above: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """A table of an index.

    Attributes:
        rule: its name in records.
        bounds: the index at the foot and head of each level.
        steps: per pollutant the step of its concentrations, and (lowest, highest) of each level from the first.
        rounding: how a concentration is brought to its step; the index itself is always rounded half up.
        top: the index said above the table, where no upper end is published.
    """

    rule: str
    bounds: tuple[tuple[int, int], ...]
    steps: Mapping[str, tuple[str, tuple[tuple[str, str], ...]]]
    rounding: str
    top: Mapping[str, int]


_TH_BOUNDS: Final = ((0, 25), (26, 50), (51, 100), (101, 200))
_TH_OTHERS: Final = {
    "pm10": ("1", (("0", "50"), ("51", "80"), ("81", "120"), ("121", "180"))),
    "o3": ("1", (("0", "35"), ("36", "50"), ("51", "70"), ("71", "120"))),
    "co": ("0.1", (("0", "4.4"), ("4.5", "6.4"), ("6.5", "9.0"), ("9.1", "30.0"))),
    "no2": ("1", (("0", "60"), ("61", "106"), ("107", "170"), ("171", "340"))),
    "so2": ("1", (("0", "100"), ("101", "200"), ("201", "300"), ("301", "400"))),
}
_TH_TOP: Final = dict.fromkeys(("pm2_5", *_TH_OTHERS), 201)
TH2023: Final = Scale(
    "TH2023",
    _TH_BOUNDS,
    {"pm2_5": ("0.1", (("0", "15.0"), ("15.1", "25.0"), ("25.1", "37.5"), ("37.6", "75.0"))), **_TH_OTHERS},
    ROUND_HALF_UP,
    _TH_TOP,
)
"""Pollution Control Department, notification on the air quality index B.E. 2566, Royal Gazette 140 special 157 Ngo."""
TH2018: Final = Scale(
    "TH2018",
    _TH_BOUNDS,
    {"pm2_5": ("1", (("0", "25"), ("26", "37"), ("38", "50"), ("51", "90"))), **_TH_OTHERS},
    ROUND_HALF_UP,
    _TH_TOP,
)
"""The table in force until May 2023, for calculations back."""
US2024: Final = Scale(
    "US2024",
    ((0, 50), (51, 100), (101, 150), (151, 200), (201, 300), (301, 500)),
    {
        "pm2_5": (
            "0.1",
            (
                ("0", "9.0"),
                ("9.1", "35.4"),
                ("35.5", "55.4"),
                ("55.5", "125.4"),
                ("125.5", "225.4"),
                ("225.5", "325.4"),
            ),
        ),
        "pm10": ("1", (("0", "54"), ("55", "154"), ("155", "254"), ("255", "354"), ("355", "424"), ("425", "604"))),
        "o3": (
            "0.001",
            (("0", "0.054"), ("0.055", "0.070"), ("0.071", "0.085"), ("0.086", "0.105"), ("0.106", "0.200")),
        ),
        "co": (
            "0.1",
            (("0", "4.4"), ("4.5", "9.4"), ("9.5", "12.4"), ("12.5", "15.4"), ("15.5", "30.4"), ("30.5", "50.4")),
        ),
        "so2": ("1", (("0", "35"), ("36", "75"), ("76", "185"), ("186", "304"))),
        "no2": ("1", (("0", "53"), ("54", "100"), ("101", "360"), ("361", "649"), ("650", "1249"), ("1250", "2049"))),
    },
    ROUND_DOWN,
    {"pm2_5": 500, "pm10": 500, "o3": 300, "co": 500, "so2": 200, "no2": 500},
)
"""US EPA, EPA-454/B-24-002 (May 2024). `o3` here in ppm over 8 h (above 0.200 it does not define the index), `so2`
over 1 h (from 305 ppb on the 24 h average does)."""

LEVELS_TH: Final[tuple[tuple[str, str, str], ...]] = (
    ("very good", "ดีมาก", "blue"),
    ("good", "ดี", "green"),
    ("moderate", "ปานกลาง", "yellow"),
    ("starting to affect health", "เริ่มมีผลกระทบต่อสุขภาพ", "orange"),
    ("affects health", "มีผลกระทบต่อสุขภาพ", "red"),
)
"""Names (English, Thai) and official colours of the Thai levels 1..5. The colours' hex values differ between sites."""
SPAN_H: Final = {"pm2_5": 24, "pm10": 24, "o3": 8, "co": 8, "no2": 1, "so2": 1}
"""Hours that the averages for both indexes cover."""
WHO_24H: Final = {"pm2_5": (15.0, 25.0, 37.5, 50.0, 75.0), "pm10": (45.0, 50.0, 75.0, 100.0, 150.0)}
"""WHO global air quality guidelines 2021, 24 h, ug/m3: the guideline level, then interim targets 4, 3, 2, 1."""


def decimal(value: float | str | Decimal) -> Decimal:
    """The decimal number meant: text as it stands; a float without the noise of binary arithmetic."""
    if isinstance(value, float):
        return Decimal(repr(value)).quantize(_NOISE, rounding=ROUND_HALF_UP)
    return Decimal(value)


def index(scale: Scale, pollutant: str, *, value: float | str | Decimal) -> Index | None:
    """The sub-index of one pollutant; None for a negative concentration (which is no concentration).

    I = (Ij - Ii) / (Xj - Xi) (X - Xi) + Ii within the level that holds X, rounded half up.

    Raises:
        KeyError: the scale does not know the pollutant.
    """
    step, rows = scale.steps[pollutant]
    x = decimal(value).quantize(Decimal(step), rounding=scale.rounding)
    if x < 0:
        return None
    for level, (row, bound) in enumerate(zip(rows, scale.bounds, strict=False), start=1):
        low, high = Decimal(row[0]), Decimal(row[1])
        if x <= high:
            exact = (bound[1] - bound[0]) * (x - low) / (high - low) + bound[0]
            return Index(int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP)), level)
    top = scale.top[pollutant]
    level = len(rows) + (top > scale.bounds[len(rows) - 1][1])
    return Index(top, level, above=True)


def overall(scale: Scale, values: Mapping[str, float | str | Decimal | None]) -> tuple[Index, str] | None:
    """The highest sub-index and its pollutant; None where no pollutant has a value. A missing one is left out."""
    found: list[tuple[Index, str]] = []
    for pollutant, value in values.items():
        sub = None if value is None else index(scale, pollutant, value=value)
        if sub is not None:
            found.append((sub, pollutant))
    return max(found, key=lambda one: one[0].value, default=None)


def complete(valid: int, expected: int, *, share: float = 0.75) -> bool:
    """Whether an average may stand: 75 % of its inputs (Directive 2008/50/EC annex VII: 18 of 24 h, 45 of 60 min)."""
    return expected > 0 and Decimal(valid) >= decimal(share) * expected


def nowcast(hours: Sequence[float | None], *, step: str = "0.1") -> Decimal | None:
    """EPA's PM NowCast in ug/m3 of the last 12 hourly means, latest first; None: fewer than 2 of the latest 3.

    Weights fall by w = max(1/2, smallest/largest) per hour of age; a missing hour is left out but keeps its age.
    Truncated to `step` (0.1 for PM2.5, 1 for PM10). EPA fact sheet P100X0J6. Not for ozone.
    """
    given = [(age, decimal(float(hour))) for age, hour in enumerate(hours[:12]) if hour is not None]
    if sum(age < 3 for age, _ in given) < 2:
        return None
    largest = max(hour for _, hour in given)
    smallest = min(hour for _, hour in given)
    weight = max(smallest / largest, Decimal("0.5")) if largest > 0 else Decimal(1)
    total = sum((weight**age * hour for age, hour in given), Decimal(0))
    mean = total / sum((weight**age for age, _ in given), Decimal(0))
    return mean.quantize(_NOISE, rounding=ROUND_HALF_UP).quantize(Decimal(step), rounding=ROUND_DOWN)


def mass(gas: str, *, ppb: float, temperature_c: float = 25.0, pressure_pa: float = 101_325.0) -> float:
    """ug/m3 of `gas` from ppb at a temperature (degrees Celsius) and pressure (Pa) that must be named with it."""
    litres = GAS_CONSTANT * (temperature_c + 273.15) / pressure_pa * 1000.0
    return ppb * MOLAR_MASS[gas] / litres


def ppb(gas: str, *, ug_m3: float, temperature_c: float = 25.0, pressure_pa: float = 101_325.0) -> float:
    """The reverse of `mass`: ppb of `gas` from ug/m3."""
    return ug_m3 / mass(gas, ppb=1.0, temperature_c=temperature_c, pressure_pa=pressure_pa)


def barkjohn_2021(cf1: float, humidity: float) -> float:
    """PM2.5 in ug/m3 from PMS5003 CF=1 readings and % humidity inside the sensor (Barkjohn 2021, AMT 14:4617).

    The bare formula: it may be negative. Fitted in the USA on 24 h means up to about 250 ug/m3; never a default.
    """
    return 0.524 * cf1 - 0.0862 * humidity + 5.75


def barkjohn_2022(cf1: float, humidity: float) -> float:
    """As `barkjohn_2021`, extended for smoke by a quadratic above 343 ug/m3 (Barkjohn 2022, Sensors 22:9669)."""
    if cf1 <= 343:
        return 0.52 * cf1 - 0.086 * humidity + 5.75
    return 0.46 * cf1 + 3.93e-4 * cf1 * cf1 + 2.97


def growth(humidity: float, *, kappa: float, density: float = 1.65) -> float:
    """How much heavier humid particles weigh than dry ones (kappa-Koehler, Crilley 2018, AMT 11:709).

    `humidity` in %, below 100 (without bound there; above 95 % the result is not to be trusted), `density` in g/cm3.

    Raises:
        ValueError: the humidity is 100 % or more, or negative.
    """
    if not 0 <= humidity < 100:
        raise ValueError(f"{humidity} % humidity has no finite growth factor")
    if humidity == 0:
        return 1.0
    return 1.0 + (kappa / density) / (100.0 / humidity - 1.0)
