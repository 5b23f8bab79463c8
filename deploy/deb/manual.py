# ruff: noqa: INP001 - a script of the package recipe, not a package
"""The manual page citygate(1) in roff, from the command line's own help: manual.py VERSION."""

from __future__ import annotations

import sys

import click

from gateway.cli.verbs import VERBS, citygate


def escaped(text: str) -> str:
    """Text that roff shows as it is."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{row}" if row.startswith((".", "'")) else row for row in plain.splitlines())


def page(version: str) -> str:
    """The whole page."""
    context = click.Context(citygate, info_name="citygate")
    rows = [f'.TH CITYGATE 1 "" "citygate {version}"', ".SH NAME", "citygate \\- edge gateway of the city"]
    rows += [".SH SYNOPSIS", ".B citygate", "[options] verb [arguments]", ".SH VERBS"]
    for verb in citygate.list_commands(context):
        command = citygate.get_command(context, verb)
        if command is None:
            continue
        inner = click.Context(command, info_name=verb, parent=context)
        usage = " ".join(command.collect_usage_pieces(inner))
        rows += [".TP", f".B {escaped(f'{verb} {usage}')}", escaped(command.help or VERBS[verb][1])]
        for parameter in command.params:
            record = parameter.get_help_record(inner)
            if record is not None:
                rows += [".br", escaped(f"{record[0]}: {record[1]}")]
    rows += [
        ".SH EXIT STATUS",
        "0 ok, 1 ran and found problems, 2 usage, 65 bad data, 66 no input, 69 unavailable, 70 bug,",
    ]
    rows += ["74 input or output, 75 try again, 77 permission, 78 config.", ".SH FILES", "/etc/citygate/gateway.toml"]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page(sys.argv[1]))
