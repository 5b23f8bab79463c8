"""The commissioning sheet in a real Chromium: one A4 page, Thai marks in place, the QR code whole, no network."""

import re
import subprocess

import pytest
from cli_desk import said, site
from parts import program

pytestmark = [pytest.mark.browser, pytest.mark.parts]
LINE = "A ฝุ่น ปู่ น้ำ ปั้น"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


def chromium(tmp_path, *argv):
    home = tmp_path / "profile"
    argv = [program("chromium", package="chromium"), *FLAGS, f"--user-data-dir={home}", *argv]
    done = subprocess.run(argv, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_sheet_prints_on_one_a4_page(capsys, tmp_path):
    path, out = site(tmp_path), tmp_path / "sheet.html"
    path.write_text(path.read_text().replace("[clock]", f'name = {{ th = "{LINE}", en = "Cabinet" }}\n[clock]', 1))
    assert said(capsys, "--config", path, "report", "--out", out).code == 0
    chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={tmp_path}/sheet.pdf", out.as_uri())
    pdf = (tmp_path / "sheet.pdf").read_bytes()
    boxes = re.findall(rb"/MediaBox\s*\[0 0 ([0-9.]+) ([0-9.]+)\]", pdf)
    assert len(boxes) == 1
    width, height = map(float, boxes[0])
    assert abs(width - 595.3) < 1
    assert abs(height - 841.9) < 1


def test_thai_marks_and_the_code_are_drawn_whole(capsys, tmp_path):
    """Measured in the page itself: the marks of `ปู่` add height, not width; the QR code fits its frame."""
    path, out = site(tmp_path), tmp_path / "sheet.html"
    assert said(capsys, "--config", path, "report", "--out", out).code == 0
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program("chromium", package="chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 800, "height": 1100})
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(out.as_uri())
        measured = page.evaluate(
            """() => {
              const draw = text => {
                const canvas = document.createElement('canvas'); canvas.width = 400; canvas.height = 120;
                const pen = canvas.getContext('2d'); pen.font = '48px ' + getComputedStyle(document.body).fontFamily;
                pen.fillText(text, 20, 80);
                const ink = pen.getImageData(0, 0, 400, 120).data; let top = 120, bottom = 0, dots = 0;
                for (let y = 0; y < 120; y++) for (let x = 0; x < 400; x++)
                  if (ink[(y * 400 + x) * 4 + 3] > 128) {
                    top = Math.min(top, y); bottom = Math.max(bottom, y); dots++;
                  }
                return { width: pen.measureText(text).width, top, bottom, dots };
              };
              const svg = document.querySelector('.qr svg'), box = svg.getBoundingClientRect();
              const drawn = svg.querySelector('path').getBoundingClientRect();
              return { bare: draw('ป'), marked: draw('ปู่'), below: draw('ปู'),
                words: [['ฝุ่น', 'ฝน'], ['ปู่', 'ป'], ['น้ำ', 'นำ'], ['ปั้น', 'ปน']].map(pair => pair.map(draw)),
                stacked: ['ปั้น', 'ปัน', 'ปน'].map(draw), line: draw('A ฝุ่น ปู่ น้ำ ปั้น'),
                whole: drawn.right <= box.right + 1 && drawn.bottom <= box.bottom + 1 && drawn.width > box.width / 2 };
            }"""
        )
        browser.close()
    assert asked == [out.as_uri()]
    assert measured["whole"]
    bare, marked, below = measured["bare"], measured["marked"], measured["below"]
    assert marked["width"] == pytest.approx(bare["width"], abs=1.0)
    assert marked["top"] < bare["top"], "the tone mark stands above"
    assert below["bottom"] > bare["bottom"], "the vowel stands below"
    assert marked["dots"] > below["dots"] > bare["dots"]
    for word, without in measured["words"]:
        assert word["width"] == pytest.approx(without["width"], abs=1.0), "marks take no room of their own"
        assert word["dots"] > without["dots"]
        assert word["top"] < without["top"], "every word of the line has a mark above"
    tops = [drawn["top"] for drawn in measured["stacked"]]
    assert tops == sorted(set(tops)), "the tone stands above the vowel, not in it"
    assert measured["line"]["top"] <= min(word["top"] for word, _without in measured["words"])
