"""The commissioning sheet: facts as JSON, their hash, and one HTML file that holds everything and prints on A4.

Pure: facts in, text out. The hash is the SHA-256 of the facts as canonical JSON (sorted keys, no blanks, UTF-8); the
HTML carries the facts, so that whoever has the file can check it without network (`citygate report --verify FILE`).
Both languages stand on the one sheet.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0, O, 1 or I: people read it aloud
_FACTS: Final = re.compile(r'<script type="application/json" id="facts">(.*?)</script>', re.DOTALL)
_STYLE: Final = """
@page { size: A4; margin: 14mm }
* { box-sizing: border-box }
body { font: 10.5pt/1.5 "Noto Sans Thai", "Sarabun", "Loma", "Garuda", sans-serif; max-width: 182mm; margin: 8mm auto;
  color: #111; background: #fff }
h1 { font-size: 16pt; margin: 0 } h2 { font-size: 12pt; margin: 6mm 0 1mm; border-bottom: .3mm solid #333 }
table { border-collapse: collapse; width: 100%; page-break-inside: auto } tr { page-break-inside: avoid }
th, td { text-align: left; padding: .6mm 2mm; border-bottom: .2mm solid #bbb; vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.qr { float: right; width: 30mm } .qr svg { width: 30mm; height: 30mm }
.hash { font: 8pt/1.3 monospace; word-break: break-all }
.bad { font-weight: bold } .sign td { height: 16mm; width: 33% } .tick { white-space: nowrap }
@media print { body { margin: 0; max-width: none } h2 { page-break-after: avoid } }
"""
_TICKS: Final = (
    ("Device matches its label (model, serial)", "อุปกรณ์ตรงกับป้าย (รุ่น หมายเลข)"),
    ("Values compared with the device's display", "เทียบค่ากับหน้าจออุปกรณ์แล้ว"),
    ("Terminator and shield in place", "ต่อตัวต้านทานปลายสายและชีลด์แล้ว"),
    ("Cabinet closed, label attached", "ปิดตู้และติดป้ายแล้ว"),
)


def fingerprint(facts: Mapping[str, Any]) -> str:
    """SHA-256 of the facts, in hex."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def short_code(*words: str) -> str:
    """Six letters and digits that name a thing aloud; from its name, so that it is always the same. No secret."""
    number = int.from_bytes(hashlib.sha256("/".join(words).encode()).digest()[:8], "big")
    return "".join(ALPHABET[number >> 5 * place & 31] for place in range(6))


def qr(text: str) -> str:
    """A QR code as an SVG element."""
    import segno  # noqa: PLC0415 - only label and report pay for it

    svg: str = segno.make(text, error="m", micro=False).svg_inline(scale=4, border=2, omitsize=True)
    return svg


def html(facts: Mapping[str, Any]) -> str:
    """The sheet as one file without any reference outside."""
    digest = fingerprint(facts)
    gateway = facts["gateway"]
    name = gateway.get("name") or {}
    title = f"citygate {gateway['id']}"
    carried = json.dumps(facts, sort_keys=True, ensure_ascii=False).replace("<", "\\u003c")
    parts = [
        f'<!doctype html><html lang="th"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body>",
        f'<div class="qr">{qr(f"{title} {digest}")}</div>',
        f"<h1>{escape(name.get('th', ''))}<br>{escape(name.get('en', '') or gateway['id'])}</h1>",
        _table([(label, value) for label, value in _head(facts) if value]),
        "<h2>อุปกรณ์ · Devices</h2>",
        *(_device(device) for device in facts["devices"]),
        "<h2>สาย · Wires</h2>",
        _table([(wire["id"], wire["facts"]) for wire in facts["wires"]]),
        f"<h2>บันทึก · Notes</h2><p>{escape(facts.get('note') or '')}</p>",
        "<h2>ตรวจรับ · Acceptance</h2><table>",
        *(f'<tr><td class="tick">☐</td><td>{escape(th)} · {escape(en)}</td></tr>' for en, th in _TICKS),
        '</table><table class="sign"><tr><td>ช่าง · Technician<br>' + escape(facts.get("technician") or ""),
        "</td><td>ผู้รับมอบ · Accepted by</td><td>วันที่ · Date</td></tr></table>",
        f'<p class="hash">SHA-256 {digest}</p>',
        f'<script type="application/json" id="facts">{carried}</script></body></html>\n',
    ]
    return "\n".join(parts)


def facts_in(text: str) -> dict[str, Any] | None:
    """The facts that a sheet (HTML) or its JSON carries; None where there are none."""
    found = _FACTS.search(text)
    try:
        facts = json.loads(found[1] if found else text)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and "gateway" in facts else None


def printed_hash(text: str) -> str:
    """The hash that stands on a sheet; "" where there is none."""
    found = re.search(r"SHA-256 ([0-9a-f]{64})", text)
    return found[1] if found else ""


def _head(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    gateway = facts["gateway"]
    return [
        ("เกตเวย์ · Gateway", f"{gateway['id']}, {gateway['city']}"),
        ("รหัส · Code", facts["code"]),
        ("เวลา · Time", f"{facts['t']} ({facts['clock']})"),
        ("ซอฟต์แวร์ · Software", f"citygate {facts['version']}, config {facts['config'][:12]}"),
        ("สถานที่ · Place", facts.get("place") or ""),
    ]


def _device(device: Mapping[str, Any]) -> str:
    about = [device["profile"], device["wire"], f"unit {device['unit']}" if device.get("unit") is not None else ""]
    serial = f"S/N {device['serial']}" if device.get("serial") else ""
    head = " · ".join(part for part in [device["id"], *about, serial, device["code"]] if part)
    rows = "".join(
        f"<tr{'' if row['ok'] else ' class=bad'}><td>{escape(row['th'])} · {escape(row['point'])}</td>"
        f'<td class="n">{escape(row["value"])}</td><td>{escape(row["unit"])}</td><td>{escape(row["verdict"])}</td></tr>'
        for row in device["values"]
    )
    return f"<p><b>{escape(head)}</b></p><table>{rows}</table>"


def _table(rows: Sequence[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows) + "</table>"
