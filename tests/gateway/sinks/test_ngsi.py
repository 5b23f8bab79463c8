"""NGSI-LD: entities valid by the official schemas, and a context broker's every answer."""

import asyncio
import json
from math import nan
from pathlib import Path

import jsonschema
import pytest
import referencing
import referencing.jsonschema
from context_broker import ContextBroker
from sink_cases import EPOCH, SITE, T0_MS, TRAFFIC, Book, event, options, parcels, raw, until, window

from drivers.points import point
from gateway.reading import Aggregate, Reading, Series
from gateway.record import Record
from gateway.sinks import Fate, SinkDown
from gateway.sinks.ngsi import Entities, place
from gateway.sinks.registry import make_sink

SCHEMAS = Path(__file__).parents[3] / "../shared/schemas"
REFERENCES = {
    "https://smart-data-models.github.io/data-models/common-schema.json": "common-schema.json",
    "https://smart-data-models.github.io/dataModel.Device/device-schema.json": "device-schema.json",
    "https://raw.githubusercontent.com/smart-data-models/dataModel.Environment/master/Environment-schema.json": (
        "Environment-schema.json"
    ),
}
METER = Series(
    "meter", "meter", "energy",
    tuple(point(n) for n in ("energy_import", "power_active", "voltage_l1", "voltage_l2", "voltage_l3", "voltage_l1_l2",
                             "current_l1", "current_n", "thd_voltage_l1", "power_factor", "frequency")),
    1000,
)  # fmt: skip
RIVER = Series("river", "river", "water", (point("level"),), 60000)
WIND = Series(
    "mast", "mast", "air", tuple(point(n) for n in ("wind_direction", "wind_speed", "humidity", "temperature")), 1000
)  # fmt: skip


def reading(series, values, codes=None):
    body = Reading(series, T0_MS, 0, tuple(values), tuple(codes or (0,) * len(values)))
    return Record(series.id, "raw", T0_MS, EPOCH, 1, body)


def entity(record):
    return Entities(SITE).entity(record)


def key_values(form):
    return {
        k: (v.get("value", v.get("object")) if isinstance(v, dict) else v) for k, v in form.items() if k != "@context"
    }


def validate(form):
    file = SCHEMAS / f"{form['type']}.schema.json"
    if not file.is_file():
        pytest.skip(f"the schemas of the Smart Data Models are not here: {SCHEMAS}")
    load = referencing.jsonschema.DRAFT202012.create_resource
    resources = [(uri, load(json.loads((SCHEMAS / name).read_text()))) for uri, name in REFERENCES.items()]
    registry = referencing.Registry().with_resources(resources)
    jsonschema.Draft202012Validator(json.loads(file.read_text()), registry=registry).validate(key_values(form))


LANE = Aggregate(
    series=TRAFFIC, stream="15m", start_ms=T0_MS, end_ms=T0_MS + 900_000, n=197, coverage=None,
    stats=((197.0,), (52.6, 30.0, 71.0, 8.0, 52.0, 65.0)), counts=(197, 197), codes=((), ()),
)  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [
        raw(1),
        window(1),
        reading(WIND, (270.0, 3.5, 65.0, 31.2)),
        Record("road-lane1", "15m", T0_MS, EPOCH, 1, LANE),
        reading(METER, (1234.5, -1500.0, 230.1, 231.0, 229.5, 400.2, 3.2, 0.1, 2.5, -0.98, 50.01)),
        reading(RIVER, (-0.25,)),
    ],
    ids=["air-raw", "air-window", "wind", "lane", "meter", "river"],
)
def test_entities_are_valid_by_the_official_schemas(record):
    validate(entity(record))


def test_units_and_ranges_are_the_models():
    form = key_values(entity(reading(WIND, (270.0, 3.5, 65.0, 31.2))))
    assert (form["windDirection"], form["relativeHumidity"]) == (-90.0, 0.65)
    form = entity(reading(METER, (1234.5, 1500.0, 230.1, 231.0, 229.5, 400.2, 3.2, 0.1, 2.5, 0.98, 50.01)))
    assert form["phaseVoltage"]["value"] == {"L1": 230.1, "L2": 231.0, "L3": 229.5}
    assert (form["phaseVoltage"]["unitCode"], form["totalActiveEnergyImport"]["unitCode"]) == ("VLT", "KWH")
    assert form["thdVoltage"]["value"] == {"L1": 0.025}
    assert form["thdVoltage"]["unitCode"] == "C62"
    assert form["current"]["value"] == {"L1": 3.2, "N": 0.1}


def test_a_window_is_observed_at_its_end_and_says_where_it_began():
    form = entity(window(1))
    assert form["id"] == "urn:ngsi-ld:AirQualityObserved:khon-kaen:kkc-0412:air-north"
    pm25 = form["pm25"]
    assert (pm25["value"], pm25["unitCode"], pm25["observedAt"]) == (12.1, "GQ", "2026-11-21T04:00:00.000Z")
    assert pm25["windowStart"]["value"] == "2026-11-21T03:00:00.000Z"
    assert (form["airQualityIndex"]["value"], form["airQualityLevel"]["value"]) == (20, "level 1")
    assert form["location"]["value"]["coordinates"] == [102.8236, 16.4322]


