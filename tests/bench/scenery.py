"""What several benches use: namespaces by number, Deployments on GPUs, a voice on stderr, processor time."""

import os
import sys
from pathlib import Path
from typing import Any

from aibudget.sandbox.nodes import P5
from aibudget.sandbox.snapshot import GPU


def say(line: str) -> None:
    sys.stderr.write(f"bench: {line}\n")
    sys.stderr.flush()


def burst(namespace: str, name: str = "burst", *, gpus: int = 2) -> dict[str, Any]:
    labels = {"app": name}
    requests_ = {"requests": {GPU: str(gpus)}, "limits": {GPU: str(gpus)}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"nvidia.com/gpu.product": P5.product},
                    "containers": [
                        {"name": "main", "image": "registry.example/burst:1", "resources": requests_}
                    ],
                },
            },
        },
    }


def name_of(number: int) -> str:
    return f"team-{number:04d}"


def cpu_seconds(pid: int) -> float:
    """What a process has used so far: unlike seconds by the wall, no busy machine stretches it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
