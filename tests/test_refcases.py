"""Every worked case of CITYGATE_REFCASES is reproduced, by the rules of the file's README."""

import json
import math
import os
import tomllib
from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import senml_reader

from gateway.indicators import air, energy, moments, plausible, tariff, traffic, water, wind
from gateway.sinks import line_protocol, ngsi, sparkplug_node, sparkplug_payload
from gateway.window.grid import Grid

ROOT = Path(__file__).parents[1]
FILE = Path(os.environ.get("CITYGATE_REFCASES") or ROOT / "../shared/refcases.json")
CASES = json.loads(FILE.read_text(encoding="utf-8"))["cases"] if FILE.is_file() else []
POINT = {"pm25": "pm2_5"}
BACK = {"pm2_5": "pm25"}
pytestmark = pytest.mark.refcases


def _number(text):
    return None if text is None else Decimal(text)


# --- one runner per topic: the case's input -> the result under the names of the file


def _th(scale):
    def run(case):
        found = air.index(scale, POINT.get(case["pollutant"], case["pollutant"]), value=case["value"])
        if found is None:
            return {"aqi": None}
        en, th, colour = air.LEVELS_TH[found.level - 1]
        return {"aqi": found.value, "level": found.level, "name_th": th, "name_en": en, "colour": colour}

    return run


def _th_overall(case):
    index, main = air.overall(air.TH2023, {POINT.get(name, name): value for name, value in case.items()})
    return {"aqi": index.value, "main_pollutant": BACK.get(main, main)}


def _us(case):
    name = case["pollutant"].rsplit("_", 1)[0]
    found = air.index(air.US2024, POINT.get(name, name), value=case["value"])
    return {"aqi": found and found.value}


def _nowcast(case):
    found = air.nowcast(case["hourly_latest_first"])
    return {"nowcast": None if found is None else float(found)}


def _kappa(case):
    factor = air.growth(case["rh_pct"], kappa=case["kappa"], density=case["density"])
    return {"factor": factor, "pm_dry": case["pm_raw"] / factor}


def _aligned(case):
    t = datetime.fromisoformat(case["time"])
    start, end = Grid(ZoneInfo(case["align_tz"])).window(round(t.timestamp() * 1000), case["width_s"])
    return {"start_utc": start, "end_utc": end}


def _welford(case):
    values = case.get("values")
    if values is None:
        values = [case["generator"]["first"], *case["generator"]["then_repeat_500_times"] * 500]
        assert len(values) == case["n"]
    m = moments.moments(values)
    sd = None if m.sample_variance is None else math.sqrt(m.sample_variance)
    return {"n": m.n, "mean": m.mean, "sd": sd, "sample_var": m.sample_variance, "pop_var": m.population_variance}


def _chan(case):
    parts = [
        moments.Moments(p["n"], p["mean"], p["m2"], p["min"], p["max"]) if p["n"] else moments.Moments()
        for p in (case["a"], case["b"])
    ]
    m = parts[0].merged(parts[1])
    low, high, mean = (m.low, m.high, m.mean) if m.n else (None, None, None)
    return {"n": m.n, "mean": mean, "sample_var": m.sample_variance, "min": low, "max": high}


def _p2(case):
    estimate = moments.P2(case["p"])
    for value in case["values"]:
        estimate.add(value)
    return {"estimate": estimate.estimate, "markers": estimate.markers}


def _circular(case):
    mean, length = wind.circular_mean(case["deg"])
    return {"mean": mean, "R": length}


def _vector(case):
    v = wind.vector_mean(case["dir_from_deg"], case["speed"])
    return {"u": v.u, "v": v.v, "speed_vector_mean": v.speed_vector, "speed_scalar_mean": v.speed_scalar,
            "dir_from_deg": v.direction}  # fmt: skip


def _register(case):
    modulus = Decimal(case["register_max"]) + 1 if "register_max" in case else Decimal(10) ** case["digits"]
    limit = None
    if "max_kw" in case:
        kwh = Decimal(str(case["max_kw"])) * Decimal(str(case["elapsed_s"])) / 3600
        limit = kwh / Decimal(str(case.get("kwh_per_count", 1)))
    delta, event = energy.register_delta(
        Decimal(case["prev"]),
        Decimal(case["curr"]),
        register=energy.Register(modulus, limit),
        swapped=case.get("serial_prev") != case.get("serial_curr"),
    )
    return {"delta": delta, "event": event}