def test_a_lane_counts_vehicles_in_an_interval():
    form = key_values(entity(Record("road-lane1", "15m", T0_MS, EPOCH, 1, LANE)))
    assert (form["intensity"], form["laneId"], form["averageVehicleSpeed"]) == (197, 1, 52.6)
    assert form["dateObserved"] == "2026-11-21T02:00:00.000Z/2026-11-21T02:15:00.000Z"


def test_a_bad_value_is_left_out_and_an_uncertain_one_says_why():
    form = entity(raw(1, values=(nan, 6553.5), codes=(201, 204)))
    assert "pm25" not in form
    assert "pm10" not in form
    form = entity(raw(1, codes=(0, 101)))
    assert form["pm10"]["quality"]["value"] == "u:stuck"


def test_a_point_without_a_model_keeps_its_name():
    assert place("energy", "run_time") == ("run_time", "")
    assert place("energy", "power_active_l2") == ("activePower", "L2")


def run(broker, records):
    async def story():
        sink, book = make_sink("city", options("ngsi-ld", urls=(broker.url,)), site=SITE), Book()
        try:
            await sink.open(book)
            await sink.send(parcels(records))
            await book.until(len(records))
        finally:
            await sink.close()
        return book

    return asyncio.run(story())


def test_every_observation_arrives_in_order_though_a_batch_names_an_entity_once():
    with ContextBroker() as broker:
        book = run(broker, [raw(seq) for seq in range(1, 31)] + [window(1), event(1)])
    assert sorted(book.delivered) == list(range(32))
    history = broker.entities["urn:ngsi-ld:AirQualityObserved:khon-kaen:kkc-0412:air-north"]["history"]
    times = [entry["pm25"]["observedAt"] for entry in history]
    assert len(times) == 31
    assert times == sorted(times)
    assert broker.requests[0][0]["Content-Type"] == "application/ld+json"
    assert any(name.startswith("urn:ngsi-ld:Alert:") for name in broker.entities)


def partial(entities):
    if entities[0]["type"] == "Device":
        return None
    refused = {"entityId": entities[0]["id"], "error": {"title": "bad", "status": 400}}
    rest = [entity["id"] for entity in entities[1:2]]
    return 207, {"success": rest, "errors": [refused]}, rest


def test_a_partial_success_settles_each_entity_by_itself():
    records = [raw(1), reading(METER, (1.0,) * 11), reading(RIVER, (1.0,))]
    with ContextBroker() as broker:
        broker.answer = partial
        book = run(broker, records)
    fates = {position: fate for position, fate, _ in book.fates}
    assert fates == {0: Fate.DEAD, 1: Fate.DELIVERED, 2: Fate.AGAIN}
    assert "bad" in book.reason(0)


@pytest.mark.parametrize("told", [True, 5, "x", {"a": 1}, None, ["x", 5, None], [{"entityId": ["x"]}]], ids=str)
def test_a_207_that_tells_of_no_entity_settles_none(told):
    def answer(entities):
        return None if entities[0]["type"] == "Device" else (207, {"success": told, "errors": told}, [])

    with ContextBroker() as broker:
        broker.answer = answer
        book = run(broker, [raw(1)])
    assert book.fates == [(0, Fate.AGAIN, "HTTP 207: it is in neither list")]


def test_one_malformed_entity_is_found_by_halving():
    def judge(entities):
        if any(entity["type"] == "FloodMonitoring" for entity in entities):
            return 400, {"title": "BadRequestData"}, []
        return None

    with ContextBroker() as broker:
        broker.answer = judge
        book = run(broker, [raw(1), reading(RIVER, (1.0,)), reading(METER, (1.0,) * 11)])
    assert sorted(book.delivered) == [0, 2]
    assert book.of(Fate.DEAD) == [1]


REFUSALS = [(401, "CG-NGS-02"), (404, "CG-NGS-03"), (200, "CG-NGS-03"), (503, "CG-NGS-04"), (500, "CG-NGS-01")]


@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_a_broker_that_does_not_take_the_gateway_keeps_the_sink_down(status, code):
    with ContextBroker() as broker:
        broker.answer = lambda _entities: (status, {"title": "no"}, [])
        with pytest.raises(SinkDown) as caught:
            run(broker, [raw(1)])
    assert caught.value.code == code


def test_a_context_broker_that_refuses_all_entities_for_a_while_buries_none():
    def shut(entities):
        greeted = len(broker.requests) == 1
        every = [{"entityId": entity["id"], "error": {"title": "no tenant", "status": 400}} for entity in entities]
        return None if greeted else (207, {"success": [], "errors": every}, [])

    async def story():
        sink, book = make_sink("platform", options("ngsi-ld", urls=(broker.url,)), site=SITE), Book()
        await sink.open(book)
        await sink.send(parcels([raw(1), reading(METER, (1.0,) * 11)]))
        await until(lambda: sink.down() is not None)
        assert (book.fates, sink.down().code) == ([], "CG-NGS-03")
        await sink.close()

    with ContextBroker() as broker:
        broker.answer = shut
        asyncio.run(story())
