"""The list of verbs, and the click group that imports a verb's file only when it is run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.face import Face
from gateway.cli.words import Misuse, Told, language

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# verb -> (file in gateway/cli, what it does in English, in Thai). A verb whose file is absent is not offered.
VERBS: Final[Mapping[str, tuple[str, str, str]]] = {
    "run": ("run", "Run the gateway (the daemon).", "เริ่มเกตเวย์ (ดีมอน)"),
    "check": ("check", "Check config and plan; touches no port.", "ตรวจไฟล์ตั้งค่าและแผน ไม่แตะพอร์ต"),
    "doctor": ("doctor", "Examine ports, clock, disk, broker, database.", "ตรวจพอร์ต นาฬิกา ดิสก์ โบรกเกอร์ ฐานข้อมูล"),
    "status": ("status", "One screen: devices, buses, sinks, clock.", "หน้าเดียว: อุปกรณ์ บัส ปลายทาง นาฬิกา"),
    "scan": ("scan", "Find devices on a bus, a port or a host.", "ค้นหาอุปกรณ์บนบัส พอร์ต หรือโฮสต์"),
    "add": ("add", "Add a device: writes one drop-in.", "เพิ่มอุปกรณ์ (เขียนไฟล์เดียว)"),
    "read": ("read", "Read a device once, with a verdict.", "อ่านอุปกรณ์หนึ่งครั้งพร้อมคำตัดสิน"),
    "watch": ("watch", "Live table of devices.", "ตารางค่าสด"),
    "logs": ("logs", "State changes of the daemon, newest last.", "บันทึกการเปลี่ยนสถานะ"),
    "raw": ("raw", "One read request; prints both frames.", "ส่งคำขออ่านหนึ่งครั้ง แสดงเฟรม"),
    "probe": ("probe", "Find the register that shows a value.", "หาเรจิสเตอร์ที่แสดงค่านี้"),
    "decode": ("decode", "Decode bytes offline.", "ถอดรหัสไบต์แบบออฟไลน์"),
    "capture": ("capture", "Record raw frames.", "บันทึกเฟรมดิบ"),
    "profiles": ("profiles", "List or explain known devices.", "รายการและคำอธิบายอุปกรณ์ที่รู้จัก"),
    "journal": ("journal", "What waits, what was confirmed; export, verify.", "ข้อมูลที่รอส่งและที่ยืนยันแล้ว"),
    "live": ("live", "Serve the live page.", "เปิดหน้าแสดงผลสด"),
    "demo": ("demo", "A small simulated city, end to end.", "เมืองจำลองขนาดเล็ก"),
    "sim": ("sim", "A single simulated device.", "อุปกรณ์จำลองหนึ่งตัว"),
    "report": ("report", "The commissioning sheet.", "ใบรับรองการติดตั้ง"),
    "label": ("label", "The QR label of the cabinet.", "ป้าย QR ของตู้"),
    "config": ("config", "Show effective values; export the schema.", "แสดงค่าที่ใช้จริง และสคีมา"),
    "help": ("explain", "Explain an error code.", "อธิบายรหัสข้อผิดพลาด"),
}
_FILES: Final = Path(__file__).parent


def _set(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """A global option, wherever it stands, goes into the one Face of this call."""
    root = context.find_root()
    face = root.obj if isinstance(root.obj, Face) else Face(lang=language(None))
    match parameter.name:
        case "config" if value is not None:
            face = replace(face, config=value)
        case "json" if value:
            face = replace(face, json=True)
        case "lang" if value is not None:
            face = replace(face, lang=value)
        case "color" if value:
            face = replace(face, color=False)
        case "verbosity":
            face = replace(face, verbosity=face.verbosity + value)
    root.obj = context.obj = face
    return value


def _globals(*, hidden: bool) -> list[click.Parameter]:
    shared: dict[str, Any] = {"callback": _set, "expose_value": False, "is_eager": True, "hidden": hidden}
    return [
        click.Option(
            ["--config", "config"],
            type=click.Path(path_type=Path),
            help="Config file or folder [/etc/citygate].",
            **shared,
        ),
        click.Option(["--json", "json"], is_flag=True, help="One JSON object, or JSON lines, on stdout.", **shared),
        click.Option(["--lang", "lang"], type=click.Choice(["en", "th"]), help="Language of texts [LANG].", **shared),
        click.Option(["--no-color", "color"], is_flag=True, help="No colours (also NO_COLOR).", **shared),
        click.Option(["-v", "--verbose", "verbosity"], count=True, help="Say more; -vv shows tracebacks.", **shared),
    ]


def _with_globals(command: click.Command) -> click.Command:
    """Let the global options stand behind the verb too; what a verb itself declares goes before."""
    own = {name for parameter in command.params for name in parameter.opts}
    known = {parameter.name for parameter in command.params}
    command.context_class = Told
    for option in _globals(hidden=True):
        free = [name for name in option.opts if name not in own]
        if free and option.name not in known:
            option.opts = free
            command.params.append(option)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _with_globals(inner)
    return command


class Verbs(click.Group):
    """The group `citygate`: knows its verbs by name and imports the one that is called."""

    context_class = Told

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Verbs whose file is there, in the order of the table."""
        return [verb for verb, (file, _en, _th) in VERBS.items() if (_FILES / f"{file}.py").exists()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, which every verb's file calls `command`."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"gateway.cli.{VERBS[cmd_name][0]}")
        command: click.Command = module.command
        command.name = cmd_name
        return _with_globals(command)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """As click does it, from the table: a Tab behind `citygate` imports no verb."""
        from click.shell_completion import CompletionItem

        column = 2 if language(None) == "th" else 1
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [CompletionItem(name, help=VERBS[name][column]) for name in names]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the nearest verb in the message."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], known, n=1)
            raise Misuse(f"there is no verb `{args[0]}`", f"ไม่มีคำสั่ง `{args[0]}`", nearest=near[0] if near else "")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs from the table: nothing is imported."""
        lang = ctx.obj.lang if isinstance(ctx.obj, Face) else language(None)
        rows = [(verb, VERBS[verb][2 if lang == "th" else 1]) for verb in self.list_commands(ctx)]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


def _version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's callback
    if value and not context.resilient_parsing:
        from gateway import __version__

        click.echo(f"citygate {__version__}")
        context.exit()


@click.command(
    cls=Verbs,
    invoke_without_command=True,
    params=[
        *_globals(hidden=False),
        click.Option(
            ["--version"], is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show it."
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.pass_context
def citygate(context: click.Context) -> Any:
    """The edge gateway and sensor aggregator of smart cities.

    Global options may stand before or behind the verb. Without a verb it shows the status.
    """
    if context.invoked_subcommand is None:
        status = citygate.get_command(context, "status")
        return None if status is None else context.invoke(status)
    return None
