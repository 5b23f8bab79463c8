"""The live page in a real Chromium: what is shown, refused, said; both languages and themes, desktop and phone."""

import json
import re
import subprocess
import tarfile
import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from live_desk import LivePage, ScriptedDaemon, aqi, device, rfc
from parts import PartMissing, poll, program

import gateway.web

pytestmark = [pytest.mark.browser, pytest.mark.parts]
AXE = "axe-core@4.14.1"
EVIL = (
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    '"><svg onload=window.hacked=1>',
    "javascript:window.hacked=1",
    "{{constructor.constructor('window.hacked=1')()}}",
    "</title><script>window.hacked=1</script>",
    "' onfocus=window.hacked=1 autofocus='",
    "<iframe srcdoc='<script>top.hacked=1</script>'>",
    "${window.hacked=1}",
)


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-background-networking", "--no-first-run", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium", package="chromium"), args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("axe")
    npm = program("npm", package="npm")
    done = subprocess.run([npm, "pack", "--silent", AXE], cwd=folder, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise PartMissing(f"npm cannot fetch {AXE} (or: make test PARTS=none): {done.stderr[-200:]}")
    with tarfile.open(folder / done.stdout.strip().splitlines()[-1]) as tar:
        return tar.extractfile("package/axe.min.js").read().decode()


@pytest.fixture
def chart():
    """The chart library packed into the page, as when a package is built; taken out again if it was not there."""
    static = Path(gateway.web.__file__).parent / "static"
    before = {path.name for path in static.iterdir()}
    script = Path(__file__).parents[2] / "deploy" / "fetch-chart.sh"
    if "uplot.js" not in before:
        done = subprocess.run(["sh", str(script), str(static)], capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise PartMissing(f"npm cannot fetch uPlot (or: make test PARTS=none): {done.stderr[-200:]}")
    yield
    for path in static.iterdir():
        if path.name not in before:
            path.unlink()


class Watch:
    """A tab that notes every request, every console error and every dialog."""

    def __init__(self, chromium, live, *, lang="en-GB", scheme="light", size=(1280, 900), js=True):
        self.context = chromium.new_context(
            locale=lang, color_scheme=scheme, viewport={"width": size[0], "height": size[1]}, java_script_enabled=js
        )
        self.page, self.live = self.context.new_page(), live
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append("dialog") or dialog.dismiss())

    def open(self, tab="air"):
        self.page.add_init_script(f"localStorage.tab ??= '{tab}'")
        self.page.goto(self.live.url, wait_until="domcontentloaded")
        self.page.wait_for_selector(".tile")
        return self.page

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()


def history():
    """24 h of quarters of `a` with a hole of two hours."""
    lines = []
    for back in range(96, 0, -1):
        if not 40 <= back < 48:
            v = {"pm2_5": {"mean": 20.0 + back % 7, "min": 15.0, "max": 40.0}}
            lines.append({"device": "a", "stream": "15m", "t": rfc(back * 900), "end": rfc(back * 900 - 900), "v": v})
    return lines


def city():
    devices = {
        f"a{n}": device(name={"en": f"Air {n}", "th": f"อากาศ {n}"}, windows=[aqi(n * 60, n)], every_s=600)
        for n in range(1, 6)
    }
    devices["a"] = device(name={"en": "Air hole", "th": "อากาศ"}, windows=[aqi(144, 4)], every_s=600)
    devices["m"] = device("energy", every_s=600, v={}, q={"*": "b:timeout"}, name={"en": "Dead meter", "th": "มิเตอร์"})
    devices["w"] = device("water", every_s=600, v={"level": 1.25}, q={"level": "u:stuck"})
    devices["t"] = device("traffic", every_s=600)
    alarm = {"id": "x", "state": "raised", "code": "CG-BUS-01", "t": rfc(60), "level": 2}
    return devices, [alarm | {"text": {"en": "main meter does not answer", "th": "มิเตอร์ไม่ตอบ"}}]


@pytest.fixture
def live(tmp_path):
    (tmp_path / "state").mkdir()
    devices, alarms = city()
    with ScriptedDaemon(tmp_path / "state", devices, history=history(), alarms=alarms), LivePage(tmp_path) as page:
        yield page.ready()


@pytest.mark.parametrize("lang", ["en-GB", "th-TH"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_and_alone(chromium, live, axe, lang, scheme):
    """No serious finding of axe-core, targets of 44 px, no request to another host, no error; on a phone."""
    with Watch(chromium, live, lang=lang, scheme=scheme, size=(390, 844)) as tab:
        page = tab.open()
        page.evaluate(axe)
        for kind in ("all", "energy", "water", "traffic", "gateways", "map", "setup", "air"):
            page.click(f"#tab-{kind}")
            judged(page, kind)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{kind} scrolls sideways"
        page.click("#tab-air")
        page.click(".tile")
        page.wait_for_selector("dialog tbody tr")
        judged(page, "detail")
        assert tab.errors == []
        assert {url.split("/")[2] for url in tab.requests} == {f"127.0.0.1:{live.port}"}
        assert page.evaluate("document.documentElement.lang") == lang[:2]


def judged(page, where):
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [one for one in found["violations"] if one["impact"] in {"serious", "critical"}]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in serious] == [], where
    small = page.evaluate(
        """[...document.querySelectorAll("button, select, .link, [role=tab]")].filter(e => e.checkVisibility())
           .map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
           .filter(([, r]) => r.width < 43.9 || r.height < 43.9).map(([html, r]) => [html, r.width, r.height])"""
    )
    assert small == [], where


def test_aqi_is_number_word_shape_and_colour(chromium, live):
    with Watch(chromium, live) as tab:
        page = tab.open()
        shapes, colours = set(), set()
        for level in range(1, 6):
            tile = page.locator(".tile", has=page.get_by_text(f"Air {level}", exact=True))
            mark = tile.locator(".mark")
            shapes.add(re.sub(r'\s(class|style)="[^"]*"', "", mark.evaluate("e => e.outerHTML")))
            colours.add(mark.evaluate("e => getComputedStyle(e).fill"))
            assert tile.locator(".num").text_content() == str(level)
            assert mark.evaluate("e => getComputedStyle(e).stroke") == "rgb(51, 51, 51)"
            words = tile.text_content()
            assert re.search(r"AQI (\d+|≥201) \w+", words)
            assert "24 h mean, 92 % of hours present" in words
        assert len(shapes) == len(colours) == 5
        order = page.locator(".tile .name").all_text_contents()
        assert order[0] == "Air 5"  # worst first
        page.click("[aria-label^='Colours']")
        assert page.locator(".mark.l2").first.evaluate("e => getComputedStyle(e).fill") == "rgb(0, 158, 115)"


def test_a_failed_device_shows_no_number_and_the_alarm_stands_on_top(chromium, live):
    with Watch(chromium, live) as tab:
        page = tab.open()
        assert "main meter does not answer" in page.inner_text("#alarms")
        page.click("#tab-energy")
        tile = page.text_content(".tile")
        assert "device does not answer" in tile
        assert not re.search(r"\d+ (W|V|kW)", tile)
        assert "! 1" in page.inner_text("#tab-energy")
        page.click("#tab-water")
        assert "value does not move" in page.text_content(".tile")


def figures(age_s=10):
    """Windows with the figures of each kind, ended `age_s` ago."""
    ended = {"stream": "15m", "t": rfc(age_s + 900), "end": rfc(age_s)}
    return {
        "air": [aqi(144, 4) | {"end": rfc(age_s)}],
        "energy": [ended | {"i": {"demand_kw": {"value": 19.75}}}],
        "water": [ended | {"i": {"stage": {"value": 1.4}, "rate_of_rise": {"value": -0.131}}}],
        "traffic": [ended | {"i": {"flow": {"value": 444.0}, "density": {"value": 9.0, "level": 2}}}],
    }


BIG = {"air": "AQI 144", "energy": "19.75 kW", "water": "water stage 1.40 m", "traffic": "444 veh/h"}
TOLD = {"air": "PM2.5 12", "energy": "12.0 W", "water": "Level 12.000 m", "traffic": "12.0 km/h"}


def of_each_kind(**more):
    """A device of each kind, with a figure, a demand limit and a mark on its tile."""
    made = {kind: device(kind, windows=windows, **more) for kind, windows in figures().items()}
    made["energy"]["points"]["power_active"]["limits"] = {"demand": 60_000}
    return made


def dead_looks_dead(page, kind):
    """No mark, no meter, no figure and no value as one of now: what it told last stands beside its time."""
    tile = page.locator(".tile")
    assert tile.locator(".badge svg, .meter").count() == 0, kind
    assert [tile.locator(part).text_content() for part in (".big", ".values", ".old")] == ["", "", ""], kind
    note = tile.locator(".note").text_content()
    assert re.fullmatch(rf"last: .*{re.escape(BIG[kind])}.* \(\d\d:\d\d:\d\d\)", note), kind
    return tile.locator(".trouble").text_content()


def test_a_device_that_dies_shows_no_figure_of_before_as_one_of_now(chromium, tmp_path):
    (tmp_path / "state").mkdir()
    daemon = ScriptedDaemon(tmp_path / "state", of_each_kind(every_s=600))
    with daemon, LivePage(tmp_path) as live, Watch(chromium, live.ready()) as tab:
        page = tab.open()
        for kind, big in BIG.items():
            page.click(f"#tab-{kind}")
            page.wait_for_selector(f".tile .big:has-text('{big}')")
        for kind in BIG:
            daemon.tell(kind, {}, q={"*": "b:timeout"})
        for kind in BIG:
            page.click(f"#tab-{kind}")
            page.wait_for_selector(".tile.bad")
            words = dead_looks_dead(page, kind)
            assert re.match(r"device does not answer: no answer, no data for \d+ s", words), words
            assert TOLD[kind] in words, words
        page.click(".tile")
        page.wait_for_selector("dialog .trouble:has-text('no data for')")
        assert tab.errors == []


def test_a_device_that_is_silent_shows_no_figure_of_before_as_one_of_now(chromium, tmp_path):
    (tmp_path / "state").mkdir()
    daemon = ScriptedDaemon(tmp_path / "state", of_each_kind(every_s=1.0, ago_s=100.0))
    with daemon, LivePage(tmp_path) as live, Watch(chromium, live.ready()) as tab:
        page = tab.open()
        for kind in BIG:
            page.click(f"#tab-{kind}")
            page.wait_for_selector(".tile.bad")
            words = dead_looks_dead(page, kind)
            assert re.match(r"no data for \d+ (s|min) \(last: ", words), words
            page.click(".tile")
            page.wait_for_selector("dialog tbody td:has-text('too old')")
            assert page.locator("dialog tbody td:has-text('good')").count() == 0
            page.keyboard.press("Escape")
            page.wait_for_selector("dialog", state="detached")


def test_a_figure_whose_windows_ended_long_ago_is_gone_while_the_device_lives(chromium, tmp_path):
    (tmp_path / "state").mkdir()
    devices = of_each_kind(every_s=600)
    for kind, windows in figures(age_s=7300).items():
        devices[kind]["windows"] = windows
    daemon = ScriptedDaemon(tmp_path / "state", devices)
    with daemon, LivePage(tmp_path) as live, Watch(chromium, live.ready()) as tab:
        page = tab.open()
        for kind, big in BIG.items():
            page.click(f"#tab-{kind}")
            page.wait_for_selector(f".tile .values:has-text('{TOLD[kind].split()[-2]}')")
            tile = page.text_content(".tile")
            assert big not in tile
            assert "last:" not in tile


def test_alarms_stand_with_level_since_and_their_folded_followers(chromium, tmp_path):
    (tmp_path / "state").mkdir()
    cause = {"id": "wire", "state": "raised", "code": "CG-BUS-02", "t": rfc(600), "level": 3, "device": "_gateway"}
    alarms = [cause | {"text": {"en": "wire rs485 is dead", "th": "สายเสีย"}}]
    for n in range(3):
        follower = {"id": f"f{n}", "state": "raised", "code": "CG-ALM-01", "t": rfc(500), "level": 2, "device": f"d{n}"}
        alarms.append(follower | {"folded_into": "wire", "text": {"en": f"d{n} is silent"}})
    notice = {"id": "n", "state": "raised", "code": "CG-ALM-02", "t": rfc(50), "level": 1, "device": "d3"}
    alarms.append(notice | {"text": {"en": "calibration ends soon"}})
    devices = {f"d{n}": device("energy", every_s=600, v={}, q={"*": "b:timeout"}) for n in range(3)}
    devices["d3"] = device(every_s=600)
    daemon = ScriptedDaemon(tmp_path / "state", devices, alarms=alarms)
    with daemon, LivePage(tmp_path) as live, Watch(chromium, live.ready()) as tab:
        page = tab.open("all")
        page.wait_for_selector("#alarms.high li")
        rows = page.locator("#alarms li").all_inner_texts()
        assert len(rows) == 2  # the cause with its three followers, and the notice
        assert "alarm" in rows[0]
        assert "wire rs485 is dead, and 3 more from the same cause" in rows[0]
        assert "since" in rows[0]
        assert "notice" in rows[1]
        shapes = page.locator("#alarms .sign path").evaluate_all("all => all.map(e => e.getAttribute('d'))")
        assert len(set(shapes)) == 2
        daemon.event(cause | {"state": "cleared", "t": rfc()})
        page.wait_for_selector("#alarms li:nth-child(4)")  # the followers stand for themselves now


def test_the_map_has_an_outline_and_a_dot_for_each_device(chromium, tmp_path):
    (tmp_path / "state").mkdir()
    ring = [[102.7, 16.3], [102.9, 16.3], [102.9, 16.5], [102.7, 16.5], [102.7, 16.3]]
    path = tmp_path / "city.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    spots = [(16.41, 102.79), (16.45, 102.85), (16.35, 102.72)]
    devices = {
        f"d{n}": device(every_s=600, location={"latitude": lat, "longitude": lon}) for n, (lat, lon) in enumerate(spots)
    }
    options = ("--outline", str(path))
    with (
        ScriptedDaemon(tmp_path / "state", devices),
        LivePage(tmp_path, *options) as live,
        Watch(chromium, live.ready()) as tab,
    ):
        page = tab.open()
        page.click("#tab-map")
        page.wait_for_selector(".map path.land:not(.hull)")
        assert page.locator(".map .dot").count() == 3
        assert page.text_content(".map .scale + text").endswith("km")
        page.locator(".map .dot").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open]")
        assert tab.errors == []


def test_a_gap_is_a_gap_in_the_sparkline_and_in_the_detail(chromium, live):
    with Watch(chromium, live) as tab:
        page = tab.open()
        spark = page.locator(".tile", has=page.get_by_text("Air hole")).locator(".spark")
        spark.wait_for()
        assert spark.locator("path").get_attribute("d").count("M") == 2
        assert spark.locator(".gap").count() == 1
        page.locator(".tile", has=page.get_by_text("Air hole")).click()
        page.wait_for_selector("dialog .chart svg, dialog .chart canvas")
        if page.locator("dialog .chart svg").count():
            assert page.locator("dialog .chart path").get_attribute("d").count("M") == 2


def spark_end(page, selector):
    """How far the line reaches, as a share of the width, and whether a gap closes it."""
    return page.evaluate(
        """selector => { const svg = document.querySelector(selector), wide = svg.viewBox.baseVal.width;
           const ends = [...svg.querySelector("path").getAttribute("d").matchAll(/[ML]([0-9.]+) /g)].map(m => +m[1]);
           const gap = [...svg.querySelectorAll(".gap")].at(-1)?.getBBox();
           return [Math.max(...ends) / wide, gap ? (gap.x + gap.width) / wide : 0]; }""",
        selector,
    )


def test_a_line_ends_where_its_values_end_and_not_at_the_right_edge(chromium, tmp_path):
    """A device dead for 6 hours: its tile and its detail show 24 hours up to now, the last quarter of it empty."""
    (tmp_path / "state").mkdir()
    lines = [line for line in history() if line["t"] < rfc(6 * 3600)]
    devices = {"a": device(name={"en": "Air hole"}, every_s=1.0, ago_s=6 * 3600)}
    daemon = ScriptedDaemon(tmp_path / "state", devices, history=lines)
    with daemon, LivePage(tmp_path) as live, Watch(chromium, live.ready()) as tab:
        page = tab.open()
        page.wait_for_selector(".tile .spark path")
        line, gap = spark_end(page, ".tile .spark")
        assert 0.7 < line < 0.77
        assert gap == 1
        page.click(".tile")
        page.wait_for_selector("dialog .chart svg, dialog .chart canvas")
        if page.locator("dialog .chart svg").count():
            line, gap = spark_end(page, "dialog .chart svg")
            assert 0.7 < line < 0.77
            assert gap == 1


@pytest.mark.parametrize(("streams", "asked"), [(["raw", "1m", "1h"], "1m"), (["1h"], None), (None, "15m")])
def test_the_detail_asks_for_the_windows_that_there_are(chromium, tmp_path, streams, asked):
    (tmp_path / "state").mkdir()
    minutes = [
        {
            "device": "a",
            "stream": "1m",
            "t": rfc(60 * n),
            "end": rfc(60 * n - 60),
            "v": {"pm2_5": {"mean": 20.0 + n % 5}},
        }
        for n in range(1400, 1, -1)
    ]
    daemon = ScriptedDaemon(tmp_path / "state", {"a": device(every_s=600)}, history=minutes, streams=streams)
    with daemon, LivePage(tmp_path) as live, Watch(chromium, live.ready()) as tab:
        page = tab.open()
        page.click(".tile")
        page.wait_for_selector("dialog .what:not(:empty)")
        questions = [one["stream"] for one in daemon.asked if one["ask"] == "history" and one["series"] == "a"]
        assert questions == ([asked] if asked else [])
        link = page.locator("dialog a:has-text('CSV')")
        assert link.count() == (1 if asked else 0)
        if asked == "1m":
            page.wait_for_selector(".tile .spark path")
            page.wait_for_selector("dialog .chart svg, dialog .chart canvas")
            assert "stream=1m" in link.get_attribute("href")
        elif not asked:
            assert "no windows of 15 minutes" in page.inner_text("dialog .what")
        assert tab.errors == []


def test_alarms_beyond_twenty_are_one_click_away_and_the_worst_stand_first(chromium, tmp_path):
    (tmp_path / "state").mkdir()
    alarms = []
    for n in range(47):
        alarm = {"id": f"a{n}", "state": "raised", "code": "CG-ALM-01", "t": rfc(100 + n), "level": 3 if n == 46 else 1}
        alarms.append(alarm | {"text": {"en": f"alarm number {n}"}, "device": f"d{n}"})
    daemon = ScriptedDaemon(tmp_path / "state", {"a": device(every_s=600)}, alarms=alarms)
    with daemon, LivePage(tmp_path) as live, Watch(chromium, live.ready()) as tab:
        page = tab.open()
        page.wait_for_selector("#alarms li")
        assert "47 alarms" in page.inner_text("#alarms p")
        assert page.locator("#alarms li").count() == 20
        assert "number 46" in page.locator("#alarms li").first.inner_text()
        button = page.locator("#alarms > button")
        assert button.inner_text() == "27 more"
        button.click()
        page.wait_for_selector("#alarms li:nth-child(47)")
        assert button.is_hidden()


def test_the_gateways_tab_tells_what_is_not_well(chromium, tmp_path):
    (tmp_path / "state").mkdir()

    broker = {"state": "up", "lane": "both", "waiting": 7, "oldest_t": rfc(7200), "letters": 3, "unheard": 5}
    broker |= {"warning": "3 dead letters: citygate journal dead list"}
    facts = {
        "sinks": {"broker": broker, "influx": {"state": "up", "lane": "live", "waiting": 0, "dead": 0, "unheard": 0}},
        "buses": {"rs485": {"state": "up", "load": 0.31, "crc": 2, "timeouts": 0, "late": 0}},
        "clock": {"trusted": True, "offset_s": -1.25},
    }

    class Ailing(ScriptedDaemon):
        def snapshot(self):
            return super().snapshot() | facts

        async def answer(self, request):
            told = {"t": rfc(), "uptime_s": 61, "disk_free": 12_300_000_000, "rss": 61_000_000, "temp": 48.0}
            return told | facts if request["ask"] == "health" else await super().answer(request)

    daemon = Ailing(tmp_path / "state", {"a": device(every_s=600)})
    with daemon, LivePage(tmp_path) as live, Watch(chromium, live.ready()) as tab:
        page = tab.open()
        assert "sink broker: 3 dead letters" in page.inner_text("#alarms li")
        page.click("#tab-gateways")
        card = page.locator(".tile.bad")
        words = card.inner_text()
        assert "sink broker: both · 7 waiting · oldest of " in words
        assert "3 refused for good · 5 heard by nobody" in words
        assert "sink influx: live · 0 waiting\n" in words
        assert "bus rs485: up · 31 % · 2 CRC errors\n" in words
        assert "clock off by -1.3 s" in words or "clock off by -1.2 s" in words
        page.wait_for_selector(".tile:has-text('disk 12.3 GB free'):has-text('memory 61 MB'):has-text('board 48 °C')")
        raised = {"id": "sink-broker-CG-SNK-04", "state": "raised", "code": "CG-SNK-04", "t": rfc(), "level": 2}
        daemon.event(raised | {"text": {"en": "told by the gateway itself"}})
        page.wait_for_selector("#alarms li:has-text('told by the gateway itself')")
        assert page.locator("#alarms li").count() == 1  # once, not twice
        assert tab.errors == []


def test_a_city_of_many_gateways_has_the_worst_on_top_and_none_left_out(chromium, mosquitto, tmp_path):
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()

    def say(name, what, form):
        topic = f"citygate/kk/{name}/{what}"
        client.publish(topic, json.dumps({"t": rfc()} | form), qos=1, retain=True).wait_for_publish(5)

    for n in range(70):
        say(f"gw-{n:02}", "status", {"state": "offline" if n == 69 else "online"})
    say("gw-68", "health", {"sinks": {"influx": {"state": "up", "lane": "live", "warning": "it doubles records"}}})
    try:
        with LivePage(tmp_path, "--broker", mosquitto.url) as live, Watch(chromium, live.ready()) as tab:
            poll(lambda: len(json.loads(live.get("/api/snapshot")[2])["gateways"]) == 70, what="70 gateways")
            page = tab.page
            page.goto(live.url)
            page.click("#tab-gateways")
            page.wait_for_selector(".grid .tile.bad:has-text('gw-69')")
            names = page.locator(".tile .name").all_inner_texts()
            assert names[:3] == ["kk/gw-69", "kk/gw-68", "kk/gw-00"]
            assert "it doubles records" in page.inner_text("#alarms")
            assert page.locator(".grid .tile").count() == 60
            assert "10 more" in page.inner_text("#panel > .hint")
            page.locator(".grid .tile").last.scroll_into_view_if_needed()
            page.mouse.wheel(0, 10_000)
            page.wait_for_selector(".grid li:nth-child(70)")
            assert tab.errors == []
    finally:
        client.disconnect()
        client.loop_stop()


def test_the_chart_library_draws_the_detail_with_its_gap(chromium, chart, tmp_path):
    (tmp_path / "state").mkdir()
    devices, _ = city()
    daemon = ScriptedDaemon(tmp_path / "state", devices, history=history())
    with daemon, LivePage(tmp_path) as live, Watch(chromium, live.ready()) as tab:
        page = tab.open()
        page.locator(".tile", has=page.get_by_text("Air hole")).click()
        page.wait_for_selector("dialog .chart canvas")
        painted = page.evaluate(
            """() => { const c = document.querySelector("dialog canvas");
               const row = (from, to) => { let n = 0; const d = c.getContext("2d")
                 .getImageData(c.width * from, 0, c.width * (to - from), c.height * 0.85).data;
                 for (let i = 0; i < d.length; i += 4) n += d[i + 3] > 200 && d[i + 2] > d[i] + 60; return n; };
               return [row(0.15, 0.4), row(0.545, 0.575), row(0.65, 0.9)]; }"""
        )
        assert painted[0] > 0
        assert painted[2] > 0
        assert painted[1] == 0  # the two hours without data
        assert tab.errors == []
        packed = {"Accept-Encoding": "gzip"}
        sizes = [len(live.get(f"/static/{name}", packed)[2]) for name in ("uplot.js", "uplot.css", "chart.js")]
        print(f"\nchart library: {sum(sizes) / 1000:.1f} kB gzip")
        assert sum(sizes) < 30_000


def test_keyboard(chromium, live):
    with Watch(chromium, live) as tab:
        page = tab.open()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.focus("#tab-air")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == "tab-traffic"
        page.keyboard.press("ArrowLeft")
        page.focus(".tile")
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open]")
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")
        assert page.evaluate("document.activeElement.className").startswith("tile")


