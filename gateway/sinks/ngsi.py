"""Records as NGSI-LD entities (ETSI GS CIM 009) in the attributes of the Smart Data Models (smartdatamodels.org).

One entity per outside device, `urn:ngsi-ld:{Type}:{city}:{gateway}:{device}`; every attribute carries `observedAt`: the
time of a poll, the end of a window. A bad value is left out: the attribute then keeps its older `observedAt`.
A point that the model does not know stands under its own name, with its unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final, TypeAlias

from drivers.points import Point, units
from drivers.sample import FIRST_BAD, Code
from gateway.clock import rfc3339
from gateway.reading import STATISTICS, Aggregate, Event, Reading, Series
from gateway.record import Record
from gateway.sinks import Site
from gateway.sinks.payload import Shapes

Form: TypeAlias = dict[str, Any]
CORE: Final = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context.jsonld"
_MODELS: Final = "https://raw.githubusercontent.com/smart-data-models/dataModel.{}/master/context.jsonld"


def ratio(percent: float) -> float:
    """Percent as the models want it: 0 to 1."""
    return round(percent / 100, 6)


def bearing(degrees: float) -> float:
    """Degrees 0..360 as the models want them: -180 to 180."""
    return round((degrees + 180.0) % 360.0 - 180.0, 6)


def whole(value: float) -> int:
    """A number whose model says integer, or counts things."""
    return int(value + 0.5)


def same(value: float) -> float:
    """As it is."""
    return value


def position(latitude: float, longitude: float) -> Form:
    """A GeoJSON point: longitude first."""
    return {"type": "Point", "coordinates": [longitude, latitude]}


# attribute -> how a value of ours becomes the model's (limits: the models' JSON Schemas)
HOW: Final[Mapping[str, Callable[[float], float]]] = {
    "relativeHumidity": ratio,
    "occupancy": ratio,
    "thdVoltage": ratio,
    "thdCurrent": ratio,
    "windDirection": bearing,
    "airQualityIndex": whole,
    "intensity": whole,
}
TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "air": ("AirQualityObserved", "Environment"),
    "traffic": ("TrafficFlowObserved", "Transportation"),
    "energy": ("ThreePhaseAcMeasurement", "Energy"),
    "water": ("FloodMonitoring", "Environment"),
    "weather": ("WeatherObserved", "Weather"),
    "noise": ("NoiseLevelObserved", "Environment"),
}
_WEATHER: Final = {
    "temperature": "temperature",
    "humidity": "relativeHumidity",
    "wind_speed": "windSpeed",
    "wind_direction": "windDirection",
}
ATTRIBUTES: Final[Mapping[str, Mapping[str, str]]] = {
    "air": _WEATHER | {"pressure": "pressure", "pm1": "pm1", "pm2_5": "pm25", "pm4": "pm4", "pm10": "pm10",
                       "co": "co", "co2": "co2", "o3": "o3", "no2": "no2", "so2": "so2"},
    "weather": _WEATHER | {"pressure": "atmosphericPressure"},
    "traffic": {"vehicle_count": "intensity", "occupancy": "occupancy", "speed": "averageVehicleSpeed",
                "length": "averageVehicleLength", "headway": "averageHeadwayTime"},
    "water": {"level": "currentLevel"},
    "noise": {"noise_leq": "LAeq"},
    "energy": {
        "energy_import": "totalActiveEnergyImport", "energy_export": "totalActiveEnergyExport",
        "energy_reactive_import": "totalReactiveEnergyImport", "energy_reactive_export": "totalReactiveEnergyExport",
        "energy_apparent": "totalApparentEnergyImport", "power_active": "totalActivePower",
        "power_reactive": "totalReactivePower", "power_apparent": "totalApparentPower",
        "power_factor": "totalPowerFactor", "frequency": "frequency",
    },
}  # fmt: skip
# points of one phase: they gather in one attribute whose value is {L1, L2, L3, ...}
_PHASED: Final[Mapping[str, str]] = {
    "voltage": "phaseVoltage", "current": "current", "power_active": "activePower", "power_reactive": "reactivePower",
    "power_apparent": "apparentPower", "power_factor": "powerFactor", "thd_voltage": "thdVoltage",
    "thd_current": "thdCurrent", "energy_import": "activeEnergyImport", "energy_export": "activeEnergyExport",
    "energy_reactive_import": "reactiveEnergyImport", "energy_reactive_export": "reactiveEnergyExport",
}  # fmt: skip
_PHASES: Final = {"l1": "L1", "l2": "L2", "l3": "L3", "n": "N"}
_PAIRS: Final = {"voltage_l1_l2": "L12", "voltage_l2_l3": "L23", "voltage_l3_l1": "L31"}
_SINGLE: Final = {"voltage": ("phaseVoltage", "L1"), "current": ("current", "L1")}
_SEVERITY: Final = {1: "low", 2: "medium", 3: "high"}


def place(kind: str, point: str) -> tuple[str, str]:
    """Where a point stands in the model of its kind: (attribute, phase); the phase is "" for a plain attribute."""
    known = ATTRIBUTES.get(kind, {}).get(point)
    if known is not None or kind != "energy":
        return known or point, ""
    if point in _PAIRS:
        return "phaseToPhaseVoltage", _PAIRS[point]
    if point in _SINGLE:
        return _SINGLE[point]
    base, _, suffix = point.rpartition("_")
    if base in _PHASED and suffix in _PHASES:
        return _PHASED[base], _PHASES[suffix]
    return point, ""


class Entities:
    """Encodes records for one sink."""

    def __init__(self, site: Site, *, points: tuple[str, ...] = ("*",)) -> None:
        self._site = site
        self._shapes = Shapes(points)
        self.device_context = [_MODELS.format("Device"), CORE]

    def entity(self, record: Record) -> Form:
        """The record as one normalized entity with its `@context`."""
        body = record.body
        if isinstance(body, Event):
            return self._alert(record, body)
        kind, model = TYPES[body.series.kind]
        start_ms, end_ms = (body.start_ms, body.end_ms) if isinstance(body, Aggregate) else (record.t_ms, record.t_ms)
        form = self._head(kind, record.device, body.series) | _dates(kind, start_ms, end_ms)
        shape = self._shapes.of(body.series)
        places = shape.keep if shape.keep is not None else range(len(shape.names))
        for index in places:
            self._value(form, body, index)
        if isinstance(body, Aggregate):
            _indicators(form, body)
        for each in form.values():
            if isinstance(each, dict) and each.get("type") == "Property":
                each["observedAt"] = rfc3339(end_ms)
        return form | {"@context": [_MODELS.format(model), CORE]}

    def _head(self, kind: str, device: str, series: Series) -> Form:
        about = self._site.devices.get(device, {})
        form: Form = {"id": f"urn:ngsi-ld:{kind}:{self._site.city}:{self._site.gateway}:{device}", "type": kind}
        where = about.get("location") or self._site.location
        if isinstance(where, Mapping):
            form["location"] = {
                "type": "GeoProperty",
                "value": position(where["latitude"], where["longitude"]),
            }
        name = about.get("name")
        if isinstance(name, Mapping) and name:
            form["name"] = {"type": "Property", "value": name.get("en") or next(iter(name.values()))}
        if series.part.startswith("lane"):
            form["laneId"] = {"type": "Property", "value": int(series.part.removeprefix("lane"))}
        return form

    def _value(self, form: Form, body: Reading | Aggregate, index: int) -> None:
        point = body.series.points[index]
        value, more = _reading(body, index) if isinstance(body, Reading) else _statistic(body, index)
        if value is None or not isfinite(value):
            return
        attribute, phase = place(body.series.kind, point.name)
        number = HOW.get(attribute, same)(value)
        if not phase:
            form[attribute] = {"type": "Property", "value": number, "unitCode": _unit(attribute, point)} | more
            return
        kept = form.setdefault(attribute, {"type": "Property", "value": {}, "unitCode": _unit(attribute, point)})
        kept["value"][phase] = number
        kept.update(more)

    def _alert(self, record: Record, body: Event) -> Form:
        head = f"{self._site.city}:{self._site.gateway}:{record.device}"
        at = rfc3339(record.t_ms)
        told = {
            "alertSource": f"urn:ngsi-ld:Device:{head}",
            "category": "environment",
            "subCategory": body.type,
            "severity": "informational" if body.state != "raised" else _SEVERITY.get(body.level, "critical"),
            "dateIssued": at,
            "description": body.text.get("en", body.code),
            "code": body.code,
            "state": body.state,
        }
        form: Form = {"id": f"urn:ngsi-ld:Alert:{head}:{body.id}", "type": "Alert"}
        form |= {key: {"type": "Property", "value": value, "observedAt": at} for key, value in told.items()}
        return form | {"@context": [_MODELS.format("Alert"), CORE]}


def _dates(kind: str, start_ms: int, end_ms: int) -> Form:
    """The model's own words for the time: an instant, or (traffic) the interval."""
    start, end = rfc3339(start_ms), rfc3339(end_ms)
    if kind == "ThreePhaseAcMeasurement":
        return {}
    if kind == "FloodMonitoring":
        return {"observationDateTime": {"type": "Property", "value": end}}
    if kind != "TrafficFlowObserved" or start_ms == end_ms:
        return {"dateObserved": {"type": "Property", "value": end}}
    words = {"dateObserved": f"{start}/{end}", "dateObservedFrom": start, "dateObservedTo": end}
    return {key: {"type": "Property", "value": text} for key, text in words.items()}


