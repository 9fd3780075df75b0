"""xRAG: vectors in the place of passages, refusals, storage, the authors' checkpoints."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.boards.method_entry import parse_params
from harness.boards.needs import check_needs
from harness.data.corpus_changes import CorpusChanges
from harness.errors import CapabilityError, ConfigError, InputError
from harness.llm.catalogue import resolve_model
from harness.prompts import Demonstration, QAPrompts
from harness.records import Passage
from harness.retrieval.catalogue import encoder_entry
from harness.retrieval.dense import build_dense
from harness.testing.conformance import check_method
from harness.testing.models import RuleModel
from harness.testing.vectors import KEY, WordVectors
from methods.xrag.authors import ENCODER, own_bridge
from methods.xrag.bridge import CONFIG_FILE, TENSORS_FILE, Bridge
from methods.xrag.control import XRAGShuffled
from methods.xrag.method import XRAG
from tests.harness.programs import open_with
from tests.harness.retrieval.helpers import HashEncoder
from tests.methods.xrag_lab import CORPUS, QUERIES, VALUES, load_tiny, save_bridge


@pytest.fixture(scope="module")
def tiny(completion_model_dir):
    return load_tiny(completion_model_dir)


@pytest.fixture(scope="module")
def bridge(tiny, tmp_path_factory):
    return save_bridge(tiny, tmp_path_factory.mktemp("bridge"))


def opened(tiny, bridge, cls=XRAG, retriever=None, prompts=None, **values):
    method = cls(cls.Params(**{**VALUES, "bridge": str(bridge), **values}))
    prompts, found = prompts or QAPrompts(), retriever or WordVectors(CORPUS)
    return open_with(method, tiny, found, CORPUS, prompts=prompts, seed=0)


def answers(engine):
    found = {}
    engine.run(QUERIES, lambda done: found.update({done.question_id: done.prediction}))
    return found


@pytest.mark.parametrize("cls", [XRAG, XRAGShuffled])
def test_conformance(tiny, bridge, cls):
    check_method(cls, {**VALUES, "bridge": str(bridge)}, model=tiny)


def test_vectors_stand_where_the_passages_would(tiny, bridge):
    shown = QAPrompts((Demonstration("Question: Where?", "Here"),))
    found = answers(opened(tiny, bridge, k=2, prompts=shown))
    for prediction in found.values():
        assert prediction.read_ids == prediction.ranked_ids[:2]
        call = next(step for step in prediction.steps if step.kind == "generate")
        places = "Passage:[1 vectors]\n" * len(prediction.read_ids)
        assert call.data["prompt"].startswith(f"Question: Where?\nAnswer: Here\n\n{places}Question")
        assert not any(passage.text in call.data["prompt"] for passage in CORPUS)
    assert max(len(each.ranked) for each in found.values()) > 2


def test_the_best_vector_stands_last_and_is_the_retrievers_bridged(tiny, bridge, monkeypatch):
    sent = []
    generate = tiny.generate
    monkeypatch.setattr(tiny, "generate", lambda asked: generate(sent.extend(asked) or asked))
    retriever = WordVectors(CORPUS)
    found = answers(opened(tiny, bridge, k=2))
    best = [each.read_ids[::-1] for each in found.values() if len(each.read_ids) == 2]
    made = Bridge.load(bridge)
    wanted = [made(torch.from_numpy(retriever.vectors(ids))) for ids in best]
    given = [torch.cat(each.soft_prompts) for each in sent if len(each.soft_prompts) == 2]
    assert len(given) == len(wanted) > 2
    assert all(any(x.equal(y) for y in given) for x in wanted)


def test_the_control_reads_vectors_of_passages_that_were_not_found(tiny, bridge):
    for prediction in answers(opened(tiny, bridge, XRAGShuffled, k=2, ranked=3)).values():
        assert len(prediction.read_ids) == min(2, len(prediction.ranked))
        assert not set(prediction.read_ids) & set(prediction.ranked_ids)


def test_vectors_and_the_bridge_are_stored_and_no_text(tiny, tmp_path):
    encoder = HashEncoder(8, "hash-8")
    folder = save_bridge(tiny, tmp_path, encoder="hash", encoder_key=encoder.key)
    retriever = build_dense(CORPUS, encoder)
    engine = opened(tiny, folder, retriever=retriever)
    numbers = sum(tensor.numel() for tensor in load_file(folder / TENSORS_FILE).values())
    assert engine.method.storage().parts == {
        "dense index": len(CORPUS) * 8 * 2,
        "shared parameters": numbers * 2,
    }
    new = Passage("d0", "Ships", "Many ships call.")
    changed = retriever.revised(CorpusChanges.of(CORPUS, updated=[new]))
    assert np.allclose(changed.vectors(["d0"]), encoder.encode_passages([new.contents]), atol=1e-3)
    assert (changed.vectors(["d1", "d3"]) == retriever.vectors(["d1", "d3"])).all()


def test_a_bridge_is_refused_by_another_model_style_or_encoder(tiny, bridge, tmp_path):
    def refused(match, retriever=KEY, **values):
        folder = save_bridge(tiny, tmp_path, **values)
        method = XRAG(XRAG.Params(bridge=str(folder), retriever=retriever))
        with pytest.raises(ConfigError, match=match):
            method.check_entry(tiny.config)
            method.check_model(tiny)

    refused("not for 'tiny' as it is now", model_fingerprint="0")
    refused("trained on chat prompts", prompt_style="chat")
    refused("takes vectors of the encoder 'words', not of 'all-minilm-l6-v2'", "dense")
    other = WordVectors(CORPUS)
    other.encoder_key = "words of another length"
    with pytest.raises(ConfigError, match="has those of 'words of another length'"):
        opened(tiny, bridge, retriever=other)
    with pytest.raises(ConfigError, match="no vectors to read"):
        parse_params(XRAG, "xrag", {"retriever": "bm25"})
    with pytest.raises(CapabilityError, match="soft-prompts"):
        check_needs("xrag", XRAG(), RuleModel())
    (tmp_path / CONFIG_FILE).unlink()
    with pytest.raises(InputError, match="holds no bridge.json"):
        _ = XRAG(XRAG.Params(bridge=str(tmp_path))).inputs


def projector(width: int = 64, dimensions: int = 8, prefix: str = "projector.projector."):
    source = torch.Generator().manual_seed(0)
    shapes = {"0.weight": (width, dimensions), "0.bias": (width,)}
    shapes |= {"2.weight": (width, width), "2.bias": (width,)}
    return {prefix + k: torch.randn(v, generator=source).bfloat16() for k, v in shapes.items()}


def checkpoint(source, folder, own):
    """The tiny model in two files of weights, one with a projector's tensors, as the authors'."""
    shutil.copytree(source, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts = {"one.safetensors": weights, "two.safetensors": own}
    for name, tensors in parts.items():
        save_file(tensors, folder / name, metadata={"format": "pt"})
    index = {name: file for file, tensors in parts.items() for name in tensors}
    places = {"metadata": {}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(places))
    return load_tiny(folder, trained_for=("xrag",))


def test_the_authors_checkpoint_brings_its_projector(completion_model_dir, tmp_path):
    own = projector()
    model = checkpoint(completion_model_dir, tmp_path / "authors", own)
    made, vectors = own_bridge(model), torch.randn(3, 8)
    parts = {name.rpartition("projector.")[2]: tensor.float() for name, tensor in own.items()}
    hidden = torch.nn.functional.gelu(vectors @ parts["0.weight"].T + parts["0.bias"])
    assert torch.allclose(made(vectors), hidden @ parts["2.weight"].T + parts["2.bias"], atol=1e-4)
    encoder = HashEncoder(8, "hash-8")
    method = XRAG(XRAG.Params(bridge=None, retriever=ENCODER, max_tokens=4))
    method.check_model(model)
    retriever = build_dense(CORPUS, encoder)
    found = answers(open_with(method, model, retriever, CORPUS, prompts=QAPrompts(), seed=0))
    assert all(len(each.read_ids) == 1 for each in found.values())
    assert method.trained_on() == () and method.inputs == {}


def test_a_model_without_a_projector_that_fits_is_refused(tiny, completion_model_dir, tmp_path):
    with pytest.raises(ConfigError, match="no bridge is named, and 'tiny' is no checkpoint"):
        own_bridge(tiny)
    with pytest.raises(InputError, match="hold no projector"):
        own_bridge(load_tiny(completion_model_dir, trained_for=("xrag",)))
    deeper = {"projector.projector.4.weight": torch.zeros(64, 64)}
    for place, own in {"wide": projector(width=32), "deep": {**projector(), **deeper}}.items():
        model = checkpoint(completion_model_dir, tmp_path / place, own)
        with pytest.raises(InputError, match="not two layers that end in the model's width"):
            own_bridge(model)


def test_the_catalogue_names_the_checkpoint_and_its_encoder():
    assert resolve_model("xrag-7b").trained_for == ("xrag",)
    settings = encoder_entry(ENCODER).settings
    assert (settings.pooling, settings.normalize, settings.passage_max_tokens) == (
        "lasttoken", False, 180
    )  # fmt: skip
