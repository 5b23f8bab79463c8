"""The documents tell the truth: files they name exist, commands and configs they show work."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.load import load

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FOLDERS = ("drivers/", "gateway/", "firmware-sims/", "config/", "deploy/", "tests/", "docs/")
ROOMS = ("", "gateway/", "gateway/sinks/", "drivers/", "drivers/modbus/", "drivers/uart/")  # short names in a table row


def named(page):
    """Files and folders of this project that a page names in code quotes."""
    for quoted in re.findall(r"`([\w./-]+)`", page.read_text(encoding="utf-8")):
        if quoted.startswith(FOLDERS) or (re.fullmatch(r"[\w/-]+\.py", quoted) and page.name == "architecture.md"):
            yield quoted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page):
    missing = [name for name in named(page) if not any((ROOT / room / name).exists() for room in ROOMS)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_technicians_config_passes_check(tmp_path):
    block = re.search(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    (tmp_path / "gateway.toml").write_text(block, encoding="utf-8")
    assert list(load(tmp_path / "gateway.toml").config.device) == ["main-meter"]


def test_every_verb_in_the_readme_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    wanted = set(re.findall(r"`citygate ([a-z]+)", text))
    shown = subprocess.run(
        [sys.executable, "-m", "gateway", "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert wanted
    assert wanted <= set(re.findall(r"^  ([a-z]+)  ", shown, re.MULTILINE))