def _reading(body: Reading, index: int) -> tuple[float | None, Form]:
    code = body.codes[index]
    if code >= FIRST_BAD:
        return None, {}
    return body.values[index], {"quality": {"type": "Property", "value": Code(code).text}} if code else {}


def _statistic(body: Aggregate, index: int) -> tuple[float | None, Form]:
    """The one number that stands for a window (mean, last or sum), and the rest as properties of the property."""
    names = STATISTICS[body.series.points[index].kind]
    numbers = dict(zip(names, body.stats[index], strict=False))
    if not numbers:
        return None, {}
    lead = names[0]
    attribute, phase = place(body.series.kind, body.series.points[index].name)
    how = HOW.get(attribute, same)
    more: Form = {} if phase or how is bearing else {
        name: {"type": "Property", "value": how(numbers[name])} for name in ("min", "max") if name in numbers
    }  # fmt: skip
    more |= {"windowStart": {"type": "Property", "value": rfc3339(body.start_ms)}}
    more |= {"statistic": {"type": "Property", "value": lead}}
    return numbers[lead], more


def _indicators(form: Form, body: Aggregate) -> None:
    for each in body.indicators:
        if not isfinite(each.value):
            continue
        if each.name == "aqi_th":
            form["airQualityIndex"] = {"type": "Property", "value": whole(each.value)}
            if each.level is not None:
                form["airQualityLevel"] = {"type": "Property", "value": f"level {each.level}"}
        else:
            form[each.name] = {"type": "Property", "value": each.value}


def _unit(attribute: str, point: Point) -> str:
    return "C62" if HOW.get(attribute) is ratio else units()[point.unit].uncefact
