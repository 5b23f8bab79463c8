"""Register tables of a device that nobody makes, from their rows."""

from drivers.profile import parse

HEAD = """schema=1
id="x-y"
maker="x"
model="y"
kind="energy"
version=1
speaks="modbus"
source="test"
proven="untested"
"""


def profile(*rows, every_s=1.0, limits="", more=""):
    """Rows are (point, read) or (point, read, keys); `limits` as within the braces, `more` as TOML tables."""
    table = [HEAD, f"every_s={every_s}", f"limits={{{limits}}}"]
    for point, read, *keys in rows:
        table += ["[[row]]", f'point="{point}"', f'read="{read}"', *keys]
    return parse("\n".join([*table, more]), name="x-y")
