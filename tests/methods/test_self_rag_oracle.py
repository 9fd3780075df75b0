"""Self-RAG against the published rules, worked out from a checkpoint's own logits by torch."""

from __future__ import annotations

import math

import pytest
import torch

from harness.boards.method_entry import load_method
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.testing.models import WordRetriever, small_task
from tests.harness.programs import open_with
from tests.methods.self_rag_lab import notes
from tests.tiny_checkpoints import SELF_RAG_TOKENS, build_tiny_self_rag

pytestmark = pytest.mark.numeric

MOST, THRESHOLD = 20, 0.2
RETRIEVE = ("[Retrieval]", "[No Retrieval]", "[Continue to Use Evidence]")
RELEVANT = ("[Relevant]", "[Irrelevant]")
SUPPORTED = ("[Fully supported]", "[Partially supported]", "[No support / Contradictory]")
USEFUL = tuple(f"[Utility:{level}]" for level in (1, 2, 3, 4, 5))
DATA = small_task()


@pytest.fixture(scope="module")
def llm(tmp_path_factory) -> LocalModel:
    """A random checkpoint that likes to reflect."""
    folder = build_tiny_self_rag(tmp_path_factory.mktemp("self-rag") / "model")
    config = ModelConfig(name="tiny", path=str(folder), trained_for=("self-rag",))
    llm = LocalModel(config, str(folder), device="cpu")
    liked = (*SELF_RAG_TOKENS, "</s>")
    likes = [llm.tokenizer.convert_tokens_to_ids(token) for token in liked]
    with torch.no_grad():
        llm.model.lm_head.weight[likes] *= 1.6
    return llm


class Text:
    """What the model says greedily after a prompt: its tokens and all log-probabilities."""

    def __init__(self, llm: LocalModel, prompt: str, most: int) -> None:
        self.tokenizer = llm.tokenizer
        read = self.tokenizer(prompt)["input_ids"]
        self.tokens, self.logprobs = [], []
        for _ in range(most):
            with torch.inference_mode():
                logits = llm.model(torch.tensor([read + self.tokens])).logits[0, -1]
            self.logprobs.append(logits.double().log_softmax(-1))
            self.tokens.append(int(self.logprobs[-1].argmax()))
            if self.tokens[-1] == self.tokenizer.eos_token_id:
                break

    def cut(self, length: int) -> Text:
        self.tokens, self.logprobs = self.tokens[:length], self.logprobs[:length]
        return self

    def ids(self, names) -> list[int]:
        return [self.tokenizer.convert_tokens_to_ids(name) for name in names]

    def probs(self, place: int, names) -> list[float]:
        return [math.exp(self.logprobs[place][number]) for number in self.ids(names)]

    def first(self, names) -> int | None:
        found = [place for place, token in enumerate(self.tokens) if token in self.ids(names)]
        return found[0] if found else None

    def likelihood(self) -> float:
        chosen = [float(lp[token]) for lp, token in zip(self.logprobs, self.tokens, strict=True)]
        return math.exp(sum(chosen) / max(len(chosen), 1))

    def parts(self) -> tuple[float, float, float]:
        """Relevance, support and utility by the formulas of the paper's section 3.3."""
        relevant = self.probs(0, RELEVANT)
        at, use_at = self.first(SUPPORTED), self.first(USEFUL)
        support = use = 0.0
        if at is not None:
            full, part, none = self.probs(at, SUPPORTED)
            support = (full + 0.5 * part) / (full + part + none)
        if use_at is not None:
            levels = self.probs(use_at, USEFUL)
            use = sum(w * p for w, p in zip((-1, -0.5, 0, 0.5, 1), levels, strict=True))
            use /= sum(levels)
        return relevant[0] / sum(relevant), support, use


def prompt(question: str, passage=None) -> str:
    task = "Answer the question with a short phrase, a name, a date or yes/no."
    evidence = (
        f"[Retrieval]<paragraph>{passage.title}\n{passage.text}</paragraph>" if passage else ""
    )
    return f"### Instruction:\n{task}\n\n## Input:\n\n{question}\n\n### Response:\n{evidence}"


