"""Chains of retrieval and the ways to choose one: greedy, best of N, tree search."""

from __future__ import annotations

from abc import abstractmethod
from asyncio import gather
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import Field

from harness import trace
from harness.method import Lent, Method, MethodParams
from harness.prompts import Prompt
from harness.records import Passage, Prediction, Query
from harness.retrieval.languages import TermParams
from harness.retrieval.prebuilt import RETRIEVER
from methods.corag.chain import (
    Chain,
    Hop,
    parse_sub_answer,
    parse_sub_query,
    rank_passages,
)
from methods.corag.tasks import task_description

if TYPE_CHECKING:
    from harness.data.card import TaskCard
    from harness.llm.requests import Capability

RETRY_TEMPERATURE = 0.7


class ChainPrompts(Protocol):
    """The four prompts that a chain is made with."""

    @property
    def no_information(self) -> str:
        """The answer of documents that tell nothing; how likely it is, is a chain's penalty."""

    def sub_query(self, query: Query, chain: Chain) -> Prompt:
        """Ask for the next sub-query."""

    def sub_answer(self, sub_query: str, passages: Sequence[Passage]) -> Prompt:
        """Ask what the passages, best first, say to a sub-query."""

    def chain_alone(self, query: Query, chain: Chain) -> Prompt:
        """Ask the main query with the chain's queries and answers as the only documents."""

    def final_answer(self, query: Query, chain: Chain, passages: Sequence[Passage]) -> Prompt:
        """Ask the main query with its own passages, best first, and the chain."""


