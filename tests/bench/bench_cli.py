"""What the command line costs before it does anything: wall and CPU time of a fresh process, against a bare Python.

The aim is 150 ms for `--help` and for a completion on the machine of the checks; the ratio to a bare interpreter that
imports click is what can be compared between machines.
"""

import os
import resource
import statistics
import subprocess
import sys
import time

RUNS = 9
CITYGATE = [sys.executable, "-m", "gateway"]
CASES = {
    "python -c pass": ([sys.executable, "-c", "pass"], {}),
    "python -c 'import click'": ([sys.executable, "-c", "import click"], {}),
    "citygate --help": ([*CITYGATE, "--help"], {}),
    "citygate --lang th --help": ([*CITYGATE, "--lang", "th", "--help"], {}),
    "completion of nothing yet": (CITYGATE, {"COMP_WORDS": "citygate ", "COMP_CWORD": "1"}),
    "completion of a verb": (CITYGATE, {"COMP_WORDS": "citygate sc", "COMP_CWORD": "1"}),
    "completion of an option": (CITYGATE, {"COMP_WORDS": "citygate scan --l", "COMP_CWORD": "2"}),
    "citygate scan --help": ([*CITYGATE, "scan", "--help"], {}),
}


def once(argv, extra):
    """Wall and CPU milliseconds of one process, and what it printed."""
    env = {**os.environ, **extra, **({"_CITYGATE_COMPLETE": "bash_complete"} if extra else {})}
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, env=env, check=False)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1e3 * wall, 1e3 * cpu, done.stdout


def run():
    figures = {}
    print(f"{'':<28}{'wall median':>13}{'wall best':>11}{'CPU best':>10}   ms")
    for name, (argv, extra) in CASES.items():
        runs = [once(argv, extra) for _turn in range(RUNS)]
        wall, cpu = [one[0] for one in runs], [one[1] for one in runs]
        figures[name] = {"wall_median_ms": statistics.median(wall), "wall_best_ms": min(wall), "cpu_best_ms": min(cpu)}
        print(f"{name:<28}{statistics.median(wall):13.0f}{min(wall):11.0f}{min(cpu):10.0f}")
    return figures
