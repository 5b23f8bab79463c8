"""Loading a good config: order of files, effective values, origins, the hash, secrets; and the shipped examples."""

import json
import os
import random
import re
import tomllib
from pathlib import Path

import jsonschema
import msgspec
import pytest
from good_config import GOOD
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import Config, locate, schema
from gateway.config.cities import cities, data_file, spelled
from gateway.config.duration import Budget, budget, bytes_per_second, seconds
from gateway.config.load import ConfigError, load
from gateway.config.windows import LENGTHS
from gateway.reading import LENGTHS_S

ROOT = Path(__file__).parents[3]
EXAMPLES = [ROOT / "config/gateway.example.toml", *sorted((ROOT / "config/sites").glob("*/gateway.toml"))]
MINIMAL = """
schema = 1
[gateway]
id = "g1"
city = "phuket"
state_dir = "{state}"
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "state").mkdir()

    def _write(text, name="gateway.toml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{state}", str(tmp_path / "state")), encoding="utf-8")
        return path

    return _write


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_examples_are_faultless(path):
    loaded = load(path)
    assert loaded.warnings == ()
    assert loaded.config.device


def test_one_site_for_each_field():
    assert [path.parent.name for path in EXAMPLES[1:]] == [
        "air-quality-pole", "building-energy", "canal-level", "intersection",
    ]  # fmt: skip


def test_minimal_config(write):
    loaded = load(write(MINIMAL))
    assert loaded.config.gateway.timezone == "Asia/Bangkok"
    assert loaded.config.windows.lengths == ("1m", "15m", "1h")


def test_files_are_read_in_the_contracts_order(write, tmp_path):
    write(MINIMAL, "etc/gateway.toml")
    write('[bus.b]\nkind = "tcp"\nhost = "10.0.0.1"\n', "etc/conf.d/20-bus.toml")
    write('[device.m]\nbus = "b"\nprofile = "eastron-sdm120"\nunit = 1\n', "etc/conf.d/10-device.toml")
    write('[device.n]\nbus = "b"\nprofile = "eastron-sdm120"\nunit = 2\n', "state/conf.d/n.toml")
    write("nonsense", "etc/conf.d/readme.txt")
    write("nonsense", "etc/conf.d/.hidden.toml")
    loaded = load(tmp_path / "etc")
    assert [str(path.relative_to(tmp_path)) for path in loaded.files] == [
        "etc/gateway.toml", "etc/conf.d/10-device.toml", "etc/conf.d/20-bus.toml", "state/conf.d/n.toml",
    ]  # fmt: skip
    assert list(loaded.config.device) == ["m", "n"]
    assert loaded.origins["device.n.unit"] == f"{tmp_path}/state/conf.d/n.toml:4"
    assert loaded.owners["device.n"] == tmp_path / "state/conf.d/n.toml"


def test_what_follows_from_profile_and_city_is_filled_in(write):
    text = MINIMAL + (
        '[bus.s]\nkind = "serial"\nport = "/dev/serial/by-path/x"\n'
        '[bus.t]\nkind = "tcp"\nhost = "10.0.0.1"\n'
        '[device.a]\nbus = "s"\nprofile = "eastron-sdm120"\nunit = 1\n'
        '[device.b]\nbus = "t"\nprofile = "schneider-pm5xxx"\nunit = 1\n'
        '[windows]\nlengths = ["5s", "1h"]\n[sink.f]\nkind = "file"\npath = "/tmp/x"\n'
    )
    config = load(write(text)).config
    assert (config.bus["s"].line, config.bus["t"].port) == ("9600 8N1", 502)
    assert config.device["a"].every == "1s"
    assert config.sink["f"].streams == ("1h", "event")


def test_the_hash_is_of_values_alone(write):
    first = load(write(MINIMAL)).hash
    assert load(write("# comment\n" + MINIMAL.replace('id = "g1"', "id   =   'g1'"))).hash == first
    assert load(write(MINIMAL + '[clock]\nmax_wait = "24h"\n')).hash == first
    assert load(write(MINIMAL + '[clock]\nmax_wait = "23h"\n')).hash != first


def test_the_hash_does_not_depend_on_the_order_of_tables(write):
    one, other = '[bus.a]\nkind = "tcp"\nhost = "h"\n', '[bus.b]\nhost = "i"\nkind = "tcp"\n'
    assert load(write(MINIMAL + one + other)).hash == load(write(MINIMAL + other + one)).hash


def test_the_sites_own_profile_is_found(write, tmp_path):
    own = (ROOT / "drivers/profiles/eastron-sdm120.toml").read_text().replace('"eastron-sdm120"', '"my-meter"')
    write(own, "profiles/my-meter.toml")
    text = MINIMAL + '[bus.t]\nkind = "tcp"\nhost = "h"\n[device.a]\nbus = "t"\nprofile = "my-meter"\nunit = 1\n'
    loaded = load(write(text))
    assert loaded.profiles["a"].id == "my-meter"
    assert loaded.profiles_dir == tmp_path / "profiles"
    write("schema = 1\n", "profiles/other.toml")
    with pytest.raises(ConfigError) as caught:
        load(write(text.replace('"my-meter"', '"other"')))
    assert [fault.code for fault in caught.value.faults] == ["CG-CFG-12"]


def test_secrets(write, tmp_path, monkeypatch):
    sink = '[sink.c]\nkind = "mqtt"\nurls = ["mqtts://h"]\nusername = "u"\npassword_file = "pw"\n'
    secret = tmp_path / "pw"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    loaded = load(write(MINIMAL + sink))
    assert loaded.secret("pw", "sink.c.password_file") == "s3cret"
    assert "s3cret" not in repr(loaded)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "pw").write_text("from systemd")
    (credentials / "pw").chmod(0o440)  # as systemd hands them over
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert loaded.secret("pw", "sink.c.password_file") == "from systemd"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    secret.chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        loaded.secret("pw", "sink.c.password_file")
    (fault,) = caught.value.faults
    assert (fault.code, fault.do) == ("CG-CFG-23", f"chmod 600 {secret}")
    assert fault.at.startswith(str(tmp_path / "gateway.toml"))
    secret.chmod(0o600)
    secret.write_text("two\nlines")
    with pytest.raises(ConfigError):
        loaded.secret("pw", "sink.c.password_file")


def test_a_secret_named_in_a_drop_in_stands_beside_it(write, tmp_path):
    write(MINIMAL, "etc/gateway.toml")
    write('[sink.c]\nkind = "mqtt"\nurls = ["mqtts://h"]\nusername = "u"\npassword_file = "pw"\n', "etc/conf.d/c.toml")
    (tmp_path / "etc/conf.d/pw").write_text("x")
    (tmp_path / "etc/conf.d/pw").chmod(0o400)
    assert load(tmp_path / "etc").secret("pw", "sink.c.password_file") == "x"


def test_memory_sinks_are_for_tests(write):
    path = write(MINIMAL + '[sink.m]\nkind = "memory"\n')
    assert load(path, memory=True).config.sink["m"].kind == "memory"
    with pytest.raises(ConfigError):
        load(path)


def test_too_many_columns_for_influx_3(write, tmp_path):
    rows = "".join(f'{{ point = "{name}", read = "input {2 * n} f32" }},\n' for n, name in enumerate(_gauges(60)))
    head = (ROOT / "drivers/profiles/eastron-sdm120.toml").read_text().split("row = [")[0]
    wide = head.replace('"eastron-sdm120"', '"wide"') + f"row = [\n{rows}]\n"
    write(wide, "profiles/wide.toml")
    text = MINIMAL + (
        '[bus.t]\nkind = "tcp"\nhost = "h"\n[device.a]\nbus = "t"\nprofile = "wide"\nunit = 1\n'
        '[sink.i]\nkind = "influxdb"\napi = "v3"\ndatabase = "d"\nurls = ["http://127.0.0.1:1"]\n'
    )
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert "CG-CFG-30" in [fault.code for fault in caught.value.faults if not fault.warning]
    assert load(write(text.replace('"v3"', '"v1"')))


def _gauges(count):
    from drivers.points import points

    return [name for name, point in points().items() if point.kind == "gauge"][:count]


def test_the_schema_file_is_in_step():
    assert (ROOT / "config/citygate.schema.json").read_text(encoding="utf-8") == schema.text()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_exported_schema_takes_the_examples(path):
    made = json.loads(schema.text())
    jsonschema.Draft4Validator.check_schema(made)
    jsonschema.Draft4Validator(made).validate(tomllib.loads(path.read_text(encoding="utf-8")))


def test_every_key_of_the_tree_is_in_the_schema():
    definitions = json.loads(schema.text())["definitions"]
    for struct in (Config, *(msgspec.inspect.type_info(Config).fields and ())):
        assert set(struct.__struct_fields__) == set(definitions[struct.__name__]["properties"])


def test_window_lengths_agree_with_the_readings():
    assert dict(LENGTHS) == dict(LENGTHS_S)


def test_cities():
    known = cities()
    assert len(known) == 20
    assert data_file("cities.toml").parent.name in {"config", "_config"}
    for key, city in known.items():
        assert city.timezone == "Asia/Bangkok"
        assert city.province.code.startswith("TH-")
        assert {"en", "th"} == set(city.name)
        assert 5.5 < city.location.latitude < 20.6
        assert 97.2 < city.location.longitude < 105.8
        assert not set(city.also) & set(known), key
    assert spelled("Chon-Buri") == "chonburi"


@pytest.mark.parametrize(
    ("text", "value"),
    [("250ms", 0.25), ("1s", 1), ("1.5s", 1.5), ("15m", 900), ("15 min", 900), ("24h", 86400), ("3d", 259200)],
)
def test_durations(text, value):
    assert seconds(text) == value


def test_rates_and_budgets():
    assert bytes_per_second("64 kB/s") == 64_000
    assert bytes_per_second("1.5MB/s") == 1_500_000
    assert budget("3 GB/month") == Budget(3_000_000_000, "month")
    assert budget("500 MB / day") == Budget(500_000_000, "day")


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_value_error(text):
    for parse in (seconds, bytes_per_second, budget):
        try:
            found = parse(text)
        except ValueError:
            continue
        assert (found[0] if isinstance(found, tuple) else found) > 0


_KEYS = st.text("abc_-1", min_size=1, max_size=4)
_VALUES = st.recursive(
    st.one_of(
        st.integers(-5, 5), st.booleans(), st.floats(allow_nan=False, allow_infinity=False, width=32),
        st.text("ab \"'#[]{}=,\\\nก", max_size=8),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)), max_leaves=6,
)  # fmt: skip


def _written(value, rng):  # noqa: PLR0911 - one form of each type
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if rng.random() < 0.3 and "'''" not in value and not value.endswith("'"):
            return f"'''\n{value}'''"
        if rng.random() < 0.3:
            return '"""' + value.replace("\\", "\\\\").replace('"', '\\"') + '"""'
        return json.dumps(value, ensure_ascii=rng.random() < 0.5)
    if isinstance(value, list):
        gap = rng.choice([" ", "\n  # [c\n"])
        return "[" + gap + ("," + gap).join(_written(item, rng) for item in value) + gap + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key, rng)} = {_written(item, rng)}" for key, item in value.items()) + " }"
    return repr(value)


def _key(key, rng):
    return rng.choice([key, f'"{key}"', f"'{key}'"])


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.dictionaries(_KEYS, st.dictionaries(_KEYS, _VALUES, max_size=4), max_size=4), st.randoms(use_true_random=False)
)
def test_the_locator_finds_every_key_where_it_was_written(tables, rng):
    rows, places = [], {}
    for table, pairs in tables.items():
        rows += [""] * rng.randint(0, 2) + [f"[{_key(table, rng)}] # [no]"]
        places[(table,)] = len(rows)
        for key, value in pairs.items():
            places[(table, key)] = len(rows) + 1
            rows += f"  {_key(key, rng)} = {_written(value, rng)} # = x".split("\n")
    text = "\n".join(rows)
    tomllib.loads(text)
    found = locate.lines(text)
    assert {path: found.get(path) for path in places} == places


@given(st.text("[]{}=.,#\"'\\\n ab1", max_size=200))
def test_the_locator_never_fails(text):
    assert all(line >= 1 for line in locate.lines(text).values())


_ODD = ("nan", "-inf", "[]", "{}", "1979-05-27", '""', "true", "99999999999999999999", '[[["a"]]]')


@pytest.mark.parametrize("seed", range(6))
def test_mangled_configs_are_loaded_or_refused(tmp_path, seed):
    """Whatever happens to a file, the answer is a config or faults with a place; never another exception."""
    rng = random.Random(seed)
    good = GOOD.replace("{state}", str(tmp_path)).split("\n")
    for _turn in range(50):
        rows = good[:]
        for _mangle in range(rng.randint(1, 4)):
            at = rng.randrange(len(rows))
            row = rows[at]
            cut = rng.randint(0, len(row))
            rows[at] = rng.choice([
                "", row[:cut], row[cut:], row + row, row[:cut] + rng.choice('"[]{}=.#\\\x00é1') + row[cut:],
                rows[rng.randrange(len(rows))], f"{row.split('=')[0]}= {rng.choice(_ODD)}",
            ])  # fmt: skip
        path = tmp_path / "gateway.toml"
        path.write_bytes("\n".join(rows).encode())
        with pytest.raises(ConfigError) as caught:  # the secret files are never there
            load(path)
        assert all(fault.at for fault in caught.value.faults), "\n".join(rows)


@pytest.mark.parametrize("form", ["jsonl", "csv", "lp", "prometheus"])
def test_what_the_check_lets_pass_is_built(write, tmp_path, form):
    """A config that passes must not fail when the sink is made."""
    from gateway.sinks import Site
    from gateway.sinks.registry import make_sink

    path = write(MINIMAL + f'[sink.f]\nkind = "file"\npath = "{tmp_path}/out"\nformat = "{form}"\n')
    loaded = load(path)
    site = Site("c", "g", "0", "", "00000001-0000", "", {}, None, ())
    assert make_sink("f", loaded.config.sink["f"], site=site)


@pytest.mark.parametrize(("path", "place"), [("out", "{state}/out"), ("a/b", "{state}/a/b"), ("/srv/a", "/srv/a")])
def test_a_relative_path_of_a_sink_stands_in_the_state_directory(write, path, place):
    """Not in the folder the process happens to be started in: sink, audit and check mean one file."""
    loaded = load(write(MINIMAL + f'[sink.f]\nkind = "file"\npath = "{path}"\n'))
    assert loaded.config.sink["f"].path == place.format(state=loaded.config.gateway.state_dir)


def test_cities_are_those_of_the_domain_table():
    """Names, province and place of each city, against the table of the programme's cities, where it is at hand."""
    source = Path(os.environ.get("CITYGATE_DOMAIN") or ROOT / "../shared/domain.md")
    if not source.is_file():
        pytest.skip(f"{source} is not here: the table of cities cannot be compared")
    section = source.read_text(encoding="utf-8").split("### 7.4")[1].split("Spelling variants")[0]
    rows = [
        [cell.strip() for cell in line.strip("| \n").split("|")] for line in section.splitlines() if "| TH-" in line
    ]
    told = {
        (_bare(en), _bare(th), province_th, code[:5], lat.strip("*"), lon.strip("*"), "*" in lat)
        for en, th, _province, province_th, code, lat, lon in rows
    }
    ours = {
        (_bare(city.name["en"]), city.name["th"], city.province.th, city.province.code,
         city.location.latitude, city.location.longitude, bool(city.location.approximate))
        for city in cities().values()
    }  # fmt: skip
    assert {(*row[:4], float(row[4]), float(row[5]), row[6]) for row in told} == ours
    assert len(ours) == 20


def _bare(name):
    return re.sub(r" (\(.*|estate)$", "", name)