class ChainOfRetrieval(Method):
    """Search, answer, ask on; then read with the chain (Wang et al., NeurIPS 2025).

    With L = max_path_length, T = tries, N = chains, E = expand_size, R = rollouts, D =
    rollout_steps and B = beam_size, a question takes at most this many calls of model and
    retriever: greedy 2 + L(T+2), best_of_n 2 + N(L(T+2) + 1), tree
    2 + L B (1.5E + E(2 + R(D(T+2) + 1))); R counts as 1 if it is 0.
    """

    class Params(MethodParams, TermParams):
        """Parameters of chains and of the choice among them."""

        retriever: str = Field("all-minilm-l6-v2", description=RETRIEVER)
        k: int = Field(5, ge=1, le=1000, description="passages of each sub-query")
        final_k: int = Field(20, ge=1, le=1000, description="passages of the question itself")
        max_path_length: int = Field(6, ge=0, le=32, description="sub-queries of a chain (L)")
        tries: int = Field(
            4, ge=1, le=32, description="sub-queries asked for, on average, per place in the chain"
        )
        strategy: Literal["greedy", "best_of_n", "tree"] = Field(
            "greedy",
            description="how a chain is chosen; all but greedy need the model's log-probabilities",
        )
        temperature: float = Field(0.7, gt=0, description="of sampled sub-queries")
        chains: int = Field(4, ge=1, le=64, description="best_of_n: chains, the first one greedy")
        expand_size: int = Field(4, ge=1, le=64, description="tree: sub-queries kept per chain")
        beam_size: int = Field(1, ge=1, le=64, description="tree: chains kept per depth")
        rollouts: int = Field(2, ge=0, le=64, description="tree: continuations tried per chain")
        rollout_steps: int = Field(2, ge=1, le=32, description="tree: hops of a continuation")
        task_description: str | dict[str, str] | None = Field(
            None,
            description="the task, told to the model: a text, or texts by task name, 'single-hop', "
            "'multi-hop' or 'any'; null: as the prompts say of the task's kind",
        )
        sub_query_tokens: int = Field(64, ge=1, description="longest sub-query, in tokens")
        sub_answer_tokens: int = Field(128, ge=1, description="longest sub-answer, in tokens")
        max_tokens: int = Field(128, ge=1, description="longest answer, in tokens")

    params: Params
    asking: ChainPrompts
    reads_task = True

    @property
    def needs_now(self) -> frozenset[Capability]:
        """Comparing chains takes log-probabilities."""
        return self.needs if self.params.strategy == "greedy" else self.needs | {"logprobs"}

    def open(self, lent: Lent) -> None:
        """Take what a run lends, and make the prompts for its task."""
        super().open(lent)
        self.asking = self.ask_as(self.describe_task(lent.task))

    @abstractmethod
    def ask_as(self, description: str) -> ChainPrompts:
        """The prompts of the chain for a task of this description."""

    @abstractmethod
    def descriptions(self) -> Mapping[str, str]:
        """What the prompts say of tasks, by name or kind (see ``task_description``)."""

    def describe_task(self, task: TaskCard | None) -> str:
        """What the model is told of a task. Raises ConfigError if nothing says it."""
        return task_description(self.params.task_description, self.descriptions(), task)

    def check_task(self, task: TaskCard) -> None:
        """Refuse a task that nothing describes."""
        self.describe_task(task)

    async def answer(self, query: Query) -> Prediction:
        """Choose a chain, then read the question's own passages with it."""
        passages, chain = await gather(
            self.retriever.search(query.text, k=self.params.final_k), self._choose(query)
        )
        prompt = self.asking.final_answer(query, chain, passages)
        reply = await self.llm.generate(prompt, max_tokens=self.params.max_tokens, one_line=True)
        return Prediction(answer=reply.first_line, ranked=rank_passages(passages, chain))

    async def _choose(self, query: Query) -> Chain:
        match self.params.strategy:
            case "greedy":
                return await self._extend(query, (), self.params.max_path_length, 0.0)
            case "best_of_n":
                return await self._best_of_n(query)
            case "tree":
                return await self._tree_search(query)

    async def _extend(self, query: Query, chain: Chain, length: int, temperature: float) -> Chain:
        """Add hops up to ``length``; a repeated or empty sub-query costs a try and warms up."""
        warmth = temperature
        for _ in range(self.params.tries * (length - len(chain))):
            if len(chain) >= length:
                break
            sub_query = await self._sub_query(query, chain, warmth)
            if not sub_query or sub_query in {hop.query for hop in chain}:
                warmth = max(temperature, RETRY_TEMPERATURE)
                trace.note("sub_query_rejected", sub_query=sub_query, next_temperature=warmth)
                continue
            warmth = temperature
            chain = (*chain, await self._hop(sub_query))
        return chain

    async def _sub_query(self, query: Query, chain: Chain, temperature: float) -> str:
        reply = await self.llm.generate(
            self.asking.sub_query(query, chain),
            max_tokens=self.params.sub_query_tokens,
            one_line=True,
            temperature=temperature,
        )
        return parse_sub_query(reply.text)

    async def _hop(self, sub_query: str) -> Hop:
        passages = await self.retriever.search(sub_query, k=self.params.k)
        prompt = self.asking.sub_answer(sub_query, passages)
        reply = await self.llm.generate(
            prompt, max_tokens=self.params.sub_answer_tokens, one_line=True
        )
        hop = Hop(sub_query, parse_sub_answer(reply.text), tuple(passages))
        trace.note("hop", sub_query=hop.query, sub_answer=hop.answer)
        return hop

    async def _best_of_n(self, query: Query) -> Chain:
        length, sampled = self.params.max_path_length, self.params.chains - 1
        temperatures = [0.0, *[self.params.temperature] * sampled]
        chains = await gather(*(self._extend(query, (), length, t) for t in temperatures))
        penalties = await gather(*(self._penalty(query, chain) for chain in chains))
        return _least(chains, penalties, 1)[0]

    async def _tree_search(self, query: Query) -> Chain:
        beam: list[Chain] = [()]
        for _ in range(self.params.max_path_length):
            grown = await gather(*(self._expand(query, chain) for chain in beam))
            longer = [chain for chains in grown for chain in chains]
            if not longer:
                break
            if len(longer) > self.params.beam_size:
                penalties = await gather(*(self._outlook(query, chain) for chain in longer))
                longer = _least(longer, penalties, self.params.beam_size)
            beam = longer
        return beam[0]

    async def _expand(self, query: Query, chain: Chain) -> list[Chain]:
        """The chain with each of ``expand_size`` different next hops."""
        draws = int(1.5 * self.params.expand_size)
        sampled = await gather(
            *(self._sub_query(query, chain, self.params.temperature) for _ in range(draws))
        )
        different = list(dict.fromkeys(filter(None, sampled)))[: self.params.expand_size]
        hops = await gather(*(self._hop(sub_query) for sub_query in different))
        return [(*chain, hop) for hop in hops]

    async def _outlook(self, query: Query, chain: Chain) -> float:
        """Mean penalty of the chain's continuations; of the chain itself if there are none."""
        length = min(self.params.max_path_length, len(chain) + self.params.rollout_steps)
        count = self.params.rollouts if length > len(chain) else 0
        temperature = self.params.temperature
        rollouts = (self._extend(query, chain, length, temperature) for _ in range(count))
        ends = await gather(*rollouts) or [chain]
        penalties = await gather(*(self._penalty(query, end) for end in ends))
        return sum(penalties) / len(penalties)

    async def _penalty(self, query: Query, chain: Chain) -> float:
        """Mean log-probability, per token, that the chain tells nothing about the question.

        As in the released code, the token that ends the turn is one of them.
        """
        model, asking = self.llm.model, self.asking
        space = " " if model.prompt_style == "completion" else ""
        refusal = f"{space}{asking.no_information}{model.turn_end}"
        scores = await self.llm.score(asking.chain_alone(query, chain), [refusal])
        penalty = scores.logprobs[0] / max(scores.token_counts[0], 1)
        sub_queries = [hop.query for hop in chain]
        trace.note("penalty", penalty=_json(penalty), sub_queries=sub_queries)
        return penalty


def _least(chains: Sequence[Chain], penalties: Sequence[float], count: int) -> list[Chain]:
    """The chains of least penalty, best first; of equals, the earlier."""
    order = sorted(range(len(chains)), key=penalties.__getitem__)[:count]
    trace.note("chosen", chains=order, penalties=[_json(penalty) for penalty in penalties])
    return [chains[n] for n in order]


def _json(penalty: float) -> float | None:
    # JSON knows no infinity; a refusal the model rules out has one.
    return round(penalty, 4) if isfinite(penalty) else None
