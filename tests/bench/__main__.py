"""`make bench`: runs every bench_*.py of this folder, prints its table, keeps its figures in build/bench/*.json."""

import importlib
import json
import os
import platform
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
OUT = HERE.parents[1] / "build" / "bench"


def main():
    wanted = sys.argv[1:]
    OUT.mkdir(parents=True, exist_ok=True)
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    )
    for file in sorted(HERE.glob("bench_*.py")):
        name = file.stem.removeprefix("bench_")
        if wanted and name not in wanted:
            continue
        print(f"\n== {name}", flush=True)
        figures = importlib.import_module(file.stem).run()
        (OUT / f"{name}.json").write_text(json.dumps(figures, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
