"""The choice of memories that are tokens of texts, by the words that they spell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from methods.parametric_qa.choose import GROUP, Chooser, Chosen

if TYPE_CHECKING:
    from torch import Tensor

    from harness.llm.local import LocalModel
    from harness.retrieval.bm25 import BM25InMemory
    from methods.parametric_qa.memory.bank import MemoryBank
    from methods.parametric_qa.memory.pages import Pages
    from methods.parametric_qa.memory.titles import Titles
    from methods.parametric_qa.shared.bundle import Bundle

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


class WordChooser:
    """BM25 over the texts that codes of tokens spell; its index is made when the bank is opened.

    With ``pages``, also over those of each page's documents together.
    """

    def __init__(
        self, llm: LocalModel, bundle: Bundle, bank: MemoryBank, pages: Pages | None = None
    ) -> None:
        texts = _spelt(llm, bundle, bank)
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
    With ``titles``, documents that the best one names go before in the former.
    """

    def __init__(
        self,
        llm: LocalModel,
        bundle: Bundle,
        bank: MemoryBank,
        pages: Pages | None = None,
        titles: Titles | None = None,
    ) -> None:
        from methods.parametric_qa.links import Links

        super().__init__(llm, bundle, bank, pages)
        self._words = WordChooser(llm, bundle, bank, pages)
        self._links = None
        if titles is not None:
            spelt = _spelt(llm, bundle, bank, titles.lengths.tolist())
            self._links = Links(self._words.index, spelt, titles.weight)

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
            if self._links is not None:
                untold[self._links.named(whole[0])] += self._links.weight
            other = untold.argsort(descending=True, stable=True)[:k].tolist()
        rows = in_turn(whole, other)[:k]
        return [Chosen(self.bank.ids[row], float(scores[row]), 1) for row in rows]

    def _total(self, question: str, told: str, found: Tensor, of_pages: Tensor) -> Tensor:
        """Scores [documents] by words and attention, those of pages among them, after ``told``."""
        scores = _both(self._words.index, question, told, found)
        if self.pages is None:
            return scores
        return self.pages.added(scores, _both(self._words.whole, question, told, of_pages))


def token_rows(bank: MemoryBank) -> Iterator[list[int]]:
    """Token ids [slots] of each document's code, in the bank's order."""
    for _, codes in bank.batches(GROUP):
        yield from codes.squeeze(-1).long().tolist()


def _spelt(
    llm: LocalModel, bundle: Bundle, bank: MemoryBank, lengths: Sequence[int] | None = None
) -> list[str]:
    """What the codes of a bank spell, or the first of their tokens, as many as ``lengths`` has."""
    vocabulary = bundle.parts.config.vocabulary
    lengths = [bundle.parts.config.slots] * len(bank) if lengths is None else lengths
    rows = (row[:length] for row, length in zip(token_rows(bank), lengths, strict=True))
    return [llm.tokenizer.decode([t for t in row if t < vocabulary]) for row in rows]


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
