"""A folder that the real FlashRAG's config, dataset and evaluator leave, imported."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from harness.runs.flashrag_results import read_flashrag
from harness.runs.import_results import import_results
from harness.testing.models import small_task


@pytest.fixture
def _as_before(monkeypatch: pytest.MonkeyPatch):
    """FlashRAG's Config sets the environment and the seeds of this process."""
    import torch

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    flags = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = flags


@pytest.mark.usefixtures("_as_before")
def test_what_flashrag_saves_is_imported_and_scored_as_it_scores(tmp_path: Path) -> None:
    pytest.importorskip("flashrag.evaluator")
    from flashrag.config import Config
    from flashrag.dataset import Dataset
    from flashrag.evaluator import Evaluator

    data = small_task()
    config = Config(
        config_dict={
            "save_dir": str(tmp_path / "saved"), "dataset_name": "small", "save_note": "try",
            "generator_model": "llama3-8B-instruct", "retrieval_method": "bm25",
            "retrieval_topk": 3, "metrics": ["em", "f1"], "save_metric_score": True,
            "save_intermediate_data": True, "gpu_id": "",
        }
    )  # fmt: skip
    rows = [
        {"id": q.id, "question": q.text, "golden_answers": list(q.golden_answers)}
        for q in data.questions
    ]
    dataset = Dataset(config=config, data=rows)
    answers = [
        f"the {q.golden_answers[0]}" if i % 2 else "no" for i, q in enumerate(data.questions)
    ]
    dataset.update_output("pred", answers)
    found = [
        [{"id": id_, "contents": data.corpus.get(id_).contents} for id_ in q.gold_doc_ids]
        for q in data.questions
    ]
    dataset.update_output("retrieval_result", found)
    theirs = Evaluator(config).evaluate(dataset)
    (folder,) = (tmp_path / "saved").iterdir()
    assert {"config.yaml", "intermediate_data.json", "metric_score.txt"} <= {
        file.name for file in folder.iterdir()
    }
    results = read_flashrag(folder)
    assert (results.model, results.seed) == ("llama3-8B-instruct", 2024)
    assert results.told == {"retrieval_method": "bm25", "retrieval_topk": "3"}
    done = import_results(results, data, tmp_path / "runs", "fr-try")
    assert done.corpus == "same"
    lines = (done.folder / "scores.jsonl").read_text().splitlines()
    for metric in ("em", "f1"):
        ours = np.mean([json.loads(line)[metric] for line in lines])
        assert ours == pytest.approx(theirs[metric])
    assert 0 < theirs["em"] < 1
