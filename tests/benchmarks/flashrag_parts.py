"""Parts of the comparison with FlashRAG: what its pipelines ask of a model and a retriever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.data.demonstrations import qa_prompts
from harness.data.task import TaskData
from harness.llm.base import LanguageModel
from harness.llm.local import LocalModel
from harness.llm.open import weights_of
from harness.llm.requests import GenerateRequest, Reply
from harness.prompts import Message, Rendered
from harness.records import Passage, Query
from harness.retrieval.base import Retriever
from methods.ircot.prompts import thought_demonstrations, thought_prompt

TOKENS = 64
K = 3
LINE = ("\n",)
"""What ends a reply of a completion model, on both sides; a chat model ends its own."""


class Counted(LanguageModel):
    """A model that counts what it is asked for."""

    def __init__(self, llm: LanguageModel) -> None:
        self.llm, self.name = llm, llm.name
        self.prompt_style, self.window = llm.prompt_style, llm.window
        self.trained_for = frozenset({"corag"})
        self.reset()

    def reset(self) -> None:
        """Forget the counts."""
        self.calls = self.prompt_tokens = self.completion_tokens = self.batches = 0

    def count_tokens(self, prompt: Rendered) -> int | None:
        return self.llm.count_tokens(prompt)

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        self.batches += 1
        for index, reply in self.llm.generate(requests):
            self.calls += 1
            self.prompt_tokens += reply.prompt_tokens
            self.completion_tokens += reply.completion_tokens
            yield index, reply


@dataclass
class OurGenerator:
    """What FlashRAG asks of a generator, over our model; the stop is ours, whatever is asked."""

    llm: LanguageModel

    def generate(self, prompts: list[Any], **_: Any) -> list[str]:
        stop = LINE if self.llm.prompt_style == "completion" else ()
        found = dict(self.llm.generate([GenerateRequest(p, TOKENS, stop) for p in prompts]))
        return [found[index].text for index in range(len(prompts))]


@dataclass
class TheirGenerator:
    """FlashRAG's own generator of transformers' models, over the weights of ours."""

    llm: Counted
    batch_size: int
    theirs: Any = field(init=False)

    def __post_init__(self) -> None:
        from flashrag.generator import HFCausalLMGenerator

        model = self.llm.llm
        assert isinstance(model, LocalModel)
        config = TheirConfig(
            generator_model=model.name,
            generator_model_path=weights_of(model.config),
            generator_max_input_len=model.window,
            generator_batch_size=self.batch_size,
            generation_params={"max_new_tokens": TOKENS, "do_sample": False},
            device="cpu",
        )
        self.theirs = HFCausalLMGenerator(config, model=model.model)

    def generate(self, prompts: list[Any], **_: Any) -> list[str]:
        stop = {"stop": list(LINE)} if self.llm.prompt_style == "completion" else {}
        texts = [self._text(prompt) for prompt in prompts]
        replies: list[str] = self.theirs.generate(texts, **stop)
        self.llm.batches += 1
        self.llm.calls += len(prompts)
        self.llm.prompt_tokens += sum(self.llm.count_tokens(prompt) or 0 for prompt in prompts)
        # What ended a reply is a token, too.
        self.llm.completion_tokens += sum((self.llm.count_tokens(r) or 0) + 1 for r in replies)
        return replies

    def _text(self, prompt: Rendered) -> str:
        if isinstance(prompt, str):
            return prompt
        messages = [{"role": each.role, "content": each.content} for each in prompt]
        return str(
            self.theirs.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        )


@dataclass
class TheirRetriever:
    """What FlashRAG asks of a retriever, over our BM25."""

    retriever: Retriever

    def batch_search(self, queries: list[str], return_score: bool = False) -> Any:
        found = self.retriever.search(queries, K)
        documents = [[{"id": p.id, "contents": p.contents} for p in row] for row in found]
        return (documents, [[p.score for p in row] for row in found]) if return_score else documents


class TheirPrompts:
    """FlashRAG's prompt template: our reader's or IRCoT's prompt, CoRAG's messages as they come.

    ``params`` are IRCoT's; without them it is the reader who is asked.
    """

    def __init__(self, data: TaskData, shots: int, llm: LanguageModel, params: Any) -> None:
        self.prompts = qa_prompts(data, shots, 0)
        self.shots = params and thought_demonstrations(
            self.prompts.examples, params.chain_shots, params.distractors, params.demo_words
        )
        self.style = llm.prompt_style

    def get_string(
        self,
        question: str = "",
        retrieval_result: Sequence[dict[str, str]] = (),
        previous_gen: str = "",
        messages: Sequence[dict[str, str]] | None = None,
    ) -> Rendered:
        if messages is None:
            passages = [_passage(document) for document in retrieval_result]
            if self.shots is None:
                return self.prompts.read(Query("", question), passages).render(self.style)
            said = [previous_gen.strip()] if previous_gen.strip() else []
            prompt = thought_prompt(Query("", question), self.shots, passages, said)
            return prompt.render(self.style)
        if self.style == "completion":
            return "\n\n".join(message["content"] for message in messages if message["content"])
        return tuple(Message(message["role"], message["content"]) for message in messages)


class TheirConfig(dict[str, Any]):
    """Absent keys are None, as in FlashRAG's own."""

    def __missing__(self, key: str) -> None:
        return None


def _passage(document: dict[str, str]) -> Passage:
    title, _, text = document["contents"].partition("\n")
    return Passage(document["id"], title, text)
