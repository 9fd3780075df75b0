"""lm-eval's command of the built wheel, in a folder that holds modules of its packages' names.

That it works as a plug-in of lm-eval: tests/harness/lm_eval_plugin.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.conftest import Environment

pytestmark = pytest.mark.slow


def test_as_a_plug_in_of_lm_eval_it_names_the_clash(
    environment: Environment, tmp_path: Path
) -> None:
    for name in ("tasks", "methods"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('mine was run')\n")
    done = environment(
        "python", "-m", "harness", "lm-eval", "--model", "memory", "--tasks", "memory_nq",
        "--limit", 1, "--model_args", "method=no-retrieval,llm=openai:m@http://127.0.0.1:9/v1",
        cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert error.startswith(
        f"error: {tmp_path}/methods.py: in the way of memory-harness's own package 'methods'; "
    )