def test_thai_with_the_buddhist_year_as_text_only(chromium, live):
    with Watch(chromium, live) as tab:
        page = tab.open()
        page.click(".tools button")
        year = time.gmtime().tm_year + 543
        page.wait_for_function(f"document.querySelector('footer').innerText.includes('{year}')")
        assert "ฝุ่น PM2.5" in page.text_content(".grid")
        page.reload()
        page.wait_for_selector(".tile")
        assert page.evaluate("document.documentElement.lang") == "th"
        assert str(year) not in live.get("/export/latest.csv")[2].decode()


def test_without_javascript_there_is_a_table(chromium, live):
    with Watch(chromium, live, js=False) as tab:
        tab.page.goto(live.url)
        words = tab.page.inner_text("table")
        assert "Air 5" in words
        assert "PM2.5 12 ug/m3" in words
        assert "b:timeout" in words
        assert tab.page.locator("noscript meta[http-equiv=refresh]").count() or "http-equiv" in tab.page.content()


def test_a_silent_device_is_stale_within_2_s_of_its_third_interval(chromium, tmp_path):
    (tmp_path / "state").mkdir()
    with (
        ScriptedDaemon(tmp_path / "state", {"a": device(every_s=1.0)}),
        LivePage(tmp_path) as live,
        Watch(chromium, live.ready()) as tab,
    ):
        page = tab.open()
        page.wait_for_selector(".tile.bad", timeout=15_000)
        text = page.text_content(".tile")
        assert "no data for" in text
        age_s = float(re.search(r"no data for (\d+) s", text).group(1))
        print(f"\nshown stale at an age of {age_s:.0f} s, interval 1 s")
        assert age_s <= 5
        assert "last: PM2.5 12 µg/m³" in text
        assert "!" in page.inner_text("#tab-air")
        told = json.loads(live.get("/api/device?key=gw-1/a")[2])
        assert told["t"]


