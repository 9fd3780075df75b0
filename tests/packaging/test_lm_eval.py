"""lm-eval's commands of the built wheel, in a folder that holds modules of its packages' names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.conftest import Environment

pytestmark = pytest.mark.slow


def test_as_a_plug_in_of_lm_eval_it_works_or_names_the_clash(
    environment: Environment, tmp_path: Path, tiny_model_dir: Path
) -> None:
    for name in ("tasks", "methods"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('mine was run')\n")
    arguments = (
        "lm-eval", "--model", "memory", "--tasks", "memory_nq", "--limit", 1,
        "--model_args", f"method=no-retrieval,llm=path:{tiny_model_dir}",
    )  # fmt: skip
    done = environment("memory-harness", *arguments, cwd=tmp_path)
    assert "|memory_nq|" in done.stdout
    done = environment("python", "-m", "harness", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        f"error: {tmp_path}/methods.py: in the way of memory-harness's own package 'methods'; "
    )