def _demand(case):
    kwh = case["kwh_register_each_minute_from_hh00"]
    blocks = energy.block_demand_kw(kwh)
    return {
        "block_kw": blocks,
        "block_max_kw": max(blocks, default=None),
        "sliding_1min_step_max_kw": energy.sliding_demand_kw(kwh),
    }


def _power_factor(case):
    excess, charge = energy.power_factor_charge(case["max_kw_15min"], case["max_kvar_15min_lagging"])
    return {"excess_kvar": excess, "charge_thb": float(charge)}


def _unbalance(case):
    lines = {"u12": case["u12"], "u23": case["u23"], "u31": case["u31"]}
    return {
        "iec_u2_pct": energy.unbalance_iec_pct(**lines),
        "nema_pct": energy.unbalance_nema_pct(**lines),
    }


def _detector(case):
    if "count_30s" in case:
        return {"chatter": traffic.chatters(case["count_30s"])}
    if "occ_pct_samples_30s" in case:
        return {"locked_on": traffic.locked_on(case["occ_pct_samples_30s"])}
    return {"no_hits": traffic.no_hits(case["lane_type"], hours=case["zero_count_hours"])}


def _headway(case):
    mean, flow = traffic.mean_headway(case["headways_s"])
    return {"mean_s": mean, "veh_h": flow}


def _situation(case):
    level = water.situation(case["pct_of_bank_capacity"])
    return {"situation_level": level, "name_th": water.SITUATIONS[level - 1][1]}


def _ntcip(case):
    occupancy, fault = plausible.ntcip_occupancy(case["byte"])
    return {"occupancy_pct": occupancy, "fault": fault}


def _opcua(case):
    given = {k: case[k] for k in ("good", "bad", "uncertain", "pct_good", "pct_bad")}
    return {"status": plausible.opcua_status(**given, uncertain_is_bad=case["treat_uncertain_as_bad"])}


def _province(case):
    cities = tomllib.loads((ROOT / "config/cities.toml").read_text(encoding="utf-8")).values()
    found = next(
        c["province"] for c in cities if c["province"]["en"] in {case["province"], case["province"].split(" (")[0]}
    )
    return {"iso3166_2": found["code"], "tis1099": found["code"][3:], "name_th": found["th"]}


def _line(case):
    """One line, or nothing where no field is left."""
    makes = {"float": float, "int": int, "bool": bool, "str": str}
    fields = {name: makes[kind](x) for name, typed in case["fields"].items() for kind, x in typed.items()}
    text = line_protocol.line(case["measurement"], case["tags"], fields=fields, time=case["time_ns"])
    return {"line": text, "line_parsed": None if text == "" else text}


def _entity_value(case):
    """A value as the model of an entity wants it; the phase of a phased attribute in front."""
    if "geo" in case:
        return {"coordinates": ngsi.position(case["geo"]["lat"], case["geo"]["lon"])["coordinates"]}
    raw = next(case[key] for key in ("deg_0_360", "percent", "count", "value") if key in case)
    value = ngsi.HOW.get(case["attr"], ngsi.same)(raw)
    return {"value": {case["phase"]: value} if "phase" in case else value}


def _sparkplug(case):
    found = sparkplug_payload.decode(bytes.fromhex(case["hex"]))
    for metric in found["metrics"]:
        metric.pop("timestamp", None)  # by the README, what a case does not list is not compared
    return found


def _sparkplug_rule(case):
    match case["op"]:
        case "next_seq":
            return {"seq": sparkplug_node.next_seq(case["prev"])}
        case "next_bdseq":
            return {"bdSeq": sparkplug_node.next_bdseq(case["prev"])}
        case "topic":
            kind, group, node, device = (case[key] for key in ("type", "group", "node", "device"))
            return {"topic": sparkplug_node.topic(kind, group=group, node=node, device=device)}
        case "state_topic":
            return {"topic": sparkplug_node.state_topic(case["host"])}