def answered(llm: LocalModel, **params):
    cls = load_method("self-rag")
    method = cls(cls.Params(k=2, retriever="bm25", max_tokens=MOST, **params))
    rows = []
    engine = open_with(method, llm, WordRetriever(DATA.corpus), DATA.corpus)
    engine.run([question.query for question in DATA.questions], rows.append)
    assert not [row.prediction.error for row in rows if row.prediction.error]
    return [(DATA.questions[int(row.question_id[1:])], row.prediction) for row in rows]


def test_decisions_are_the_papers(llm):
    decisions = set()
    for question, found in answered(llm):
        first = Text(llm, prompt(question.text), 1)
        wanted, unwanted = first.probs(0, RETRIEVE[:2])
        (note,) = notes(found, "retrieval decision")
        assert note["probability"] == pytest.approx(wanted / (wanted + unwanted), abs=1e-4)
        assert note["retrieve"] == (wanted / (wanted + unwanted) > THRESHOLD)
        assert found.usage.retrievals == int(note["retrieve"])
        decisions.add(note["retrieve"])
    assert decisions == {True, False}


def test_scores_are_the_papers_with_the_texts_own_probability(llm):
    supports, uses, winners, ends = set(), set(), set(), set()
    for question, found in (rows := answered(llm, mode="always")):
        critiques = notes(found, "critique")
        texts = [Text(llm, prompt(question.text, passage), MOST) for passage in found.ranked]
        scores = []
        for text, note in zip(texts, critiques, strict=True):
            relevance, support, use = text.parts()
            scores.append(text.likelihood() + relevance + support + 0.5 * use)
            expected = (relevance, support, use, text.likelihood(), scores[-1])
            kinds = ("relevance", "support", "utility", "likelihood", "score")
            assert tuple(note[kind] for kind in kinds) == pytest.approx(expected, abs=1e-4)
            supports.add(round(support, 3))
            uses.add(round(use, 3))
        best = texts[scores.index(max(scores))]
        told = llm.tokenizer.decode(best.tokens, skip_special_tokens=False)
        # The end token's own probability counts, as it does in what the released code reads.
        ends |= {text.tokens[-1] == llm.tokenizer.eos_token_id for text in texts}
        assert found.raw == told.removesuffix("</s>")
        winners.add(scores.index(max(scores)))
    assert len(rows) == 8 and min(len(supports), len(uses)) > 4 and len(winners) > 1
    assert ends == {True, False}


def segment(text: Text, threshold: float) -> tuple[Text, str]:
    """The text before its first wish for passages, and how every wish was told, by its token."""
    for place, token in enumerate(text.tokens):
        wanted, unwanted, going_on = text.probs(place, RETRIEVE)
        share = (wanted + going_on) / (wanted + unwanted)
        wants, wants_not = text.ids(RETRIEVE[:2])
        if token == wants or (token == wants_not and share > threshold):
            return text.cut(place), text.tokenizer.decode([token])
    return text, ""


def test_a_long_answers_segments_end_and_count_as_released(llm):
    # The random model is sure of itself, so a low threshold lets some of its wishes pass.
    ends, low = set(), 1e-3
    params = {"form": "long", "mode": "always", "max_depth": 1, "threshold": low}
    for question, found in answered(llm, **params):
        for passage, note in zip(found.ranked, notes(found, "critique"), strict=True):
            text, end = segment(Text(llm, prompt(question.text, passage), MOST), low)
            relevance, support, use = text.parts() if text.tokens else (0.0, 0.0, 0.0)
            assert note["score"] == pytest.approx(relevance + support + 0.5 * use, abs=1e-4)
            ends.add(end)
            ends |= {"not yet"} if text.first(RETRIEVE[1:2]) is not None else set()
    assert ends == {"", "not yet", "[Retrieval]", "[No Retrieval]"}


def test_a_long_answer_wants_passages_only_if_it_says_so_within_25_tokens(llm):
    said = set()
    for question, found in answered(llm, form="long", max_depth=1):
        text = Text(llm, prompt(question.text), 25)
        wanted, unwanted = text.probs(0, RETRIEVE[:2])
        (note,) = notes(found, "retrieval decision")
        before = llm.tokenizer.decode(text.tokens).split("\n\n")[0]
        assert note.get("said", True) == ("[Retrieval]" in before)
        share = wanted / (wanted + unwanted)
        assert note["retrieve"] == ("[Retrieval]" in before and share > THRESHOLD)
        said.add("[Retrieval]" in before)
    assert said == {True, False}
