"""What OpenMP's waiting costs when other work goes on, as it does in every run.

    python bench/threads.py

Twenty layers of 768 on 400 rows, forty times, with threads that spin (the default) and
threads that sleep (what Reelscope sets), on an idle machine and beside one busy process
per core. Each figure is the median of three processes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from machine import describe

WORK = """
import time, torch
model = torch.nn.Sequential(*[torch.nn.Linear(768, 768) for _ in range(20)]).eval()
rows = torch.randn(400, 768)
with torch.inference_mode():
    model(rows)
    began = time.perf_counter()
    for _ in range(40):
        model(rows)
    print(time.perf_counter() - began)
"""


def seconds(policy: str | None) -> float:
    environ = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if policy:
        environ["OMP_WAIT_POLICY"] = policy
    times = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", WORK], env=environ, capture_output=True, text=True, check=True
        )
        times.append(float(done.stdout))
    return statistics.median(times)


def main() -> None:
    print(describe())
    for busy in (False, True):
        others = [
            subprocess.Popen([sys.executable, "-c", "while True: pass"])
            for _ in range((os.cpu_count() or 1) if busy else 0)
        ]
        try:
            spinning, sleeping = seconds(None), seconds("PASSIVE")
        finally:
            for other in others:
                other.kill()
        name = "beside a busy process per core" if busy else "idle"
        print(f"{name:32} spinning {spinning:6.2f} s, sleeping {sleeping:6.2f} s")


if __name__ == "__main__":
    main()
