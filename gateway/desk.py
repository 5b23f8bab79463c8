"""Changes by the live page: a one-time code opens a short permit, and the daemon runs its own tools under it.

The page is read-only until somebody with access to this machine asks for a code (`citygate live code`) and types it
into the page. The permit ends by itself. Codes and permits live in this process's memory alone; each use is an event.
The tools are the verbs of the command line, run as children without a shell, with arguments that were checked here.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from drivers.profile import shipped
from gateway.reading import Event

CODE_S: Final = 240.0
PERMIT_S: Final = 600.0
WRONG_MAX: Final = 5
TOOL_S: Final = 120.0
OUTPUT_MAX: Final = 262_144
_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_EVERY: Final = re.compile(r"[1-9][0-9]{0,4}(?:ms|s|m|h)")

AGAIN: Final = -1  # no exit code: the process starts itself anew


class _No(Exception):
    """A request that is not granted; the text says why."""


class Desk:
    """Answers `live-code`, `unlock` and `desk` of the local socket.

    `command`: how this program is called with its config. `event` journals what was done, `now_ms` is wall time.
    `stop` ends the daemon; where `again` is set then, it starts anew with the changed config.
    """

    def __init__(
        self, command: Sequence[str], *, event: Callable[[Event], None], now_ms: Callable[[], int],
        stop: Callable[[], None],
    ) -> None:  # fmt: skip
        self._command = tuple(command)
        self._event = event
        self._now_ms = now_ms
        self._stop = stop
        self.again = False
        self._code, self._code_until_s, self._wrong = "", 0.0, 0
        self._permit, self._permit_until_s = "", 0.0
        self._busy = False

    async def answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """One JSON object for another; `error` where it is refused."""
        try:
            match request:
                case {"ask": "live-code"}:
                    return self._new_code()
                case {"ask": "unlock", "code": str(code)}:
                    return self._unlock(code)
                case {"ask": "desk", "permit": str(permit), "do": str(what)}:
                    self._check(permit)
                    return await self._do(what, request)
        except _No as no:
            return {"error": {"code": "CG-WEB-05", "fact": str(no)}}
        return {"error": {"code": "CG-SYS-04", "fact": "the daemon does not know this question"}}

    def _tell(self, what: str, text: Mapping[str, str]) -> None:
        now_ms = self._now_ms()
        self._event(Event("_gateway", now_ms, f"page-{what}-{now_ms}", "config", "CG-WEB-04", "info", 1, text))

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def _new_code(self) -> dict[str, Any]:
        self._code = f"{secrets.randbelow(10**8):08}"
        self._code_until_s, self._wrong = self._now_s() + CODE_S, 0
        return {"code": f"{self._code[:4]}-{self._code[4:]}", "for_s": CODE_S}

    def _unlock(self, given: str) -> dict[str, Any]:
        if not self._code or self._now_s() >= self._code_until_s:
            self._code = ""
            raise _No("no code is open; `citygate live code` gives one")
        if not hmac.compare_digest(re.sub(r"[\s-]", "", given)[:16].encode(), self._code.encode()):
            self._wrong += 1
            if self._wrong >= WRONG_MAX:
                self._code = ""
                text = {"en": "five wrong codes on the live page; the code is void",
                        "th": "ใส่รหัสผิดห้าครั้งบนหน้าแสดงผลสด รหัสถูกยกเลิก"}  # fmt: skip
                self._tell("wrong", text)
            raise _No("this is not the code")
        self._code = ""
        self._permit, self._permit_until_s = secrets.token_urlsafe(24), self._now_s() + PERMIT_S
        self._tell("open", {"en": "setup was opened on the live page", "th": "เปิดการตั้งค่าบนหน้าแสดงผลสด"})
        return {"permit": self._permit, "left_s": PERMIT_S}

    def _check(self, permit: str) -> None:
        if not self._permit or self._now_s() >= self._permit_until_s:
            self._permit = ""
            raise _No("setup is closed; ask for a new code")
        if not hmac.compare_digest(permit.encode(), self._permit.encode()):
            raise _No("this is not the permit")

    async def _do(self, what: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if what == "close":
            self._permit = ""
            return {"left_s": 0.0}
        if what == "finish":
            await self._sound(_lang(request))
            self._permit = ""
            self._tell("finish", {"en": "setup on the live page is done; the gateway starts anew",
                                  "th": "ตั้งค่าบนหน้าแสดงผลสดเสร็จแล้ว เกตเวย์เริ่มใหม่"})  # fmt: skip
            self.again = True
            asyncio.get_running_loop().call_later(0.5, self._stop)  # the answer leaves first
            return {"left_s": 0.0}
        if what == "state":
            return {"left_s": round(self._permit_until_s - self._now_s()), "profiles": list(shipped())}
        if not self._command:
            raise _No("this gateway runs without tools")
        if what == "scan":
            return await self._alone(_lang(request), "scan", _id(request, "bus"))
        if what == "read":
            return await self._alone(_lang(request), "read", _id(request, "device"))
        if what == "add":
            return await self._add(request)
        raise _No("setup knows scan, read, add, finish and close")

    async def _sound(self, lang: str) -> None:
        """Whether the gateway can start anew with the config as it is now; where not, it goes on and the permit stays.

        The tool reads it as the new process will. Raises `_No` with the first fault.
        """
        if not self._command:
            return
        found = await self._alone(lang, "check")
        if found["exit"] != 0:
            faults = [fault for line in found["lines"] for fault in line.get("faults", ())]
            fact = f"{faults[0]['fact']} ({faults[0]['code']})" if faults else "`citygate check` tells more"
            raise _No(f"the config has a fault, so nothing starts anew: {fact}")

    async def _alone(self, lang: str, verb: str, *words: str) -> dict[str, Any]:
        """Run a verb while no other is at work."""
        if self._busy:
            raise _No("another tool is at work; wait for its end")
        self._busy = True
        try:
            return await self._tool(lang, verb, *words)
        finally:
            self._busy = False

    async def _add(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        unit, profile, bus = request.get("unit"), _id(request, "profile"), _id(request, "bus")
        if type(unit) is not int or not 0 <= unit <= 255 or profile not in shipped():
            raise _No("`unit` is 0 to 255, `profile` one of the known ones")
        options = ["--profile", profile]
        if request.get("id"):
            options += ["--id", _id(request, "id")]
        if every := request.get("every"):
            if not isinstance(every, str) or not _EVERY.fullmatch(every):
                raise _No("`every` is a time such as 1s or 500ms")
            options += ["--every", every]
        found = await self._alone(_lang(request), "add", f"{bus}/{unit}", *options)
        if found["exit"] == 0:
            name = str(found["lines"][-1].get("device", profile)) if found["lines"] else profile
            self._tell("add", {"en": f"{name} was added on the live page", "th": f"เพิ่ม {name} บนหน้าแสดงผลสด"})
        return found

    async def _tool(self, lang: str, verb: str, *words: str) -> dict[str, Any]:
        """Run a verb; its JSON lines and exit code. It is killed where its time is over."""
        child = await asyncio.create_subprocess_exec(
            *self._command, "--json", "--lang", lang, verb, *words,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        stdout = child.stdout
        try:
            async with asyncio.timeout(TOOL_S):
                out = b"" if stdout is None else await _all(stdout)
                code = await child.wait()
        except TimeoutError:
            raise _No(f"{verb} took longer than {TOOL_S:.0f} s") from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        return {"exit": code, "lines": _lines(out)}


async def _all(stream: asyncio.StreamReader) -> bytes:
    out = bytearray()
    while (part := await stream.read(65536)) and len(out) < OUTPUT_MAX:
        out += part
    return bytes(out)


def _lines(out: bytes) -> list[dict[str, Any]]:
    found = []
    for line in out.splitlines():
        try:
            found.append(msgspec.json.decode(line, type=dict[str, Any]))
        except msgspec.DecodeError:
            continue  # talk of a child that died half way: its exit code tells it
    return found


def _lang(request: Mapping[str, Any]) -> str:
    return "th" if request.get("lang") == "th" else "en"


def _id(request: Mapping[str, Any], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise _No(f"`{key}` is an id: small letters, digits and dashes")
    return value