def test_it_says_that_the_daemon_is_away_and_recovers_within_10_s(chromium, tmp_path):
    (tmp_path / "state").mkdir()
    with LivePage(tmp_path) as live, Watch(chromium, live) as tab:
        with ScriptedDaemon(tmp_path / "state", {"a": device()}):
            page = tab.open()
            page.wait_for_selector(".status[data-state=live]")
        page.wait_for_selector(".status[data-state=down]", timeout=5000)
        assert "does not answer" in page.inner_text(".status")
        with ScriptedDaemon(tmp_path / "state", {"a": device()}):
            began = time.monotonic()
            page.wait_for_selector(".status[data-state=live]", timeout=10_000)
            print(f"\ndaemon back: recovered after {time.monotonic() - began:.1f} s")


def test_it_says_that_it_reconnects_and_does_so_by_itself(chromium, tmp_path):
    (tmp_path / "state").mkdir()
    with ScriptedDaemon(tmp_path / "state", {"a": device(every_s=600)}):
        first = LivePage(tmp_path)
        with first, Watch(chromium, first.ready()) as tab:
            page = tab.open()
            page.wait_for_selector(".status[data-state=live]")
            first.process.kill()
            first.process.wait()
            page.wait_for_selector(".status[data-state=wait]", timeout=5000)
            assert "reconnecting" in page.inner_text(".status")
            second = LivePage(tmp_path)
            second.port = first.port
            with second:
                began = time.monotonic()
                page.wait_for_selector(".status[data-state=live]", timeout=10_000)
                print(f"\npage's process back: recovered after {time.monotonic() - began:.1f} s")


