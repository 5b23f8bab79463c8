"""`citygate report` and `label`: one file without network, a hash that holds, a code that can be read aloud."""

import json
import re
import xml.etree.ElementTree as ET

from cli_desk import SNAPSHOT, daemon, said, site

from gateway.technician.sheet import ALPHABET, facts_in, fingerprint, html, printed_hash

NAME = 'name = { en = "<b>Cabinet</b>", th = "A ฝุ่น ปู่ น้ำ ปั้น" }\n'


def named_site(folder):
    path = site(folder)
    path.write_text(path.read_text().replace('city = "khon-kaen"\n', 'city = "khon-kaen"\n' + NAME))
    return path


def test_the_sheet_holds_everything_and_its_hash(capsys, tmp_path):
    path, out = named_site(tmp_path), tmp_path / "sheet.html"
    with daemon(tmp_path / "state/citygate.sock"):
        shown = said(capsys, "--json", "--config", path, "report", "--out", out, "--by", "สมชาย", "--note", "</script>")
    told = json.loads(shown.out)
    text = out.read_text(encoding="utf-8")
    assert shown.code == 0, shown
    assert told["sha256"] == printed_hash(text) == fingerprint(facts_in(text))
    assert facts_in(text) == told["facts"]
    for word in ("A ฝุ่น ปู่ น้ำ ปั้น", "สมชาย", "main-meter", "229.8", "energy_import", "b:timeout", "@page"):
        assert word in text, word
    assert "<b>Cabinet" not in text
    assert text.count("</script>") == 1
    assert re.search(r"<svg[^>]*viewBox", text), "scaled, not cut"
    # Nothing is fetched: no address but the names of XML itself.
    assert re.findall(r"(?:src|href)=|url\(|@import|https?://(?!www\.w3\.org/)", text) == []
    assert said(capsys, "report", "--verify", out).code == 0


def test_a_changed_sheet_is_found_out(capsys, tmp_path):
    out = tmp_path / "sheet.html"
    assert said(capsys, "--config", named_site(tmp_path), "report", "--out", out).code == 0
    out.write_text(out.read_text(encoding="utf-8").replace("eastron-sdm120", "eastron-sdm630"), encoding="utf-8")
    shown = said(capsys, "report", "--verify", out)
    assert (shown.code, "CG-SYS-13" in shown.err) == (65, True)
    out.write_text("nothing")
    assert said(capsys, "report", "--verify", out).code == 65
    assert said(capsys, "report", "--verify", tmp_path / "none").code == 66


def test_the_sheet_is_made_of_its_facts_alone(capsys, tmp_path):
    path, out = named_site(tmp_path), tmp_path / "sheet.html"
    with daemon(tmp_path / "state/citygate.sock", snapshot=SNAPSHOT):
        told = json.loads(said(capsys, "--json", "--config", path, "report", "--out", out).out)
    assert html(told["facts"]) == out.read_text(encoding="utf-8")


def test_labels(capsys, tmp_path):
    path = named_site(tmp_path)
    codes = set()
    for argv in ([], ["main-meter"]):
        told = json.loads(said(capsys, "--json", "--config", path, "label", *argv).out)
        assert re.fullmatch(f"[{ALPHABET}]{{6}}", told["code"])
        codes.add(told["code"])
    assert len(codes) == 2
    shown = said(capsys, "--config", path, "label", "--out", tmp_path / "l.svg")
    assert "kkc-0412" in shown.out
    assert ET.parse(tmp_path / "l.svg").getroot().tag.endswith("svg")
    drawn = said(capsys, "--config", path, "label").out.splitlines()
    assert len({len(row) for row in drawn[:-1]}) == 1
    assert set("".join(drawn[:-1])) <= set(" ▀▄█")
    wrong = said(capsys, "--config", path, "label", "main-metre")
    assert (wrong.code, "you meant `main-meter`" in wrong.err) == (2, True)
