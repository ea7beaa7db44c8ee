"""Which machine the figures come from, and where they are kept."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def facts() -> dict[str, Any]:
    """Processor, cores, memory, versions."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line for line in info.read_text().splitlines() if "model name" in line]
        cpu = models[0].partition(":")[2].strip() if models else cpu
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gb": round(memory_gb, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "av": version("av"),
        "reelscope": version("reelscope"),
    }


def describe() -> str:
    """The machine in a line."""
    known = facts()
    return (
        f"{known['cpu']}, {known['cores']} cores, {known['memory_gb']} GB, {known['system']}, "
        f"Python {known['python']}, PyAV {known['av']}"
    )


def save(name: str, figures: dict[str, Any]) -> None:
    """Keep the figures with the machine's description, in bench/results/<name>.json."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": facts(), **figures}, indent=2, sort_keys=True)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
