"""The commissioning wizard on a phone: the real daemon, a simulated RS-485 line, code, search, add, values."""

import json
import subprocess
import sys

import pytest
from live_desk import LivePage
from parts import poll, program

pytestmark = [pytest.mark.browser, pytest.mark.parts]


def test_a_meter_is_found_and_added_from_a_phone(cg_bus, cg_daemon, tmp_path):
    from playwright.sync_api import sync_playwright

    meters = cg_bus({1: "eastron-sdm630", 2: "eastron-sdm120"})
    gateway = cg_daemon(meters[1])
    config = gateway.folder / "gateway.toml"
    before = config.read_bytes()

    def tool(*words):
        command = [sys.executable, "-m", "gateway", "--config", str(config), "--json", *words]
        return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=30).stdout.splitlines()[0])

    live = LivePage(tmp_path)
    live.config = config
    flags = ["--no-sandbox", "--disable-background-networking", "--no-first-run"]
    with live, sync_playwright() as playwright:
        live.ready()
        browser = playwright.chromium.launch(executable_path=program("chromium", package="chromium"), args=flags)
        page = browser.new_page(locale="en-GB", viewport={"width": 390, "height": 844})
        page.goto(live.url)
        page.click("#tab-setup")
        page.fill("#code", "0000-0000")
        page.click(".do:has-text('Open')")
        page.wait_for_selector(".busy:has-text('no code is open')")
        code = tool("live", "code")["code"]
        page.fill("#code", code)
        page.click(".do:has-text('Open')")
        page.click(".do:has-text('Search')")
        page.wait_for_selector(".found li:has-text('unit 2')", timeout=60_000)
        assert page.locator(".found li").count() == 2
        chosen = page.locator(".found li:has-text('unit 2')")
        assert chosen.locator("select").input_value() == "eastron-sdm120"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        chosen.locator(".do").click()
        page.click(".do:has-text('Finish')", timeout=20_000)
        page.wait_for_selector(".check td:has-text('good')", timeout=20_000)
        shown = page.inner_text(".check")
        browser.close()
        status, _, body = live.get("/setup/scan", headers(live), method="POST", body=b'{"bus":"wire-1"}')
        assert (status, body) == (403, b"setup is closed; ask for a new code\n")  # the permit ended with the setup
    assert gateway.process.poll() is None  # the same process: it has started itself anew
    assert "W" in shown
    assert config.read_bytes() == before
    assert "eastron-sdm120" in next((gateway.folder / "state" / "conf.d").iterdir()).read_text()
    added = poll(lambda: [r for r in gateway.records() if r["device"] == "eastron-sdm120-2"], what="its records")
    assert added
    events = [r for r in gateway.records(stream="event") if r["code"] == "CG-WEB-04"]
    assert [one["type"] for one in events] == ["config"] * 3  # opened, added, finished


def headers(live):
    return {"Origin": live.url, "Content-Type": "application/json", "Content-Length": "16"}
