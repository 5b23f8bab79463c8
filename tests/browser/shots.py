"""The pictures of docs/images, from a running demo: `python tests/browser/shots.py http://127.0.0.1:8080 docs/images`.

Both themes, both languages, desktop and phone; each picture stays below 200 kB.
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

DESKTOP, PHONE = (1280, 860), (390, 844)
SHOTS = (
    ("overview-light-en", "en-GB", "light", DESKTOP, "all"),
    ("overview-dark-th", "th-TH", "dark", DESKTOP, "all"),
    ("phone-light-th", "th-TH", "light", PHONE, "all"),
    ("phone-dark-en", "en-GB", "dark", PHONE, "energy"),
    ("map-light-th", "th-TH", "light", DESKTOP, "map"),
    ("detail-dark-en", "en-GB", "dark", DESKTOP, "detail"),
    ("setup-phone-light-en", "en-GB", "light", PHONE, "setup"),
    ("gateway-light-en", "en-GB", "light", DESKTOP, "gateways"),
)
BYTES_MAX = 200_000


def main(url, folder, wanted):
    flags = ["--no-sandbox", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        for name, lang, scheme, (width, height), what in SHOTS:
            if wanted and name not in wanted:
                continue
            context = browser.new_context(
                locale=lang, color_scheme=scheme, viewport={"width": width, "height": height}, reduced_motion="reduce"
            )
            page = context.new_page()
            page.goto(url)
            page.click("#tab-energy" if what == "detail" else f"#tab-{what}")
            if what == "detail":
                page.locator(".tile", has_text="Main meter").click()
                page.wait_for_selector("dialog .chart svg, dialog .chart canvas")
            page.wait_for_timeout(2500)
            path = folder / f"{name}.png"
            page.screenshot(path=path)
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
            if path.stat().st_size > BYTES_MAX:
                raise SystemExit(f"{path} is too big")
            context.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
