"""The choice of memories for a question: exact top-k over the bank, in one round or several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.parametric_qa.prompts import reading_prompt

if TYPE_CHECKING:
    from torch import Tensor

    from harness.llm.local import LocalModel
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
