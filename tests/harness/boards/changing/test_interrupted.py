"""evaluate-update and evaluate-forgetting that are killed again and again, and go on."""

from __future__ import annotations

import csv
import json

import pytest

from harness import registry
from harness.testing.models import RuleModel
from tests.harness.boards.changing.lab import Notes, last_passage
from tests.harness.conftest import CommandLine
from tests.methods.parametric_qa.small_tasks import write_task

METHODS = [part for name in ("bm25", "notes", "living") for part in ("--method", name)]


class Living(Notes):
    """Brings its notes to a changed corpus; the first time it is killed on the way."""

    revises_together, dies = True, True

    def revise(self, changes, train, folder):
        new = {passage.title: [passage.id, passage.text] for passage in changes.corpus}
        if Living.dies:
            Living.dies, new = False, {}
        (folder / "notes.json").write_text(json.dumps(new))
        if not new:
            raise KeyboardInterrupt


class Killed:
    """The model, and what writes memories; ends a session at its second step, whatever it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps, self.most, self.asked = 0, 0, 0
        self.model = RuleModel(last_passage, verbose=True)
        generate, write = self.model.generate, Notes.write

        def generating(requests):
            self.step()
            self.asked += len(requests)
            return generate(requests)

        def writing(method, corpus, train, folder):
            (folder / "notes.json").write_text("half a memory")
            self.step()
            write(method, corpus, train, folder)

        monkeypatch.setattr(self.model, "generate", generating)
        monkeypatch.setattr(Notes, "write", writing)

    def step(self) -> None:
        self.steps += 1
        if self.most and self.steps > self.most:
            raise KeyboardInterrupt

    def session(self, call, most: int):
        self.steps, self.most = 0, most
        return call()


@pytest.fixture
def killed(cli: CommandLine, monkeypatch):
    found = Killed(monkeypatch)
    cli.model = found.model
    return found


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_plugins", {})
    registry.register("methods", "notes", Notes)
    registry.register("methods", "living", Living)
    return write_task(tmp_path / "tasks")


def without_times(path):
    """Records of a file but for what a clock tells."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.mark.parametrize(
    ("command", "arguments", "files"),
    [
        ("evaluate-update", ("--facts", 4, "--unchanged", 3), ("facts", "unchanged", "changes")),
        ("evaluate-forgetting", ("--limit", 4), ("questions", "passages")),
    ],
)
def test_one_that_is_killed_at_every_step_ends_like_one_that_is_not(
    cli, killed, task, tmp_path, monkeypatch, command, arguments, files
):
    def into(out):
        return lambda: cli(command, "--task", task, *METHODS, *arguments, "--out", tmp_path / out)

    monkeypatch.setattr(Living, "dies", False)
    done = killed.session(into("whole"), 0)
    assert done.code == 0, done
    steps, asked, killed.asked = killed.steps, killed.asked, 0
    monkeypatch.setattr(Living, "dies", True)
    codes = []
    while not codes or codes[-1]:
        assert len(codes) <= steps + 1
        codes.append(killed.session(into("killed"), 1).code)
    assert len(codes) > 6 and {*codes[:-1]} == {130}
    # Nothing that was answered is asked again.
    assert killed.asked == asked
    for name in files:
        whole, again = (tmp_path / out / f"{name}.csv" for out in ("whole", "killed"))
        assert without_times(whole) == without_times(again)
        if name != "changes":
            assert whole.read_bytes() == again.read_bytes()
    assert not list((tmp_path / "killed").rglob("states"))


def test_the_same_command_asks_nothing_again_and_tells_the_same(
    cli, killed, task, tmp_path, monkeypatch
):
    monkeypatch.setattr(Living, "dies", False)
    out, arguments = tmp_path / "out", (*METHODS, "--facts", 4, "--unchanged", 3)
    tables = []
    for _ in range(2):
        done = cli("evaluate-update", "--task", task, *arguments, "--out", out)
        tables.append((done.out, json.loads((out / "summary.json").read_text())))
    assert tables[0] == tables[1]
    assert "By the method's choice revised for all documents at once: living." in tables[0][0]
    assert killed.asked == 3 * 4 * 7
    # Other facts are another evaluation, of which nothing is answered yet.
    assert cli("evaluate-update", "--task", task, *METHODS, "--facts", 3, "--out", out).code == 0
    assert killed.asked > 3 * 4 * 7
