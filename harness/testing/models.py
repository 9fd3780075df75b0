"""For tests of methods: models and a retriever that need no download and always do the same."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any, Generic, TypeVar

from harness.data.card import custom_task
from harness.data.corpus import Corpus
from harness.data.questions import questions_fingerprint
from harness.data.task import TaskData
from harness.errors import HarnessError
from harness.llm.base import LanguageModel
from harness.llm.requests import (
    GenerateRequest,
    NextTokenProbs,
    NextTokenRequest,
    Reply,
    ScoreRequest,
    Scores,
    TokenChoice,
    as_text,
)
from harness.prompts import PromptStyle, Rendered
from harness.records import Passage, Question
from harness.retrieval.base import Retriever

Value = TypeVar("Value")
Script = list[Value] | Mapping[str, Value | list[Value]]
"""A queue of values, taken in order of the calls; or, by a text that the prompt holds, a value for
every such call or a queue of its own. Of several texts that occur, the first listed counts."""

_WORD = re.compile(r"\w+")


def pick_words(request: GenerateRequest) -> str:
    """Up to six words of the prompt, chosen by its hash (and the seed, when sampling)."""
    text = as_text(request.prompt)
    words = _WORD.findall(text) or ["nothing"]
    draws = _digest(text, request.seed if request.temperature > 0 else 0)
    return " ".join(words[draw % len(words)] for draw in draws[1 : 2 + draws[0] % 6])


def hashed_probability(prompt: str, text: str) -> float:
    """A number between 0.01 and 0.25 that depends on both texts."""
    return 0.01 + 0.24 * _digest(prompt, text)[0] / 255


class RuleModel(LanguageModel):
    """A model that answers by a rule: any prompt, at once, the same on every machine.

    ``reply`` turns a request into text, which is cut before the first stop string and after
    ``max_tokens`` words unless ``verbose``. ``probability`` gives the probability of a text after
    a prompt. A token is a word. ``thoughts`` come with every reply. ``tokens`` and ``trained_for``
    may be set to play a checkpoint.
    """

    capabilities = frozenset({"next-token-probs", "logprobs"})
    tokens: frozenset[str] = frozenset()

    def __init__(
        self,
        reply: Callable[[GenerateRequest], str] = pick_words,
        *,
        probability: Callable[[str, str], float] = hashed_probability,
        style: PromptStyle = "completion",
        window: int | None = None,
        verbose: bool = False,
        thoughts: str = "",
        name: str = "rules",
    ) -> None:
        self.reply, self.probability, self.verbose = reply, probability, verbose
        self.thoughts = thoughts
        self.prompt_style, self.window, self.name = style, window, name

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        """Reply by the rule."""
        for index, request in enumerate(requests):
            said = self.reply(request)
            text, ended = request.cut(said), request.stopped_by(said)
            cut_off = not self.verbose and len(text.split()) > request.max_tokens
            if cut_off:
                text, ended = " ".join(text.split()[: request.max_tokens]), ""
            prompt, words = as_text(request.prompt), text.split()
            watched = words[: request.max_tokens] if request.watch else []
            choices = [self._choice(prompt, word, request) for word in watched]
            counts = len(prompt.split()), len(words) + len(self.thoughts.split())
            yield index, Reply(text, *counts, tuple(choices), self.thoughts, cut_off, ended)

    def has_token(self, text: str) -> bool:
        """Whether ``tokens`` holds it."""
        return text in self.tokens

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Scores]]:
        """Log-probabilities by the rule."""
        for index, request in enumerate(requests):
            prompt = as_text(request.prompt)
            values = [self.probability(prompt, text) for text in request.continuations]
            yield index, self._scores(request, [math.log(max(p, 1e-300)) for p in values])

    def next_token_probs(
        self, requests: Sequence[NextTokenRequest]
    ) -> Iterator[tuple[int, NextTokenProbs]]:
        """Probabilities by the rule."""
        for index, request in enumerate(requests):
            prompt = as_text(request.prompt)
            probs = {text: self.probability(prompt, text) for text in request.strings}
            yield index, NextTokenProbs(probs, self.count_tokens(request.prompt))

    def count_tokens(self, prompt: Rendered) -> int:
        """The number of words."""
        return len(as_text(prompt).split())

    def _choice(self, prompt: str, word: str, request: GenerateRequest) -> TokenChoice:
        probs = {text: self.probability(f"{prompt} {word}", text) for text in request.watch}
        return TokenChoice(word, math.log(max(self.probability(prompt, word), 1e-300)), probs)

    def _scores(self, request: ScoreRequest, logprobs: Sequence[float]) -> Scores:
        counts = tuple(self.count_tokens(text) for text in request.continuations)
        return Scores(tuple(logprobs), counts, self.count_tokens(request.prompt))


class ScriptedModel(RuleModel):
    """A model that says exactly what a test wrote down, to check an algorithm by hand.

        ScriptedModel({"Question: Who": "Ann"}, probs=[{"Yes": 0.8, "No": 0.1}])

    ``replies`` are texts, or whole Replies that also give each token's choices; ``logprobs`` maps
    continuations to log-probabilities, ``probs`` maps strings to next-token probabilities (0 for
    one not listed). What the script does not cover is
    an error. ``requests`` keeps every request in order.
    """

    def __init__(
        self,
        replies: Script[str | Reply] | None = None,
        *,
        logprobs: Script[Mapping[str, float]] | None = None,
        probs: Script[Mapping[str, float]] | None = None,
        style: PromptStyle = "completion",
        window: int | None = None,
    ) -> None:
        super().__init__(style=style, window=window, name="script")
        self._replies, self._logprobs = _Lines("reply", replies), _Lines("logprobs", logprobs)
        self._probs = _Lines("probs", probs)
        self.requests: list[Any] = []

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        """The replies of the script."""
        for index, request in enumerate(requests):
            self.requests.append(request)
            line = self._replies.next(as_text(request.prompt))
            reply = line if isinstance(line, Reply) else Reply(line)
            text, ended = request.cut(reply.text), request.stopped_by(reply.text)
            asked, written = self.count_tokens(request.prompt), len(text.split())
            counted = replace(reply, prompt_tokens=asked, completion_tokens=written)
            yield index, replace(counted, text=text, stop=ended)

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Scores]]:
        """The log-probabilities of the script."""
        for index, request in enumerate(requests):
            self.requests.append(request)
            line = self._logprobs.next(as_text(request.prompt))
            missing = [text for text in request.continuations if text not in line]
            if missing:
                raise HarnessError(f"the script's logprobs {dict(line)} lack {missing}")
            yield index, self._scores(request, [line[text] for text in request.continuations])

    def next_token_probs(
        self, requests: Sequence[NextTokenRequest]
    ) -> Iterator[tuple[int, NextTokenProbs]]:
        """The probabilities of the script."""
        for index, request in enumerate(requests):
            self.requests.append(request)
            line = self._probs.next(as_text(request.prompt))
            probs = {text: line.get(text, 0.0) for text in request.strings}
            yield index, NextTokenProbs(probs, self.count_tokens(request.prompt))


class WordRetriever(Retriever):
    """Ranks by the number of different words shared with the query, ties by corpus position.

    Passages that share none are not returned. ``most`` caps every result, 0 finds nothing.
    """

    name = "words"

    def __init__(self, corpus: Corpus, most: int | None = None) -> None:
        self._passages = [(p, _words(p.contents)) for p in corpus]
        self._most = most

    def search(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """The k passages that share most words."""
        return [self._search(query, k) for query in queries]

    def _search(self, query: str, k: int) -> list[Passage]:
        wanted = _words(query)
        found = [
            Passage(p.id, p.title, p.text, float(len(wanted & words)))
            for p, words in self._passages
            if wanted & words
        ]
        # sorted() is stable, so equal scores keep the corpus order.
        return sorted(found, key=lambda p: -(p.score or 0.0))[:k][: self._most]

    def storage(self) -> dict[str, int]:
        """The words it holds, counted as a sparse index."""
        return {"sparse index": sum(len(w.encode()) for _, words in self._passages for w in words)}


class _Lines(Generic[Value]):
    """A script being played; every queue remembers how far it is."""

    def __init__(self, kind: str, script: Script[Value] | None) -> None:
        self._kind = kind
        # A list is one queue for every prompt: every prompt holds the empty text.
        lines = {"": script} if isinstance(script, list) else dict(script or {})
        self._lines: dict[str, Iterator[Value]] = {
            text: iter(line) if isinstance(line, list) else repeat(line)
            for text, line in lines.items()
        }

    def next(self, prompt: str) -> Value:
        line = next((line for text, line in self._lines.items() if text in prompt), None)
        if line is None:
            raise HarnessError(f"the script has no {self._kind} for the prompt: {prompt}")
        for value in line:
            return value
        raise HarnessError(f"the script's {self._kind} are used up for the prompt: {prompt}")


def small_task() -> TaskData:
    """Ten passages, eight questions (some hard to typeset) and eight to learn from."""
    corpus = Corpus.from_passages(Passage(f"d{n}", *row) for n, row in enumerate(_PASSAGES))
    asked = [_question(f"q{n}", row, corpus) for n, row in enumerate(_QUESTIONS)]
    train = [_question(f"t{n}", row, corpus) for n, row in enumerate(_TRAIN)]
    return TaskData(
        name="small",
        split="custom",
        questions=tuple(asked),
        train=tuple(train),
        corpus=corpus,
        questions_fingerprint=questions_fingerprint(asked),
        train_fingerprint=questions_fingerprint(train),
        corpus_fingerprint=corpus.fingerprint,
        card=custom_task("small").card,
        provenance={"source": "files"},
    )


def _question(question_id: str, row: tuple[str, str, int], corpus: Corpus) -> Question:
    text, answer, gold = row
    return Question(question_id, text, (answer,), (corpus[gold].id,))


_PASSAGES = (
    ("Lighthouse", "The lighthouse of Vell was built by Mara Quint in 1821."),
    ("Mara Quint", "Mara Quint was an engineer born in Oster, a port on the river Ilm."),
    ("Oster", "Oster is a port on the river Ilm. It is twinned with Z\u00fcrich."),
    ("Ilm", "The Ilm is a river 413 km long that ends in the Grey Sea."),
    ("Grey Sea", "The Grey Sea is shallow; ships call at Oster and at Vell."),
    ("Jon Abel", "Jon Abel, a composer, wrote the opera 'The Tide' in 1850."),
    ("The Tide", "The Tide was first sung in Oster. It has four acts."),
    ("Vell", "Vell is an island. Its people speak Vellish and {trade} at 100% tax."),
    ("Vellish", "Vellish is a language with 31 letters, such as \u00f8 and \u0142."),
    ("\u6771\u4eac", "\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd\u3067\u3059\u3002"),
)
_QUESTIONS = (
    ("Who built the lighthouse of Vell?", "Mara Quint", 0),
    ("In which sea does the river Ilm end?", "Grey Sea", 3),
    ("Where was the builder of the lighthouse of Vell born?", "Oster", 1),
    ("How many acts has the opera by Jon Abel?", "four", 6),
    ("Is Vell an island?", "yes", 7),
    ('What is {trade} taxed at, 50% or 100%\\n of "it"?', "100%", 7),
    ("Z\u00fcrich \u2014 with which port is it twinned? \U0001f6a2", "Oster", 2),
    ("\u6771\u4eac?", "\u65e5\u672c", 9),
)
_TRAIN = (
    ("When was the lighthouse of Vell built?", "1821", 0),
    ("What was the profession of Mara Quint?", "engineer", 1),
    ("On which river does Oster lie?", "Ilm", 2),
    ("How long is the Ilm?", "413 km", 3),
    ("Is the Grey Sea shallow?", "yes", 4),
    ("Who wrote The Tide?", "Jon Abel", 5),
    ("Where was The Tide first sung?", "Oster", 6),
    ("How many letters has Vellish?", "31", 8),
)


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


def _digest(*parts: object) -> bytes:
    return hashlib.sha256("\0".join(map(str, parts)).encode(errors="replace")).digest()
