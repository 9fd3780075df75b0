"""Somebody else's package, built and installed by pip: its names are as good as the house's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.lab import write_task
from tests.packaging.conftest import Environment
from tests.stub import Stub, Words

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "methods" / "README.md"

METHOD = '''
"""Asks twice."""

from pydantic import Field

from harness import Method, MethodCard, MethodParams, Prediction


class AskTwice(Method):
    """Ask, retrieve with the answer, ask again."""

    card = MethodCard(title="Ask twice", summary="The first answer is a hint.")

    class Params(MethodParams):
        k: int = Field(2, ge=1, description="passages")
        retriever: str = Field("bm25", description="of the passages")

    params: Params

    async def answer(self, query):
        found = await self.retriever.search(query.text, k=self.params.k)
        hint = await self.llm.generate(self.prompts.read(query, found), max_tokens=4)
        found = await self.retriever.search(f"{query.text} {hint.first_line}", k=self.params.k)
        reply = await self.llm.generate(self.prompts.read(query, found), max_tokens=4)
        return Prediction(reply.first_line, ranked=found)
'''
# Behind a server: no process of this test has to load torch.
MODELS = """
ZOO_1B = {"kind": "openai", "path": "m", "base_url": %r, "prompt_style": "completion",
          "licence": "MIT"}
"""
CHECK = """
from harness import check_method
from harness.cli.names import names
from harness.boards.method_entry import load_method
from harness.registry import broken
for kind in ("tasks", "models"):
    print(*next(line for line in names(kind) if line[0].startswith("zoo")))
assert check_method(load_method("ask-twice"))
print(broken(tried=True))
"""


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """The package of the page on methods, with something in it."""
    (text,) = re.findall(
        r"^```toml\n(# pyproject.toml\n.*?)^```$", PAGE.read_text("utf-8"), re.S | re.M
    )
    folder = tmp_path / "zoo-pkg"
    task = folder / "zoo_pkg" / "tasks" / "zoo"
    write_task(task / "sample", 4)
    (task / "task.yaml").write_text("name: zoo\ntitle: Zoo\n")
    (folder / "pyproject.toml").write_text(text)
    (folder / "zoo_pkg" / "__init__.py").write_text("")
    (folder / "zoo_pkg" / "ask_twice.py").write_text(METHOD.lstrip())
    with Stub(Words(lambda prompt: prompt.split()[-2])) as server:
        (folder / "zoo_pkg" / "models.py").write_text(MODELS % server.url)
        yield folder


def test_a_separate_package_is_listed_run_ranked_and_checked(
    environment: Environment, package: Path, tmp_path: Path
) -> None:
    environment.install(package, build=True)
    away = tmp_path / "away"
    # A folder of a user's own, whose modules have the names of ours.
    for name in ("methods", "tasks"):
        (away / name).mkdir(parents=True)
        (away / name / "__init__.py").write_text("raise SystemExit('mine was run')\n")

    listed = environment("memory-harness", "list", "methods", cwd=away).stdout
    assert "\nask-twice                        The first answer is a hint.\n" in f"\n{listed}"
    assert "\nbm25 " in listed

    done = environment(
        "memory-harness", "run", "--method", "ask-twice", "--task", "zoo", "--model", "zoo-1b",
        "--limit", 2, "--latency-queries", 0, "-p", "shots=0", "--out", "runs", cwd=away,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (manifest,) = (away / "runs").rglob("manifest.json")
    assert json.loads(manifest.read_text())["packages"]["zoo-pkg"] == "1.0"

    board = environment("memory-harness", "leaderboard", "runs", "--format", "json", cwd=away)
    (table,) = json.loads(board.stdout)["tables"]
    (row,) = table["rows"]
    assert (table["tasks"], table["model"], row["method"]) == (["zoo"], "zoo-1b", "ask-twice")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = environment("python", "-c", CHECK, cwd=elsewhere)
    assert done.stdout == "zoo Zoo\nzoo-1b MIT\n{}\n", done.stderr