def test_hostile_names_units_values_and_alarms_are_text(chromium, tmp_path):
    (tmp_path / "state").mkdir()
    devices = {}
    for number, evil in enumerate(EVIL):
        facts = device(name={"en": evil, "th": evil}, q={"pm2_5": evil}, windows=[aqi(30, 2)], every_s=600)
        facts["points"] = {"pm2_5": {"unit": evil, "kind": "gauge", "digits": 0}, evil: {"unit": "V", "kind": "gauge"}}
        facts |= {"profile": evil, "serial": evil, "lane": {"n": 1, "name": {"en": evil}}}
        facts["last"]["v"][evil] = evil
        devices[f"d{number}"] = facts
    alarms = [
        {"id": str(n), "state": "raised", "code": e, "t": e, "level": 2, "text": {"en": e}} for n, e in enumerate(EVIL)
    ]
    with (
        ScriptedDaemon(tmp_path / "state", devices, alarms=alarms),
        LivePage(tmp_path) as live,
        Watch(chromium, live.ready()) as tab,
    ):
        page = tab.open()
        for number in range(len(EVIL)):
            page.locator(".tile").nth(number).click()
            page.wait_for_selector("dialog tbody tr")
            page.keyboard.press("Escape")
            page.wait_for_selector("dialog", state="detached")
        for kind in ("gateways", "map"):
            page.click(f"#tab-{kind}")
        assert page.evaluate("window.hacked") is None
        assert page.locator("main script, main img, main iframe, main svg[onload], [onfocus]").count() == 0
        assert EVIL[0] in page.inner_text("#alarms")
        assert tab.errors == []


