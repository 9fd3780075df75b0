"""Token memory: parametric-qa with codes that are tokens of the text, an extract."""

from __future__ import annotations

from pydantic import Field

from harness.method import MethodCard
from methods.parametric_qa.method import ParametricQA, Selecting

TOKENS = "smollm2-135m-tokens"
"""The shipped shared parts whose codes are tokens."""


class TokenMemory(ParametricQA):
    """Keep the tokens of every document that tell the most; read those of the documents found."""

    card = MethodCard(
        title="Token memory",
        summary="Each document is an extract of some tokens, stored as ids, that a tuned reader "
        "reads.",
        paper="none; what is kept follows extractive compression (Xu et al., RECOMP, ICLR 2024; "
        "Jiang et al., LLMLingua, EMNLP 2023) without a model that weighs words",
        source="none",
        deviations=(
            "It is parametric-qa with other shared parts: a slot is a row of the model's own "
            "embedding matrix. Nothing of a document is learnt, so this is no answer to whether "
            "learned vectors can do as much.",
            "What is kept is counted, not read: rarity of a token times how often such a token is "
            "of an answer, over train questions that ask for names, dates and numbers. Questions "
            "of another kind may need other tokens.",
            "The reader was tuned on train questions; parametric-qa-closed-book and "
            "parametric-qa-bm25 with the same shared parts are what tuning alone gives.",
        ),
    )

    class Params(ParametricQA.Params):
        """Those of parametric-qa, with other shared parts."""

        shared: str | None = Field(
            TOKENS,
            description="shared parts trained with picks: true: the name of shipped ones or a "
            "folder that 'memory-harness train' wrote",
        )
        selection: Selecting | None = Field(
            "words+attention",
            description="how memories are selected; words: by BM25 over the tokens that are "
            "kept, words+attention: by that and the trained selector",
        )

        # On held-out train questions, over 64 tokens a passage: of 88 of NQ the gold one was among
        # the first five for 93.2 % with half of the page's score and for 89.8 % without, of 37 of
        # MuSiQue all gold ones for 21.6 and 16.2 %; the right one was first for 73.9 % either way,
        # and for 64.9 and 62.2 %.
        pages: float | None = Field(
            0.5,
            gt=0,
            description="what the score of a page, all documents of one title together, counts "
            "beside a document's own; null: pages are not looked at",
        )
        # On train questions, over 64 tokens a passage: of 390 of HotpotQA all gold documents were
        # among the first five for 67.4 % so, 64.4 % at 0.5 and 55.9 % without (BM25 over the texts:
        # 51.5 %), of 139 of MuSiQue for 25.9, 21.6 and 18.0 %; of 483 of NQ the one for 89.6, 89.0
        # and 88.2 %. Of 83, 37 and 88 that no training saw for 62.7, 62.7 and 54.2 %, 21.6 % and
        # 92.0, 90.9 and 90.9 %.
        links: float | None = Field(
            0.8,
            gt=0,
            description="what it counts that the best document names another in its text, beside "
            "that one's score; null: names are not looked at",
        )

    params: Params
