"""The choice of memories for a question: exact top-k over the bank, in one round or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from methods.parametric_qa.prompts import reading_prompt

if TYPE_CHECKING:
    from torch import Tensor

    from harness.llm.local import LocalModel
    from harness.retrieval.bm25 import BM25InMemory
    from methods.parametric_qa.memory.bank import MemoryBank
    from methods.parametric_qa.memory.pages import Pages
    from methods.parametric_qa.shared.bundle import Bundle
    from methods.parametric_qa.shared.selection import TokenKeys

GROUP = 1024
"""Documents whose keys are computed together."""
COVERED = 0.5
"""Cosine from which a question's token counts as covered by a chosen memory."""
ENOUGH = 0.8
"""Share of a question's tokens that chosen memories must cover for selection to stop, where shared
parts have no rule of their own."""
# Of 338 held-out train questions over 64 tokens of each passage (250 of QED's, 88 of the shipped
# NQ's), the right one was first for 67.5 % by words, 62.1 % by attention and 70.4 % by both so; for
# 69.2 % at half the weight and 69.8 % at twice it.
ATTENTION = 0.1
"""What a standard deviation of the selector's scores weighs beside the best score of words."""

# Of 83 held-out train questions of HotpotQA all gold documents were among five for 57.8 % without
# and 63.9 % with it over 128 tokens of each passage (BM25 over the texts: 53.0 %), of 88 of NQ the
# one for 92.0 and 93.2 %; over 64 tokens for 47.0 and 53.0 %, 93.2 and 90.9 %.
UNTOLD = 0.7
"""Share of a score by words, when further documents are found by what the best one does not tell,
that those words of the question make which it lacks."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A document, its score and the round (1 for the first) in which it was chosen."""

    id: str
    score: float
    hop: int


