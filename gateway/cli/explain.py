"""`citygate help CODE`: an error explained, offline."""

from __future__ import annotations

import re

import click

from gateway.cli.face import Face
from gateway.cli.words import Misuse


@click.command("help")
@click.argument("code", required=False)
@click.pass_context
def command(context: click.Context, code: str | None) -> int:
    """Explain an error CODE such as CG-BUS-02; without CODE, list all of them."""
    from gateway.catalogue import codes, entry

    face: Face = context.obj
    if code is None:
        rows = [{"code": row.code, "fact": _named(row.fact[face.lang])} for row in codes().values()]
        if face.json:
            face.emit({"schema": 1, "codes": rows})
        else:
            face.table([(row["code"], row["fact"]) for row in rows])
        return 0
    found = entry(code)
    if found is None:
        from gateway.cli.verbs import citygate

        if code in citygate.list_commands(context):
            return int(citygate.main([code, "--help"], prog_name="citygate", standalone_mode=False) or 0)
        from difflib import get_close_matches

        near = ", ".join(get_close_matches(code.upper(), codes(), n=3)) or "`citygate help`"
        raise Misuse(f"no code is called {code}; near: {near}", f"ไม่มีรหัส {code} ใกล้เคียง: {near}")
    lang = face.lang
    if face.json:
        likely = [text[lang] for text in found.likely]
        face.emit({
            "schema": 1, "code": found.code, "fact": found.fact[lang], "likely": likely, "do": found.do[lang],
            "more": found.more[lang],
        })  # fmt: skip
        return 0
    face.prose(f"{found.code}  {_named(found.fact[lang])}")
    causes = [("likely", _named(text[lang])) for text in found.likely]
    face.facts([*causes, ("do", _named(found.do[lang])), ("more", _named(found.more[lang]))])
    return 0


def _named(text: str) -> str:
    """A text of the catalogue with its braces as what they stand for: <device>."""
    return re.sub(r"\{([a-z_]+)\}", r"<\1>", text)
