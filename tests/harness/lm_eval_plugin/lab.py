"""A small task as a folder, and lm-eval's evaluation of it without what takes seconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.lab import write_lines, write_task

CARD = {"name": "toy", "title": "Toy", "version": 2, "metrics": ["rouge_l"]}
Evaluate = Callable[..., dict[str, Any]]


def task_folder(folder: Path, **card: Any) -> Path:
    """24 questions, 30 passages, 6 train questions as a task's folder."""
    write_task(folder / "sample")
    (folder / "task.yaml").write_text(json.dumps({**CARD, **card}))  # JSON is YAML
    return folder


def own(folder: Path, **more: Any) -> dict[str, Any]:
    """A task's folder as the configuration that its file of lm-eval's gives."""
    from harness.lm_eval_plugin.tasks import MemoryTask

    name = json.loads((folder / "task.yaml").read_text())["name"]
    return {
        "task": f"memory_{name}",
        "class": MemoryTask,
        "dataset_path": str(folder),
        **more,
    }


def shipped(name: str, rows: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """One of lm-eval's own tasks as it ships, its documents taken from a file of their shape."""
    import lm_eval
    from lm_eval.tasks._yaml_loader import load_yaml

    (found,) = [
        path
        for path in (Path(lm_eval.__file__).parent / "tasks" / name).glob("*.yaml")
        if path.stem in (name, "default")
    ]
    file = str(write_lines(folder / f"{name}.jsonl", rows))
    config = load_yaml(found)
    config.pop("dataset_name", None)
    kwargs = {
        "data_files": {"train": file, "validation": file},
        "cache_dir": str(folder / "datasets"),
    }
    return {**config, "dataset_path": "json", "dataset_kwargs": kwargs}


@dataclass
class Results:
    """What an evaluation gave, of one task."""

    everything: Mapping[str, Any]
    name: str

    @property
    def values(self) -> dict[str, float]:
        """The mean of every metric that was reported, by its name."""
        found = self.everything["results"][self.name]
        return {
            key.partition(",")[0]: value
            for key, value in found.items()
            if "," in key and "_stderr" not in key
        }

    @property
    def samples(self) -> list[dict[str, Any]]:
        """What is said of each question."""
        samples: list[dict[str, Any]] = self.everything["samples"][self.name]
        return samples

    @property
    def answers(self) -> dict[str, str]:
        """The answer by question id."""
        return {each["doc"]["id"]: each["resps"][0][0] for each in self.samples}
