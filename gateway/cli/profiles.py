"""`citygate profiles`: which devices are known, and what each of them tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.catalogue.fault import EXIT_NO_INPUT, Fault, Trouble
from gateway.cli.face import Face

if TYPE_CHECKING:
    from drivers.profile import Profile


@click.command("profiles")
@click.argument("name", required=False)
@click.pass_obj
def command(face: Face, name: str | None) -> int:
    """List the known devices, or explain the profile NAME: wiring, settings, points, quirks, how far it is proven."""
    from drivers.errors import ProfileError
    from drivers.profile import load, shipped

    own = _own_folder(face)
    names = sorted({*shipped(), *(path.stem for path in own.glob("*.toml"))})
    if name is None:
        _list(face, [load(each, own) for each in names])
        return 0
    try:
        profile = load(name, own)
    except ProfileError as error:
        from gateway.config.shape import nearest

        code = "CG-CFG-12" if name in names else "CG-CFG-11"
        fault = Fault(code, {"profile": name}, seen=str(error) if name in names else "", nearest=nearest(name, names))
        raise Trouble([fault], exit_code=EXIT_NO_INPUT) from None
    _explain(face, profile)
    return 0


def _own_folder(face: Face) -> Path:
    """Where a site keeps its own profiles: `profiles` beside its config."""
    home = Path("/etc/citygate") if face.config is None else face.config
    return (home if home.is_dir() else home.parent) / "profiles"


def _list(face: Face, profiles: Sequence[Profile]) -> None:
    if face.json:
        for each in profiles:
            face.emit({
                "schema": 1, "id": each.id, "maker": each.maker, "model": each.model, "kind": each.kind,
                "speaks": each.speaks, "proven": each.proven, "points": len(each.rows),
            })  # fmt: skip
        return
    rows = [(each.id, f"{each.maker} {each.model}", each.kind, each.speaks, each.proven) for each in profiles]
    face.table(rows, head=face.pick("profile|device|kind|speaks|proven", "โพรไฟล์|อุปกรณ์|ชนิด|ภาษา|หลักฐาน").split("|"))


def _explain(face: Face, profile: Profile) -> None:
    if face.json:
        import msgspec

        face.emit({"schema": 1, "profile": msgspec.to_builtins(profile)})
        return
    face.data(f"{face.paint(profile.id, 'bold')}  {profile.maker} {profile.model}")
    facts = [
        (face.pick("kind", "ชนิด"), profile.kind),
        (
            face.pick("speaks", "ภาษา"),
            f"{profile.speaks}, {profile.every_s:g} s" if profile.every_s else profile.speaks,
        ),
        (face.pick("line", "สาย"), ", ".join(profile.wire.lines)),
        (face.pick("wiring", "การต่อสาย"), profile.wire.note),
        (face.pick("proven", "หลักฐาน"), profile.proven),
        (face.pick("source", "ที่มา"), profile.source),
        *((face.pick("quirk", "ข้อควรระวัง"), quirk) for quirk in profile.quirks),
    ]
    face.facts([(label, text) for label, text in facts if text])
    rows = []
    for part in sorted({row.part for row in profile.rows}):
        points = profile.points({"": "", "lane": "lane1", "channel": "ch1"}[part])
        reads = [row.read or row.field or "" for row in profile.rows if row.part == part]
        for point, read in zip(points, reads, strict=True):
            valid = f"{point.valid[0]:g} .. {point.valid[1]:g}" if point.valid else ""
            rows.append((point.name, point.unit, point.kind, part, valid, read))
    face.table(rows, head=face.pick("point|unit|kind|part|valid|from", "จุดวัด|หน่วย|ชนิด|ส่วน|ช่วง|จาก").split("|"))