RUN = {
    "air/th_aqi_2023/subindex": _th(air.TH2023),
    "air/th_aqi_2023/category": _th(air.TH2023),
    "air/th_aqi_2023/gap": _th(air.TH2023),
    "air/th_aqi_2023/above_top": _th(air.TH2023),
    "air/th_aqi_2023/overall": _th_overall,
    "air/th_aqi_pre2023/subindex": _th(air.TH2018),
    "air/us_aqi_2024": _us,
    "air/nowcast_pm25": _nowcast,
    "air/ppb_to_ugm3": lambda c: {
        "ug_m3": air.mass(c["gas"], ppb=c["ppb"], temperature_c=c["temp_c"], pressure_pa=c["pressure_pa"])
    },
    "air/barkjohn_2021": lambda c: {"pm25": air.barkjohn_2021(c["pa_cf1"], c["rh_pct"])},
    "air/barkjohn_2022_extended": lambda c: {"pm25": air.barkjohn_2022(c["pa_cf1"], c["rh_pct"])},
    "air/kappa_kohler": _kappa,
    "window/completeness_75pct": lambda c: {"valid_window": air.complete(c["valid"], c["expected"])},
    "window/tumbling_aligned": _aligned,
    "stats/welford": _welford,
    "stats/merge_chan": _chan,
    "stats/p2_median": _p2,
    "stats/percentile_linear": lambda c: {"value": moments.percentile(c["values"], c["p"])},
    "stats/circular_mean_deg": _circular,
    "stats/vector_wind": _vector,
    "stats/yamartino": lambda c: {"sigma_deg": wind.yamartino(c["deg"])},
    "energy/register_delta": _register,
    "energy/demand_15min": _demand,
    "energy/pf_charge_thb": _power_factor,
    "energy/load_factor": lambda c: {
        "load_factor": energy.load_factor(c["kwh"], peak_kw=c["peak_kw"], hours=c["hours"])
    },
    "energy/voltage_unbalance": _unbalance,
    "energy/iec_rms_aggregate": lambda c: {"aggregate": energy.rms(c["values"])},
    "energy/th_tou_period": lambda c: {"period": tariff.tou_period(datetime.fromisoformat(c["time"]))},
    "energy/th_tod_period": lambda c: {"period": tariff.tod_period(time.fromisoformat(c["local_time"]))},
    "traffic/flow": lambda c: {"veh_h": traffic.flow(c["count"], c["seconds"])},
    "traffic/mean_speed": lambda c: {
        "time_mean": traffic.time_mean_speed(c["spot_kmh"]),
        "space_mean": traffic.space_mean_speed(c["spot_kmh"]),
    },
    "traffic/density": lambda c: {
        "veh_km_lane": traffic.density(c["veh_h"], speed_kmh=c["space_mean_kmh"], lanes=c["lanes"])
    },
    "traffic/occupancy_density": lambda c: {
        "veh_km": traffic.occupancy_density(
            c["occupancy_fraction"], vehicle_m=c["veh_len_m"], detector_m=c["detector_len_m"]
        )
    },
    "traffic/los_freeway_si": lambda c: {"los": traffic.level_of_service(c["pc_km_lane"], traffic.LOS_KM)},
    "traffic/los_freeway_us": lambda c: {"los": traffic.level_of_service(c["pc_mi_lane"], traffic.LOS_MILE)},
    "traffic/phf": lambda c: {"phf": traffic.peak_hour_factor(c["counts_15min"])},
    "traffic/headway": _headway,
    "traffic/detector_qc_iris": _detector,
    "water/stage": lambda c: {"stage_m": water.stage(c["sensor_above_datum_m"], c["distance_m"])},
    "water/rate_of_rise": lambda c: {
        "lsq_slope_m_per_h": water.rise_slope(c["t_s"], c["stage_m"]),
        "endpoint_m_per_h": water.rise_ends(c["t_s"], c["stage_m"]),
    },
    "water/thaiwater_situation": _situation,
    "water/bank_percent": lambda c: {
        "pct": water.bank_percent(c["level_m_msl"], ground_m=c["ground_level_m_msl"], bank_m=c["min_bank_m_msl"])
    },
    "quality/ntcip_occupancy": _ntcip,
    "quality/opcua_aggregate_status": _opcua,
    "quality/qartod_gross_range": lambda c: {
        "flags": plausible.gross_range(c["values"], fail=tuple(c["fail_span"]), suspect=tuple(c["suspect_span"]))
    },
    "quality/qartod_spike": lambda c: {"flags": plausible.spikes(c["values"], suspect=c["suspect"], fail=c["fail"])},
    "quality/qartod_rate_of_change": lambda c: {
        "flags": plausible.rate_of_change(c["values"], c["t_s"], per_s=c["threshold_per_s"])
    },
    "quality/qartod_flat_line": lambda c: {
        "flags": plausible.flat_line(
            c["values"], c["t_s"], suspect_s=c["suspect_s"], fail_s=c["fail_s"], tolerance=c["tolerance"]
        )
    },
    "geo/th_province": _province,
    "senml/resolve": lambda c: {"resolved": senml_reader.resolve(c["pack"], now=c.get("now"))},
    "influx/line": _line,
    "ngsi/sdm_units": _entity_value,
    "sparkplug/decode": _sparkplug,
    "sparkplug/rules": _sparkplug_rule,
}
DIRECTIONS = {"stats/circular_mean_deg": "mean", "stats/vector_wind": "dir_from_deg"}
INSTANTS = {"start_utc", "end_utc"}


