"""`citygate label`: the QR label of the cabinet or of a device; a name and a short code, never a secret."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.catalogue.fault import EXIT_USAGE, Fault, Trouble
from gateway.cli.face import Face


@click.command("label")
@click.argument("device", required=False)
@click.option("--out", type=click.Path(path_type=Path), help="Write an SVG there instead of showing it.")
@click.pass_obj
def command(face: Face, device: str | None, *, out: Path | None) -> int:
    """Show the QR label of the gateway, or of DEVICE, with a code that can be read aloud."""
    import segno

    from gateway.config.load import load
    from gateway.technician.sheet import short_code

    loaded = load(face.config)
    ident = loaded.config.gateway.id
    if device is not None and device not in loaded.config.device:
        from gateway.config.shape import nearest

        near = nearest(device, loaded.config.device)
        raise Trouble([Fault("CG-CFG-09", {"value": device}, nearest=near)], exit_code=EXIT_USAGE)
    words = (ident,) if device is None else (ident, device)
    code, text = short_code(*words), "/".join(words)
    content = f"CITYGATE {text} {code}"
    made = segno.make(content, error="m", micro=False)
    if out is not None:
        made.save(str(out), kind="svg", scale=8, border=4, title=f"{text} {code}")
    if face.json:
        face.emit({"schema": 1, "name": text, "code": code, "content": content, "file": out and str(out)})
        return 0
    if out is None:
        for row in _blocks([[bool(dot) for dot in line] for line in made.matrix_iter(border=2)]):
            face.data(row)
    face.data(f"{text}  {code[:3]} {code[3:]}" + (f"  {out}" if out is not None else ""))
    return 0


def _blocks(rows: list[list[bool]]) -> list[str]:
    """Two rows of dots a line, as half blocks; dark dots are drawn, so it needs no colour."""
    if len(rows) % 2:
        rows = [*rows, [False] * len(rows[0])]
    signs = {(True, True): " ", (True, False): "▄", (False, True): "▀", (False, False): "█"}
    return [
        "".join(signs[top, low] for top, low in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]