class Chooser:
    """Scores every document of a bank for a question; keys are computed once.

    With ``pages``, a document's score is its own plus a share of its page's, whose slots are those
    of all its documents.
    """

    def __init__(
        self, llm: LocalModel, bundle: Bundle, bank: MemoryBank, pages: Pages | None = None
    ) -> None:
        import torch

        self.llm, self.bundle, self.bank, self.pages = llm, bundle, bank, pages
        self.encoder = bundle.question_encoder
        with torch.inference_mode():
            self.keys = _keys(bundle, bank)

    def tokens(self, question: str) -> Tensor:
        """The question's input embeddings [length, hidden], or its state [1, hidden]."""
        import torch

        if self.encoder is not None:
            ids = self.llm.parts(reading_prompt(question, 1))[-1]
            return self.encoder.question_state(self.llm.model, ids).cpu()
        table = self.llm.model.get_input_embeddings()
        ids = question_tokens(self.llm, question)
        found: Tensor = table(torch.tensor(ids, device=self.llm.device))
        return found.float().cpu()

    def choose(self, question: str, k: int, hops: int = 1) -> list[Chosen]:
        """The k best documents, best first; with several rounds, an equal share in each.

        After a round the question is the tokens that no chosen memory covers and the memories
        themselves (their bridge is in them, not in the question). Selection stops by the learned
        rule of the shared parts, or when hardly any token is left uncovered.
        """
        import torch

        with torch.inference_mode():
            question_tokens = self.tokens(question)
            tokens, chosen = question_tokens, list[Chosen]()
            for hop in range(1, hops + 1):
                share = -(-(k - len(chosen)) // (hops + 1 - hop))
                chosen += self._best(tokens, share, hop, {c.id for c in chosen})
                if hop == hops or len(chosen) >= min(k, len(self.bank)):
                    break
                memories = self._memories(chosen)
                left = question_tokens[~covered(question_tokens, memories)]
                if self._enough(question_tokens, left, len(chosen)):
                    chosen += self._best(
                        question_tokens, k - len(chosen), hop, {c.id for c in chosen}
                    )
                    break
                tokens = torch.cat([left, memories])
            return chosen

    def _enough(self, tokens: Tensor, left: Tensor, chosen: int) -> bool:
        """Whether the chosen documents will do for a question, so many of whose tokens are left."""
        from methods.parametric_qa.shared.stop import round_figures

        rule = self.bundle.stop
        if rule is None:
            return enough_covered(len(tokens), len(left))
        scores, _ = self._scores(tokens)
        return rule.stops(round_figures(len(tokens), len(left), scores, chosen))

    def _best(self, tokens: Tensor, count: int, hop: int, used: set[str]) -> list[Chosen]:
        scores, whole = self._scores(tokens)
        if self.pages is not None:
            scores = self.pages.added(scores, whole)
        # A stable sort, so that equal scores rank in bank order.
        order = scores.argsort(descending=True, stable=True)[: count + len(used)].tolist()
        best = [Chosen(self.bank.ids[i], float(scores[i]), hop) for i in order]
        return [c for c in best if c.id not in used][:count]

    def _scores(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The selector's scores of all documents, and of their pages if they count."""
        from methods.parametric_qa.shared.selection import AttentionSelector, TokenKeys

        selector, keys = self.bundle.selector, self.keys
        if not isinstance(selector, AttentionSelector):
            assert not isinstance(keys, TokenKeys) and self.pages is None, "checked when planned"
            found = selector.scores(tokens, keys)
            return found, found
        nearest = selector.nearest(tokens, keys)
        found = selector.weighted(tokens, nearest)
        if self.pages is None:
            return found, found
        return found, selector.weighted(tokens, self.pages.highest(nearest))

    def _memories(self, chosen: list[Chosen]) -> Tensor:
        codes = self.bundle.numbers(self.bank.codes([c.id for c in chosen]))
        z: Tensor = self.bundle.parts.up(codes)
        return z.flatten(0, 1)


class WordChooser:
    """BM25 over the texts that codes of tokens spell; its index is made when the bank is opened.

    With ``pages``, also over those of each page's documents together.
    """

    def __init__(
        self, llm: LocalModel, bundle: Bundle, bank: MemoryBank, pages: Pages | None = None
    ) -> None:
        vocabulary = bundle.parts.config.vocabulary
        texts = []
        for _, codes in bank.batches(GROUP):
            for row in codes.squeeze(-1).long().tolist():
                texts.append(llm.tokenizer.decode([token for token in row if token < vocabulary]))
        self.pages, self.index = pages, _index(bank.ids, texts)
        self.whole = self.index
        if pages is not None:
            self.whole = _index(list(map(str, range(pages.count))), pages.joined(texts))

    def choose(self, question: str, k: int, hops: int = 1) -> list[Chosen]:
        """The k best documents, best first; fewer where fewer share a word with the question."""
        import torch

        from harness.retrieval.ranking import top_positive

        assert hops == 1, "checked when the run was planned"
        scores = self.index.scores(question)
        if self.pages is not None:
            own, whole = torch.from_numpy(scores), torch.from_numpy(self.whole.scores(question))
            scores = self.pages.added(own, whole).numpy()
        best = top_positive(scores, k).tolist()
        return [Chosen(self.index.corpus[row].id, float(scores[row]), 1) for row in best]


class WordsAndAttention(Chooser):
    """BM25's score, of the best one's, and the selector's, in deviations of all documents' from
    their mean, a tenth; of pages the like among pages.

    After the best document, the best by what that one does not tell and the best by the whole
    question take turns: a question over several documents needs the one, a wrong first the other.
    """

    def __init__(
        self, llm: LocalModel, bundle: Bundle, bank: MemoryBank, pages: Pages | None = None
    ) -> None:
        super().__init__(llm, bundle, bank, pages)
        self._words = WordChooser(llm, bundle, bank, pages)

    def choose(self, question: str, k: int, hops: int = 1) -> list[Chosen]:
        """The k best documents, best first."""
        import torch

        assert hops == 1, "checked when the run was planned"
        with torch.inference_mode():
            attended = self._scores(self.tokens(question))
            scores = self._total(question, "", *attended)
            whole = scores.argsort(descending=True, stable=True)[:k].tolist()
            told = self._words.index.corpus[whole[0]].text
            untold = self._total(question, told, *attended)
            other = untold.argsort(descending=True, stable=True)[:k].tolist()
        rows = in_turn(whole, other)[:k]
        return [Chosen(self.bank.ids[row], float(scores[row]), 1) for row in rows]

    def _total(self, question: str, told: str, found: Tensor, of_pages: Tensor) -> Tensor:
        """Scores [documents] by words and attention, those of pages among them, after ``told``."""
        scores = _both(self._words.index, question, told, found)
        if self.pages is None:
            return scores
        return self.pages.added(scores, _both(self._words.whole, question, told, of_pages))


def _keys(bundle: Bundle, bank: MemoryBank) -> Tensor | TokenKeys:
    """What the bundle's selector compares a question with."""
    import torch

    from methods.parametric_qa.shared.selection import AttentionSelector, TokenKeys

    selector, codebook = bundle.selector, bundle.codebook
    if codebook is not None and isinstance(selector, AttentionSelector) and len(bank):
        ids = [codes.squeeze(-1).int() for _, codes in bank.batches(GROUP)]
        return TokenKeys.of(selector, torch.cat(ids), codebook)
    keys = [selector.keys(bundle.numbers(codes)) for _, codes in bank.batches(GROUP)]
    return torch.cat(keys) if keys else torch.zeros(0)


def _index(ids: Sequence[str], texts: Sequence[str]) -> BM25InMemory:
    from harness.data.corpus import Corpus
    from harness.records import Passage
    from harness.retrieval.bm25 import BM25InMemory

    passages = [Passage(id_, "", text) for id_, text in zip(ids, texts, strict=True)]
    return BM25InMemory(Corpus.from_passages(passages), {})


def in_turn(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """As many as ``one`` has: its first, then in turns the next of ``other`` and of ``one``."""
    found, sources = [one[0]], (iter(other), iter(one))
    while len(found) < len(one):
        for source in sources:
            new = (row for row in source if row not in found)
            found += islice(new, 1)
    return found[: len(one)]


def _both(index: BM25InMemory, question: str, told: str, found: Tensor) -> Tensor:
    """Scores by words and by the selector's ``found``, both of what the index is of."""
    import torch

    scores = ATTENTION * (found - found.mean()) / found.std(correction=0).clamp_min(1e-6)
    words = index.scores(question)
    most = words.max() or 1.0
    if told:
        words = (1 - UNTOLD) * words + UNTOLD * index.scores(question, without=told)
    scores += torch.from_numpy(words / most).float()
    return scores


def question_tokens(llm: LocalModel, question: str) -> list[int]:
    """A question's token ids, as it is written and capitalised; one token at least.

    Passages have names in capitals and questions often do not; the two are different tokens.
    """
    text = f" {question} {question.title()}"
    ids: list[int] = llm.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids or [0]


def enough_covered(tokens: int, left: int) -> bool:
    """The fixed rule: whether so few of a question's tokens are left that selection stops."""
    return left <= (1 - ENOUGH) * tokens


def covered(tokens: Tensor, memories: Tensor) -> Tensor:
    """Which tokens [length] have a near vector in the memories: both [.., hidden], centred."""
    import torch
    from torch.nn import functional as F

    centre = torch.cat([tokens, memories]).mean(dim=0)
    one, other = (F.normalize(x - centre, dim=-1) for x in (tokens, memories))
    near: Tensor = (one @ other.T).amax(dim=1) >= COVERED
    return near