# --- comparing, by the README


def _close(found, wanted, *, name, case):
    tolerance = case["tolerance"]
    if tolerance != "exact":
        if DIRECTIONS.get(case["topic"]) == name and "abs_deg_mod360" in tolerance:
            away = abs(found - wanted) % 360
            return min(away, 360 - away) <= tolerance["abs_deg_mod360"]
        for key in (f"{name}_abs", "abs") if f"{name}_rel" not in tolerance else (f"{name}_abs",):
            if key in tolerance:
                return abs(found - wanted) <= tolerance[key]
        for key in (f"{name}_rel", "rel"):
            if key in tolerance:
                return abs(found - wanted) <= tolerance[key] * abs(wanted)
    return found == wanted


def _agrees(found, wanted, *, name, case):
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(
            _agrees(a, b, name=name, case=case) for a, b in zip(found, wanted, strict=True)
        )
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_agrees(found[k], wanted[k], name=k, case=case) for k in wanted)
    if wanted is None or found is None or isinstance(wanted, bool | str) or isinstance(found, Decimal):
        return _same(found, wanted, name=name)
    return _close(found, wanted, name=name, case=case)


def _same(found, wanted, *, name):
    """Text, truth, nothing, instants and exact decimals."""
    if wanted is None or found is None or isinstance(wanted, bool):
        return found is wanted
    if name in INSTANTS:
        return found == datetime.fromisoformat(wanted).timestamp() * 1000
    return found == (Decimal(str(wanted)) if isinstance(found, Decimal) else wanted)


def _field(found, name, wanted, case):
    if name.endswith("_any_of"):
        key = name.removesuffix("_any_of")
        return any(_agrees(found[key], one, name=key, case=case) for one in wanted)
    if name.endswith("_min") and name not in found:
        return found[name.removesuffix("_min")] >= wanted
    return _agrees(found[name], wanted, name=name, case=case)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case(case):
    assert case["topic"] in RUN, f"unknown topic {case['topic']}"
    found = RUN[case["topic"]](case["input"])
    for name, wanted in case["expected"].items():
        assert _field(found, name, wanted, case), (name, wanted, found)


@pytest.mark.skipif(bool(CASES), reason="the cases are there")
def test_the_cases_are_absent():
    pytest.skip(f"no reference cases at {FILE}; set CITYGATE_REFCASES")


@pytest.mark.skipif(not CASES, reason="no reference cases")
def test_the_comparison_can_fail():
    case = next(case for case in CASES if case["topic"] == "air/th_aqi_2023/subindex")
    found = RUN[case["topic"]](case["input"])
    assert not _field(found | {"aqi": found["aqi"] + 1}, "aqi", case["expected"]["aqi"], case)
    assert not _field(found | {"aqi": None}, "aqi", case["expected"]["aqi"], case)