def test_the_size_of_what_is_loaded(live):
    total = 0
    for name in (
        "app.css",
        "app.js",
        "city.js",
        "detail.js",
        "draw.js",
        "map.js",
        "setup.js",
        "stream.js",
        "tile.js",
        "views.js",
        "words.js",
        "texts.json",
    ):
        status, headers, body = live.get(f"/static/{name}", {"Accept-Encoding": "gzip"})
        assert status == 200
        assert headers["content-encoding"] == "gzip"
        total += len(body)
    print(f"\npage without the chart library: {total / 1000:.1f} kB gzip")
    assert total < 50_000


@pytest.mark.parametrize("lang", ["en-GB", "th-TH"])
def test_on_a_small_phone_the_map_and_the_table_can_be_read(chromium, tmp_path, lang):
    """360 px: words of the map keep their size, every dot stands inside, no word of the table is broken."""
    (tmp_path / "state").mkdir()
    west, east = {"latitude": 16.43, "longitude": 102.82}, {"latitude": 16.44, "longitude": 102.84}
    devices = {f"t{n}": device("traffic", every_s=600, location=west) for n in range(5)}
    devices["m"] = device("energy", every_s=600, location=east)
    devices["m"]["points"] |= {
        name: {"unit": "kWh", "kind": "counter", "digits": 3} for name in ("energy_import", "energy_reactive_import")
    }
    devices["m"]["last"]["v"] |= {"energy_import": 12677.66, "energy_reactive_import": 12677.66}
    daemon = ScriptedDaemon(tmp_path / "state", devices)
    with daemon, LivePage(tmp_path) as live, Watch(chromium, live.ready(), lang=lang, size=(360, 740)) as tab:
        page = tab.open("energy")
        page.click("#tab-map")
        page.wait_for_selector(".map .dot")
        frame = page.locator(".map").bounding_box()
        assert page.locator(".map .scale + text").bounding_box()["height"] >= 12
        for dot in page.locator(".map .dot").all():
            box = dot.locator(".mark").bounding_box()
            assert frame["x"] <= box["x"] <= box["x"] + box["width"] <= frame["x"] + frame["width"]
            assert dot.locator(".reach").bounding_box()["width"] >= 43.9
        page.click("#tab-energy")
        page.click(".tile")
        page.wait_for_selector("dialog tbody tr")
        lines = """cell => { const range = document.createRange();
          range.selectNodeContents(cell);
          return new Set([...range.getClientRects()].map(r => Math.round(r.top))).size; }"""
        assert {head.evaluate(lines) for head in page.locator("dialog td:last-child").all()} == {1}
        assert page.locator("dialog .scroll").evaluate("e => e.scrollWidth <= e.clientWidth")


def test_one_quality_of_several_points_is_said_once(chromium, tmp_path):
    (tmp_path / "state").mkdir()
    devices = {"a": device(every_s=600, q={"pm2_5": "u:stuck", "pm10": "u:stuck"})}
    with ScriptedDaemon(tmp_path / "state", devices), LivePage(tmp_path) as live, Watch(chromium, live.ready()) as tab:
        page = tab.open()
        page.wait_for_selector(".quality:has-text('PM2.5, PM10: value does not move')")
