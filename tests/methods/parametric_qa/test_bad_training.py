"""A training that diverges or finds no space leaves earlier shared parts as they were."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.errors import InputError, RunFailedError
from methods.parametric_qa.train import from_recipe as commands
from methods.parametric_qa.train import training, training_data
from methods.parametric_qa.train.recipe import SelectorTraining
from tests.methods.parametric_qa.lab import contents, little_space, one_line, quiet
from tests.methods.parametric_qa.training_lab import recipe, run, toy_task


@pytest.fixture(scope="module")
def earlier(tiny_model_dir, tmp_path_factory) -> Path:
    """A folder of shared parts that a training wrote."""
    folder = tmp_path_factory.mktemp("earlier") / "out"
    run(tiny_model_dir, toy_task(), folder, init="encoder", steps=2)
    return folder


def shared_files(folder: Path) -> dict[Path, bytes]:
    """Of the shared parts: without checkpoints and curves, which tell of what failed."""
    return {
        path.relative_to(folder): content
        for path, content in contents(folder).items()
        if "checkpoint" not in str(path) and path.name != "curves.csv"
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate": 1e30}, r"the loss of step \d+ \(answer\) is nan; lower the learning"),
        (
            {"selection": SelectorTraining(steps=5, batch=4, random=4, learning_rate=1e30)},
            r"the selector's loss of step \d+ is nan; lower its learning rate",
        ),
    ],
    ids=["reader", "selector"],
)
def test_a_training_that_diverges_leaves_earlier_shared_parts(
    tiny_model_dir, earlier, tmp_path, monkeypatch, changes, words
):
    out = Path(shutil.copytree(earlier, tmp_path / "out"))
    monkeypatch.setattr(training_data, "read_training_task", lambda source: toy_task())
    path = tmp_path / "mine.yaml"
    plan = recipe(model=f"path:{tiny_model_dir}", warmup=0, **changes)
    path.write_text(plan.model_dump_json())
    with pytest.raises(RunFailedError, match=words) as caught:
        list(commands.train(str(path), out, {}, "cpu", quiet()))
    assert one_line(caught.value)
    assert shared_files(out) == shared_files(earlier)


def test_a_last_step_that_diverges_is_seen_before_anything_is_kept(
    tiny_model_dir, earlier, tmp_path, monkeypatch
):
    """The root of 0 is a number, and its gradient is none."""
    out = Path(shutil.copytree(earlier, tmp_path / "out"))

    def loss(self, *arguments, **options):
        return (self.parts.mark * 0).sum().sqrt()

    monkeypatch.setattr(training.Objectives, "loss", loss)
    with pytest.raises(RunFailedError, match="step 1 left NaN or infinity; lower"):
        run(tiny_model_dir, toy_task(), out, steps=1, seed=1)
    assert shared_files(out) == shared_files(earlier)
    assert len(list(out.glob("checkpoint-*/*"))) == len(list(earlier.glob("checkpoint-*/*")))


@pytest.mark.parametrize("most", [2_000, 20_000])
def test_a_full_disk_in_training_leaves_earlier_shared_parts(
    tiny_model_dir, earlier, tmp_path, most
):
    """Too little for a checkpoint, and (with no step to keep) for the shared parts themselves."""
    out = Path(shutil.copytree(earlier, tmp_path / "out"))
    steps = 1 if most < 10_000 else 0
    with little_space(most), pytest.raises(InputError) as caught:
        run(tiny_model_dir, toy_task(), out, steps=steps, seed=1)
    assert "cannot write there" in one_line(caught.value)
    assert shared_files(out).items() >= shared_files(earlier).items()
    run(tiny_model_dir, toy_task(), out, steps=steps, seed=1)
    assert shared_files(out) != shared_files(earlier)
    assert not (out / ".fresh").exists()
