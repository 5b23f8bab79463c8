"""The live page: one tab on 200 devices at 1 Hz; the city view of 500 gateways x 10 devices on one broker.

CPU is the share of one core over the measured time, of Chromium's renderer and of the page's process. The city's lag
is from the publisher's clock to the page's answer, asked twenty times a second; and to a real tab, where an observer in
the page notes the first moment after the tile's new number was painted, on the same machine's clock.
"""

import contextlib
import http.client
import json
import os
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
from live_desk import LivePage, ScriptedDaemon, device, rfc
from parts import Mosquitto, poll, program

DEVICES, TAB_S = 200, 20
GATEWAYS, EACH, CITY_S, TAB_TIMES = 500, 10, 20, 20


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def rss_mib(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1048576


def family(pid):
    """The process and all below it."""
    found, above = {pid}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            above[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
    while more := {child for child, parent in above.items() if parent in found} - found:
        found |= more
    return found


def renderers(pids):
    for pid in pids:
        with contextlib.suppress(OSError):
            if b"--type=renderer" in Path(f"/proc/{pid}/cmdline").read_bytes():
                yield pid


def one_tab():
    """200 devices, one record each a second, one visible tab with all their tiles' first page drawn."""
    from playwright.sync_api import sync_playwright

    folder = Path(tempfile.mkdtemp(prefix="citygate-bench-"))
    (folder / "state").mkdir()
    daemon = ScriptedDaemon(folder / "state", {f"d{n}": device() for n in range(DEVICES)})
    ended = threading.Event()

    def speak():
        while not ended.wait(1.0):
            for n in range(DEVICES):
                daemon.tell(f"d{n}", {"pm2_5": 10.0 + (daemon.seq % 17), "pm10": 20.0})

    with daemon, LivePage(folder) as live, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program("chromium", package="chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(live.ready().url)
        page.wait_for_selector(".tile")
        talker = threading.Thread(target=speak)
        talker.start()
        time.sleep(5)
        tabs = list(renderers(family(os.getpid())))
        before = sum(map(cpu_s, tabs)), cpu_s(live.process.pid)
        page.wait_for_timeout(TAB_S * 1000)
        tab = (sum(map(cpu_s, tabs)) - before[0]) / TAB_S * 100
        server = (cpu_s(live.process.pid) - before[1]) / TAB_S * 100
        figures = {"tab_cpu_pct": tab, "server_cpu_pct": server, "server_rss_mib": rss_mib(live.process.pid)}
        ended.set()
        talker.join()
        browser.close()
    return figures


def publish_city(client, number, second):
    window = {"t": rfc(60), "end": rfc(), "n": 60, "v": {"pm2_5": {"mean": float(second)}}}
    for n in range(EACH):
        client.publish(f"citygate/kk/g{number}/d{n}/1m", json.dumps(window), qos=0)


def city():
    """Each second a sixtieth of all devices sends its 1 min window, as 500 gateways do."""
    folder = Path(tempfile.mkdtemp(prefix="citygate-bench-"))
    point = {"pm2_5": {"unit": "ug/m3", "kind": "gauge", "resolution": 0.1}}
    with Mosquitto(extra=("max_queued_messages 100000",)) as broker:
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        for g in range(GATEWAYS):
            meta = {"id": f"g{g}", "city": "kk", "name": {"en": f"Gateway {g}"}, "version": "1"}
            client.publish(f"citygate/kk/g{g}/meta", json.dumps(meta), qos=0, retain=True)
            for n in range(EACH):
                about = {"kind": "air", "name": {"en": f"Device {n}"}, "every_s": 1.0, "points": point}
                last = client.publish(f"citygate/kk/g{g}/d{n}/meta", json.dumps(about), qos=1, retain=True)
        last.wait_for_publish(30)
        with LivePage(folder, "--broker", broker.url) as live:
            live.ready()
            poll(lambda: live.get("/metrics")[2].count(b"citygate_device_up{") == GATEWAYS * EACH, what="the city")
            before, began, lags = cpu_s(live.process.pid), time.monotonic(), []
            for second in range(CITY_S):
                for g in range(second % 60, GATEWAYS, 60):
                    publish_city(client, g, second)
                at, sent = second % 60, time.monotonic()
                lags.append(wait_for(live, f"kk/g{at}/d{EACH - 1}", float(second)) - sent)
                time.sleep(max(0.0, began + second + 1 - time.monotonic()))
            shown, tab = seen_in_a_tab(live, client)
            spent = (cpu_s(live.process.pid) - before) / (time.monotonic() - began) * 100
            rss = rss_mib(live.process.pid)
        client.disconnect()
        client.loop_stop()
    return {
        "tab_s": shown,
        "tab_cpu_pct": tab,
        "load": os.getloadavg()[0],
        "lag_worst_s": max(lags),
        "lag_median_s": sorted(lags)[len(lags) // 2],
        "cpu_pct": spent,
        "rss_mib": rss,
    }


OBSERVE = """key => {
  window.painted = {};
  const tile = document.querySelector(`li[data-key="${key}"]`);
  new MutationObserver(() => {
    const found = tile.textContent.match(/ (5[0-9][0-9])[.]0 /);
    if (found && !(found[1] in window.painted)) {
      window.painted[found[1]] = 0;
      requestAnimationFrame(() => setTimeout(() => (window.painted[found[1]] = Date.now() / 1000)));
    }
  }).observe(tile, { subtree: true, childList: true, characterData: true });
}"""


def seen_in_a_tab(live, client):
    """Seconds from publishing to the painted number on a real tab, while the city speaks; the tab's share of a core."""
    from playwright.sync_api import sync_playwright

    for g in range(GATEWAYS):  # all alive: the order of the tiles stands still
        publish_city(client, g, 0)
    ended, found = threading.Event(), []

    def speak():
        second = 0
        while not ended.wait(1.0):
            second += 1
            for g in range(1 + second % 60, GATEWAYS, 60):
                publish_city(client, g, second)

    talker = threading.Thread(target=speak)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program("chromium", package="chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.goto(live.url)
        page.wait_for_selector(".tile")
        page.wait_for_selector(".tile.bad", state="detached", timeout=60_000)
        page.wait_for_timeout(4000)  # the tiles come to their order
        key = page.locator(".grid li").first.get_attribute("data-key")
        page.evaluate(OBSERVE, key)
        talker.start()
        tabs, began = list(renderers(family(os.getpid()))), time.monotonic()
        before = sum(map(cpu_s, tabs))
        try:
            for n in range(TAB_TIMES):
                page.wait_for_timeout(1300 + 370 * n % 1000)
                found.append(painted(page, client, key, number=500 + n))
            spent = (sum(map(cpu_s, tabs)) - before) / (time.monotonic() - began) * 100
        finally:
            ended.set()
            talker.join()
        browser.close()
    return sorted(found), spent


def painted(page, client, key, *, number):
    """Seconds until a number that is published now is painted."""
    window = {"t": rfc(60), "end": rfc(), "n": 60, "v": {"pm2_5": {"mean": float(number)}}}
    sent = time.time()
    client.publish(f"citygate/{key}/1m", json.dumps(window), qos=0)
    while not (at := page.evaluate(f"window.painted[{number}]")):
        assert time.time() < sent + 10, f"{number} was not seen within 10 s"
        page.wait_for_timeout(50)
    return at - sent


def wait_for(live, key, value):
    """When the page's process answers with this value."""
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=5)
    try:
        for _ in range(200):
            connection.request("GET", f"/api/device?key={key}")
            if json.loads(connection.getresponse().read()).get("v", {}).get("pm2_5") == value:
                return time.monotonic()
            time.sleep(0.05)
    finally:
        connection.close()
    raise AssertionError(f"{key} did not arrive within 10 s")


def run():
    tab, whole = one_tab(), city()
    print(f"{DEVICES} devices at 1 Hz, one tab   renderer {tab['tab_cpu_pct']:5.1f} % of a core   (bound 20)")
    print(f"  the page's process             {tab['server_cpu_pct']:5.1f} %, {tab['server_rss_mib']:.1f} MiB resident")
    print(
        f"{GATEWAYS} gateways x {EACH} devices: lag {whole['lag_median_s']:.3f} s, worst {whole['lag_worst_s']:.3f} s"
    )
    print(f"  the page's process             {whole['cpu_pct']:5.1f} %, {whole['rss_mib']:.1f} MiB resident")
    shown = whole["tab_s"]
    print(f"  published to seen on a tab     median {shown[len(shown) // 2]:.2f} s, worst {shown[-1]:.2f} s")
    print(f"  that tab                       {whole['tab_cpu_pct']:5.1f} % of a core; load {whole['load']:.1f}")
    return {"tab": tab, "city": whole}
