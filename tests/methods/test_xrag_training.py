"""The training of a bridge: two stages, resumable, seeded, recorded, measured on held-out rows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import yaml

from harness.data.corpus import Corpus
from harness.data.trained_on import check_untrained, read_record
from harness.errors import ConfigError, InputError, RunFailedError
from harness.llm.weights import model_fingerprint
from harness.records import Passage, Question
from harness.testing.models import small_task
from methods.parametric_qa.train.curves import read_curves
from methods.parametric_qa.train.training_data import training_task
from methods.xrag import cli, training
from methods.xrag.bridge import CONFIG_FILE, TENSORS_FILE, Bridge
from methods.xrag.material import Material, Vectors, others
from methods.xrag.method import XRAG
from methods.xrag.recipe import RECIPES, Recipe, read_recipe
from tests.harness.lab import quiet, write_lines
from tests.harness.retrieval.helpers import HashEncoder
from tests.methods.xrag_lab import config_of, load_tiny

WORDS = ("red", "blue", "green", "black", "white", "brown")
ENCODER = HashEncoder(16, "hash-16")


def toy_task():
    """Passages of one colour each, and questions that only the passage answers."""
    passages = [Passage(f"d{n}", "", f"It is {WORDS[n % 6]}, number {n}.") for n in range(60)]
    rows = [Question(f"q{n}", f"Thing {n}?", (WORDS[n % 6],), (f"d{n}",)) for n in range(60)]
    return training_task("toy", Corpus.from_passages(passages), [], rows)


def recipe(**changes) -> Recipe:
    values = {
        "name": "toy",
        "model": "tiny",
        "tasks": ("toy",),
        "pretraining": {"steps": 4, "learning_rate": 1e-3, "longest": 6, "batch": 4},
        "tuning": {"steps": 5, "learning_rate": 1e-3, "batch": 4, "taught": 20, "shots": 2},
        "dtype": "float32",
        "checkpoint_every": 2,
        "validate_every": 100,
    }
    return Recipe.model_validate(values).changed(changes)


def trained(folder, out, **changes):
    llm = load_tiny(folder)
    training.train(recipe(**changes), llm, ENCODER, [toy_task()], out, quiet())
    return llm


@pytest.fixture(scope="module")
def whole(completion_model_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    before = model_fingerprint(load_tiny(completion_model_dir).model)
    assert model_fingerprint(trained(completion_model_dir, out).model) == before, "it is frozen"
    return out


def test_it_learns_what_the_vector_holds(completion_model_dir, tmp_path):
    tuning = {"steps": 40, "learning_rate": 3e-3, "batch": 8, "kl": 0}
    trained(completion_model_dir, tmp_path, pretraining={"steps": 0}, tuning=tuning)
    curves = read_curves(tmp_path / "curves.csv")
    held_out = {(step, name): value for step, name, value, _ in curves}
    assert held_out[40, "validation own"] < held_out[40, "validation other"] - 0.2
    assert held_out[40, "validation own"] < held_out[0, "validation own"]
    assert (40, "validation none") not in held_out and (0, "validation none") in held_out


@pytest.mark.parametrize("stage", ["pretraining", "tuning"])
def test_killed_and_continued_it_has_the_same_bytes(
    completion_model_dir, whole, tmp_path, monkeypatch, stage
):
    step = training.Training._step

    def killed(self, loss, optimizer, named):
        if named == f"step 3 of {stage}":
            raise KeyboardInterrupt
        return step(self, loss, optimizer, named)

    monkeypatch.setattr(training.Training, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(completion_model_dir, tmp_path)
    assert not (tmp_path / CONFIG_FILE).exists()
    monkeypatch.undo()
    trained(completion_model_dir, tmp_path)
    assert (tmp_path / TENSORS_FILE).read_bytes() == (whole / TENSORS_FILE).read_bytes()
    told = [[row[:3] for row in read_curves(folder / "curves.csv")] for folder in (tmp_path, whole)]
    assert told[0] == told[1]


def test_another_seed_gives_another_bridge(completion_model_dir, whole, tmp_path):
    trained(completion_model_dir, tmp_path, seed=1)
    assert (tmp_path / TENSORS_FILE).read_bytes() != (whole / TENSORS_FILE).read_bytes()


def test_what_it_learnt_from_is_noted_and_never_asked(whole):
    task, data = toy_task(), small_task()
    record = read_record(whole, "bridge")
    asked = replace(data, questions=(*data.questions, task.validation[0]))
    assert XRAG(XRAG.Params(bridge=str(whole))).trained_on()[0].questions == record.questions
    with pytest.raises(InputError, match="bridge"):
        check_untrained(asked, [record], leave_out=False)
    assert Bridge.load(whole).config.encoder_key == ENCODER.key
    told = json.loads((whole / CONFIG_FILE).read_text())["training"]
    assert told["train questions"] == {"toy": len(task.train)}


def test_the_saved_bridge_takes_vectors_as_the_encoder_gives_them(tmp_path, completion_model_dir):
    llm = load_tiny(completion_model_dir)
    table = llm.model.get_input_embeddings().weight
    made = Bridge.untrained(config_of(llm), table, 0)
    vectors, shift, scale = torch.randn(5, 8), torch.randn(8), 0.1 + torch.rand(8)
    made.folded(shift, scale).save(tmp_path, {})
    read = Bridge.load(tmp_path)(vectors)
    assert torch.allclose(read, made((vectors - shift) / scale), atol=1e-2)
    out = made(torch.randn(400, 8))
    assert 0.5 < (out.std(dim=0) / table.std(dim=0)).median() < 2


class HalfDead(HashEncoder):
    """One number of its vectors is almost the same for all texts, as one of MiniLM's is."""

    def encode_passages(self, texts):
        found = super().encode_passages(texts)
        found[:, 3] = 0.25 + 1e-3 * found[:, 3]
        return found


