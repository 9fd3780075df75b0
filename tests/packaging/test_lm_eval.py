"""lm-eval's command of the built wheel, in a folder that holds modules of its packages' names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.conftest import Environment
from tests.stub import Stub, Words

pytestmark = pytest.mark.slow

# One start for both, since lm-eval takes seconds to import.
TWICE = """
import sys
from harness.cli.main import main

for place in ("first on the import path", "not on it"):
    try:
        main()
    except SystemExit as stopped:
        print(f"its folder {place}: {stopped.code}", flush=True)
    sys.path.remove("") if "" in sys.path else None
"""


def test_as_a_plug_in_of_lm_eval_it_works_or_names_the_clash(
    environment: Environment, tmp_path: Path
) -> None:
    for name in ("tasks", "methods"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('mine was run')\n")
    with Stub(Words(lambda prompt: prompt.split()[-2])) as server:
        done = environment(
            "python", "-c", TWICE, "lm-eval", "--model", "memory", "--tasks", "memory_nq",
            "--limit", 1, "--model_args", f"method=no-retrieval,llm=openai:m@{server.url}",
            cwd=tmp_path,
        )  # fmt: skip
    refused, found = done.stdout.split("its folder first on the import path: 2\n")
    assert refused == ""
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert error.startswith(
        f"error: {tmp_path}/methods.py: in the way of memory-harness's own package 'methods'; "
    )
    assert "|memory_nq|" in found
    assert found.endswith("its folder not on it: 0\n")
