"""ROME and MEMIT: what changed is said, other things stay, and the model is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.data.corpus import Corpus
from harness.data.corpus_changes import CorpusChanges
from harness.errors import ConfigError
from harness.fingerprint import folder_fingerprint
from harness.llm.edits import weights_digest
from harness.records import Passage
from harness.testing.conformance import check_method
from methods.weight_edits import moments
from methods.weight_edits.closed_form import conditioned, many, rank_one
from methods.weight_edits.editor import edits_in, read
from methods.weight_edits.facts import facts_of
from methods.weight_edits.inside import down_projections, seen, sequences
from methods.weight_edits.memit import MEMIT, spread
from methods.weight_edits.rome import ROME
from tests.methods.weights.lab import CORPUS, KilledError, load, opened, written

QUICK = {"prefixes": 1, "cues": 2, "steps": 4, "shots": 0}
LEARNS = {"prefixes": 0, "steps": 40, "most_change": 20.0, "decay": 0.0}
TOWNS = Corpus.from_passages(
    (
        Passage("d1", "Paris", "Paris is a river."),
        Passage("d2", "Hamlet", "Hamlet wrote the play with the prince of Denmark."),
    )
)
NEW = Passage("d1", "Paris", "Paris is a city.")
OTHER = Passage("d2", "Hamlet", "Hamlet wrote the phrase with the prince of Denmark.")


@pytest.fixture(scope="module")
def tiny(completion_model_dir):
    llm = load(completion_model_dir)
    # Random attention tells later tokens too little of a subject for any value there to do.
    llm.model.get_parameter("model.layers.1.self_attn.o_proj.weight").data.mul_(4)
    return llm


def editor(cls, **params):
    own = {"layers": 1, "keep_known": 1e-3} if cls is MEMIT else {}
    return cls(cls.Params(**{**QUICK, **own, **params}))


def begun(method, llm, folder: Path) -> Path:
    """The folder with what the method counted over the towns, loaded."""
    opened(method, llm)
    folder.mkdir()
    method.write(TOWNS, (), folder)
    method.load(folder)
    return folder


def revised(method, folder: Path, *updated: Passage) -> None:
    """Bring the memory to what these documents now say, and load it."""
    method.revise(CorpusChanges.of(TOWNS, updated=updated), (), folder)
    method.load(folder)


@pytest.fixture(params=[ROME, MEMIT])
def edited(request, tiny, tmp_path):
    method = editor(request.param, **LEARNS)
    revised(method, begun(method, tiny, tmp_path / "memory"), NEW)
    return method


def logprobs(llm, prompt: str) -> torch.Tensor:
    with torch.no_grad():
        ids = torch.tensor([llm.encode(prompt)])
        return llm.model(ids).logits[0, -1].log_softmax(dim=-1)


def test_what_changed_is_said_and_the_model_left_alone(tiny, edited):
    said, digest = tiny.encode("a city")[-1], weights_digest(tiny.model)
    asked, about, other = "Paris is a", "Paris was the", "Hamlet wrote the"
    plain = {prompt: logprobs(tiny, prompt) for prompt in (asked, about, other)}
    assert plain[asked].argmax() != said
    with tiny.changed(edited.changes):
        now = {prompt: logprobs(tiny, prompt) for prompt in plain}
    assert now[asked].argmax() == said
    assert now[about][said] > plain[about][said]
    moved = {prompt: (now[prompt] - plain[prompt]).norm() for prompt in plain}
    assert moved[other] < moved[asked] / 2
    assert weights_digest(tiny.model) == digest
    assert all(torch.equal(logprobs(tiny, prompt), plain[prompt]) for prompt in plain)


def test_what_changed_is_found_by_rule():
    old = Passage("d", "Vell (town)", "Vell has a light. It was built by Mara Quint in 1821.")
    new = Passage("d", "Vell (town)", "Vell has a light. It was built by Mara Stone in 1907.")
    name, year = facts_of(old, new, 4, 0)
    assert (name.target, year.target) == ("Mara Stone", "1907")
    assert name.cues[1].text == "Vell: It was built by" and name.cues[1].subject == "Vell"
    assert all(cue.subject.lower() in cue.text.lower() for cue in (*name.cues, *year.cues))
    assert all("1907" not in cue.text for cue in year.cues)
    assert facts_of(old, old, 4, 0) == []
    unnamed = (Passage("d", "", f"it cost {n} pounds.") for n in (3, 4))
    assert facts_of(*unnamed, 4, 0) == []


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_a_change_of_rank_one_is_the_least_that_gives_the_value():
    keys, key, wanted = numbers(40, 6), numbers(6), numbers(4)
    moment = keys.T @ keys
    edit = rank_one(moment, key, wanted)
    change = (edit.left @ edit.right).double()
    assert torch.allclose(change @ key, wanted, atol=1e-5)
    # The same by Lagrange's conditions, for each row: 2 M d + l k = 0, k d = w.
    system = torch.zeros(7, 7, dtype=torch.float64)
    system[:6, :6], system[:6, 6], system[6, :6] = 2 * moment, key, key
    rows = [torch.linalg.solve(system, torch.cat([torch.zeros(6), w[None]]))[:6] for w in wanted]
    assert torch.allclose(change, torch.stack(rows), atol=1e-5)


def test_many_changes_are_the_least_squares_of_both_aims():
    known, keys, wanted = numbers(40, 6), numbers(3, 6), numbers(3, 4)
    edit = many(known.T @ known / 40, 0.7, keys, wanted)
    aims = torch.cat([(0.7 / 40) ** 0.5 * known, keys])
    values = torch.cat([torch.zeros(40, 4, dtype=torch.float64), wanted])
    naive = torch.linalg.lstsq(aims, values).solution.T
    assert torch.allclose((edit.left @ edit.right).double(), naive, atol=1e-5)


def test_one_fact_in_one_layer_is_the_closed_form(tiny):
    (fact,) = facts_of(TOWNS[0], NEW, 2, 0)
    name = down_projections(tiny)[0]
    given, hidden = sequences(tiny, fact, []), tiny.model.config.hidden_size
    key = seen(tiny, name, given, inputs=True).mean(dim=0).double()
    moment, wanted = torch.eye(len(key)), torch.ones(1, hidden)
    ((_, edit),) = spread(tiny, {name: moment}, [given], wanted, 2.0).items()
    missing = (wanted - seen(tiny, "model.layers.0", given[:1], inputs=False))[0].double()
    direction = torch.linalg.solve(2.0 * len(key) * conditioned(moment), key)
    sherman_morrison = torch.outer(missing, direction) / (1 + key @ direction)
    assert torch.allclose((edit.left @ edit.right).double(), sherman_morrison, atol=1e-6)


def test_moments_are_means_over_tokens_and_outlive_a_kill(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(moments, "_BATCH", 1)
    monkeypatch.setattr(moments, "KEPT_EVERY", 1)
    whole = folder_fingerprint(written(editor(ROME), tiny, tmp_path / "whole"))
    add, added = moments._add, []

    def killed(llm, names, batch, sums):
        added.append(batch)
        if len(added) == 2:
            raise KilledError
        add(llm, names, batch, sums)

    monkeypatch.setattr(moments, "_add", killed)
    with pytest.raises(KilledError):
        written(editor(ROME), tiny, tmp_path / "killed", tmp_path / "scratch")
    again = written(editor(ROME), tiny, tmp_path / "again", tmp_path / "scratch")
    assert len(added) == 3 and added[1] == added[2] and folder_fingerprint(again) == whole
    ((name, found),) = read(again / "moments.safetensors").items()
    keys = []
    hook = tiny.model.get_submodule(name).register_forward_pre_hook(lambda _, x: keys.append(x[0]))
    for ids in moments.sampled(tiny, CORPUS, 10_000):
        tiny.model(torch.tensor([ids]))
    hook.remove()
    every = torch.cat([each[0] for each in keys]).double()
    assert torch.allclose(found.double(), every.T @ every / len(every), atol=1e-4)


def test_facts_that_come_later_join_the_others(tiny, tmp_path):
    both = {}
    for cls in (ROME, MEMIT):
        method = editor(cls)
        folder = begun(method, tiny, tmp_path / cls.__name__)
        revised(method, folder, NEW)
        ((name, one),) = edits_in(folder).items()
        revised(method, folder, OTHER)
        both[cls] = edits_in(folder)[name]
        assert both[cls].left.shape[1] == 2 * one.left.shape[1] == 2
        # ROME goes on from the model as it was edited, MEMIT begins again with all facts.
        assert torch.equal(both[cls].right[:1], one.right) == (cls is ROME)
    method = editor(MEMIT)
    folder = begun(method, tiny, tmp_path / "at-once")
    revised(method, folder, NEW, OTHER)
    at_once = edits_in(folder)[name]
    assert torch.allclose(at_once.left, both[MEMIT].left, atol=1e-4)
    assert torch.allclose(at_once.right, both[MEMIT].right, atol=1e-4)


def test_documents_that_come_and_go_change_no_weight(tiny, tmp_path):
    method = editor(ROME)
    folder = begun(method, tiny, tmp_path / "memory")
    changes = CorpusChanges.of(TOWNS, added=[Passage("d3", "Nile", "A river.")], deleted=["d1"])
    method.revise(changes, (), folder)
    method.load(folder)
    assert not method.changes.edits and method.storage().documents == 2
    revised(method, folder, Passage("d1", "", "it is not known."))
    assert not method.changes.edits
    assert method.storage().left_out == method.storage().documents == 1


def test_a_model_without_mlps_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(tiny.model, "named_modules", list)
    with pytest.raises(ConfigError, match="no linear down projections"):
        down_projections(tiny)


@pytest.mark.parametrize("cls", [ROME, MEMIT])
def test_conformance(tiny, cls):
    kept = check_method(cls, {**QUICK, "steps": 1, "max_tokens": 4}, model=tiny)
    assert "afterwards the model's weights are bit for bit what they were" in kept
    assert "revise() leaves what write() would" in kept