def test_numbers_that_hardly_differ_are_not_blown_up(completion_model_dir, tmp_path):
    llm, task = load_tiny(completion_model_dir), toy_task()
    vectors = Vectors([task], HalfDead(16, "half-dead-16"))
    shown = torch.stack([vectors.of(task, id_) for id_ in task.corpus.ids])
    assert shown[:, 3].abs().max() < 1 < shown[:, 2].abs().max()
    made = Bridge.untrained(config_of(llm, dimensions=16), torch.randn(9, 64), 0)
    made.folded(vectors.shift, vectors.scale).save(tmp_path, {})
    with pytest.raises(RunFailedError, match="float16 cannot hold"):
        made.folded(torch.zeros(16), torch.full((16,), 1e-7)).save(tmp_path, {})
    assert Bridge.load(tmp_path)(torch.randn(2, 16)).isfinite().all()


def test_a_teacher_reads_the_passage_and_expects_what_the_model_does(completion_model_dir):
    llm = load_tiny(completion_model_dir)
    material = Material(llm, [toy_task()], shots=2, most_taught=5, seed=0)
    assert len(material.taught) == 5
    place = min(material.taught)
    asked = material.train[place]
    target = list(material.answering(asked).target)
    expected = material.expected(place, target)
    shown = "\n\n".join(f"{d.ask}\nAnswer: {d.reply}" for d in material._demonstrations["toy"])
    instruction = "Answer the question with a short phrase, a name, a date or yes/no."
    text = (
        f"{instruction} The passages may hold the answer.\n\n{shown}\n\nPassage: "
        f"{asked.task.corpus.get(asked.passage).text}\n{asked.question.text}"
    ).replace(asked.question.text, f"Question: {asked.question.text}\nAnswer:")
    ids = torch.tensor([llm.encode(text) + target])
    logits = llm.model(ids).logits[0, -len(target) - 1 : -1].log_softmax(-1)
    assert torch.allclose(logits.gather(1, expected.ids), expected.logprobs, atol=1e-4)
    untaught = next(n for n in range(len(material.train)) if n not in material.taught)
    assert material.expected(untaught, target) is None


def test_others_are_of_the_same_task_and_never_the_own_passage():
    task = toy_task()
    material = Material(load_nothing(), [task], shots=0, most_taught=0, seed=0)
    pairs = zip(material.validation, others(material.validation), strict=True)
    assert all(one.passage != other.passage for one, other in pairs)


def load_nothing():
    return None


def test_what_cannot_be_learnt_is_refused(completion_model_dir, tmp_path, monkeypatch):
    nothing = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr(training.Training, "telling_loss", lambda self, source: nothing)
    with pytest.raises(RunFailedError, match="loss of step 1 of pretraining is nan; lower"):
        trained(completion_model_dir, tmp_path)
    with pytest.raises(InputError, match="0 train questions are left to learn from"):
        trained(completion_model_dir, tmp_path, tuning={"shots": 100})
    llm = load_tiny(completion_model_dir)
    llm.config = llm.config.model_copy(update={"quantization": "nf4"})
    with pytest.raises(ConfigError, match="quantization nf4"):
        training.train(recipe(), llm, ENCODER, [toy_task()], tmp_path, quiet())


def test_the_command_tells_what_held_out_questions_say(completion_model_dir, tmp_path, monkeypatch):
    task = toy_task()
    texts = [{"id": p.id, "contents": p.contents} for p in task.corpus]
    write_lines(tmp_path / "corpus.jsonl", texts)
    rows = [
        {"id": q.id, "question": q.text, "golden_answers": list(q.golden_answers)}
        | {"metadata": {"gold_doc_ids": list(q.gold_doc_ids)}}
        for q in task.questions
    ]
    write_lines(tmp_path / "train.jsonl", rows)
    files = {"train": "train.jsonl", "corpus": "corpus.jsonl"}
    model = {"name": "tiny", "path": str(completion_model_dir), "prompt_style": "completion"}
    values = {**recipe().model_dump(mode="json"), "tasks": [{"name": "toy", "files": files}]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**values, "model": model}))
    monkeypatch.setattr("harness.retrieval.encoders.open_encoder", lambda *_, **__: ENCODER)
    lines = list(cli.trained(str(tmp_path / "mine.yaml"), tmp_path / "out", {}, "cpu", quiet()))
    found = json.loads((tmp_path / "out" / "validation.json").read_text())
    assert found["questions"] == len(task.validation) and set(found["f1"]) == set(found["loss"])
    assert lines[0] == f"held-out train questions: {len(task.validation)}"
    assert lines[-1].startswith("  own vector less no vector: loss ")
    for name in ("f1", "loss"):
        low, high = found["against"]["another's vector"][name]["interval"]
        assert low <= found[name]["own vector"] - found[name]["another's vector"] <= high


def test_recipes_that_ship_are_valid_and_others_are_explained(tmp_path):
    for path in RECIPES.glob("*.yaml"):
        assert read_recipe(path.stem).name == path.stem
    with pytest.raises(InputError, match="no recipe 'smollm2-135m'"):
        read_recipe("smollm2-135m")
    with pytest.raises(ConfigError, match="tuning.*nll and kl are 0|nll and kl are 0"):
        recipe(tuning={"nll": 0, "kl": 0})
    (tmp_path / "bad.yaml").write_text("name: x\nstepz: 3\n")
    with pytest.raises(ConfigError, match="bad.yaml"):
        read_recipe(str(tmp_path / "bad.yaml"))
