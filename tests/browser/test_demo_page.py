"""The demo's page: the real daemon, its simulated city, every domain alive, day figures from the replayed history."""

import asyncio
import re
import signal
import subprocess
import sys
import time

import pytest
from parts import poll, program

from gateway.local import ask

pytestmark = [pytest.mark.browser, pytest.mark.parts]


def states(socket):
    return {device["state"] for device in asyncio.run(ask(socket, {"ask": "snapshot"}))["devices"].values()}


def test_the_demo_serves_its_page_and_every_domain_is_alive(tmp_path):
    from playwright.sync_api import sync_playwright

    began = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "gateway",
        "--json",
        "demo",
        "--seconds",
        "90",
        "--keep",
        str(tmp_path),
    ]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = ""
        while "live page" not in said:
            said = demo.stderr.readline()
            assert said, "the demo ended before it named its page"
        address = re.search(r"http://127\.0\.0\.1:\d+", said).group()
        with sync_playwright() as playwright:
            flags = ["--no-sandbox", "--disable-background-networking", "--no-first-run"]
            browser = playwright.chromium.launch(executable_path=program("chromium", package="chromium"), args=flags)
            page = browser.new_page(locale="en-GB")
            page.goto(address)
            for kind in ("air", "traffic", "energy", "water"):
                page.click(f"#tab-{kind}")
                page.wait_for_selector(".tile:not(.bad) .values span")
            page.click("#tab-air")
            page.wait_for_selector(".tile .badge .num")
            assert "24 h mean" in page.text_content(".tile")
            line = page.locator(".tile .spark path")
            poll(lambda: line.get_attribute("d").count("L") > 80, what="24 h of quarters")
            page.click("#tab-energy")
            page.wait_for_selector("text=of the limit")
            print(
                f"\nevery domain alive, day figures filled {time.monotonic() - began:.1f} s after the start of the demo"
            )
            page.click("#tab-gateways")
            page.wait_for_selector("text=sink broker: live")
            browser.close()
        socket = next(tmp_path.rglob("citygate.sock"))
        poll(lambda: "waiting" not in states(socket), what="every device heard")
        demo.send_signal(signal.SIGINT)  # Ctrl-C ends it with its account
        out, _ = demo.communicate(timeout=60)
        assert '"ok":true' in out
    finally:
        demo.kill()
        demo.wait()
        demo.stdout.close()
        demo.stderr.close()
