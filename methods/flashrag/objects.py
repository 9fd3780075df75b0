"""Objects of FlashRAG's protocols: a retriever and a generator that its pipelines can call."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import CapabilityError, ConfigError, PromptTooLongError, did_you_mean
from harness.llm.base import LanguageModel
from harness.llm.requests import Reply
from harness.prompts import Message, Rendered
from harness.records import Passage
from methods.flashrag.written import Written

Document = dict[str, Any]
Search = Callable[[Sequence[str], int], Sequence[Sequence[Passage]]]

_OPTIONS = ("max_tokens", "max_new_tokens", "stop", "temperature", "do_sample", "top_p",
            "skip_special_tokens")  # fmt: skip
_NOT_OFFERED = ("return_scores", "return_raw_output", "return_dict", "logprobs", "logits_processor")


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt to continue, and how."""

    prompt: Rendered
    max_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0


class PipelineRetriever:
    """What FlashRAG calls a retriever, over a search of the harness.

    Documents are dictionaries with ``id``, ``title``, ``text`` and ``contents`` (title, line end,
    text); scores are higher-is-better. ``k`` are found where a pipeline names no number.
    """

    def __init__(self, search: Search, k: int) -> None:
        self._find, self.topk = search, k

    def search(self, query: str, num: int | None = None, return_score: bool = False) -> Any:
        """The ``num`` best documents for a query; with ``return_score``, also their scores."""
        found = self.batch_search([query], num, return_score=True)
        documents, scores = found[0][0], found[1][0]
        return (documents, scores) if return_score else documents

    def batch_search(
        self, query: str | Sequence[str], num: int | None = None, return_score: bool = False
    ) -> Any:
        """A list of documents for each query; with ``return_score``, also one of scores."""
        queries = [query] if isinstance(query, str) else list(query)
        k = self.topk if num is None else num
        found = self._find(queries, k) if queries else []
        documents = [[_document(passage) for passage in passages] for passages in found]
        scores = [[passage.score or 0.0 for passage in passages] for passages in found]
        return (documents, scores) if return_score else documents


class PipelineGenerator:
    """What FlashRAG calls a generator, over a model of the harness.

    A reply keeps the stop string that ended it, as with FlashRAG's vLLM generator. Where a server
    does not tell which, the first one is put there unless the token limit ended the reply, as
    FlashRAG's generator of such servers does.
    """

    def __init__(self, ask: Callable[[Sequence[Ask]], Sequence[Reply]], max_tokens: int) -> None:
        self._ask, self.max_tokens = ask, max_tokens

    def generate(
        self, input_list: str | Sequence[Any], batch_size: int | None = None, **params: Any
    ) -> list[str]:
        """A text for each prompt: a text to continue, or a list of messages (role, content).

        ``max_tokens`` or ``max_new_tokens``, ``stop``, ``temperature`` and ``do_sample`` are
        honoured; ``batch_size`` changes nothing, since the harness batches. Raises CapabilityError
        for probabilities and raw outputs, ConfigError for options that are not known.
        """
        if isinstance(input_list, str) or (input_list and isinstance(input_list[0], Mapping)):
            input_list = [input_list]
        how = _how(params, self.max_tokens)
        asks = [replace(how, prompt=rendered(prompt)) for prompt in input_list]
        return [_text(reply, how.stop) for reply in (self._ask(asks) if asks else [])]


def rendered(prompt: Any) -> Rendered:
    """A prompt of a pipeline as the harness has it: text, or messages of a chat."""
    if isinstance(prompt, Written):
        return prompt.messages
    if isinstance(prompt, str):
        return prompt
    return tuple(Message(each["role"], each["content"]) for each in prompt)


def fitted(prompt: Rendered, model: LanguageModel, max_tokens: int, longest: int) -> Rendered:
    """A prompt of at most ``longest`` tokens that leaves room in the window, less its middle.

    FlashRAG's rule: what is too long loses its middle, here a chat the middle of its longest
    message. A model that cannot count tokens gets it whole. Raises PromptTooLongError if nothing
    of it has room.
    """
    window = model.window - max_tokens - model.thoughts_before(prompt) if model.window else longest
    room = min(window, longest)

    def fits(shorter: Rendered) -> bool:
        tokens = model.count_tokens(shorter)
        return tokens is None or tokens <= room

    if fits(prompt):
        return prompt
    text, put = _longest_part(prompt)

    def ends(kept: int) -> Rendered:
        return put(text[:kept] + text[len(text) - kept :])

    most = bisect_left(range(1, len(text) // 2 + 1), True, key=lambda kept: not fits(ends(kept)))
    if not most:
        raise PromptTooLongError(
            f"a prompt has no room in the {max(room, 0)} tokens that '{model.name}' may be given "
            f"beside {max_tokens} new ones; ask for fewer with max_tokens"
        )
    return ends(most)


def _longest_part(prompt: Rendered) -> tuple[str, Callable[[str], Rendered]]:
    """The longest text of a prompt, and what puts another in its place."""
    if isinstance(prompt, str):
        return prompt, str
    place = max(range(len(prompt)), key=lambda each: len(prompt[each].content))

    def put(text: str) -> Rendered:
        return (*prompt[:place], replace(prompt[place], content=text), *prompt[place + 1 :])

    return prompt[place].content, put


def _how(params: Mapping[str, Any], max_tokens: int) -> Ask:
    """What a pipeline asks for beside its prompts."""
    given = {name: value for name, value in params.items() if value not in (None, False)}
    for name in given:
        if name in _NOT_OFFERED:
            raise CapabilityError(f"'{name}': this generator gives texts alone")
    for name in params:
        if name not in (*_OPTIONS, *_NOT_OFFERED):
            raise ConfigError(f"generate() has no option '{name}'{did_you_mean(name, [*_OPTIONS])}")
    if params.get("skip_special_tokens") is False:
        raise CapabilityError("skip_special_tokens=False: this generator gives no special tokens")
    sampled = params.get("do_sample", True) and given.get("temperature", 0.0) > 0
    if params.get("do_sample") is True and "temperature" not in params:
        raise ConfigError("do_sample=True: give the temperature, too")
    if sampled and given.get("top_p", 1.0) != 1.0:
        raise CapabilityError(f"top_p={given['top_p']}: this generator samples from all tokens")
    length = int(given.get("max_tokens") or given.get("max_new_tokens") or max_tokens)
    stop = given.get("stop", ())
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    return Ask("", length, stops, float(given["temperature"]) if sampled else 0.0)


def _text(reply: Reply, stops: Iterable[str]) -> str:
    if reply.stop is not None:
        return reply.text + reply.stop
    return reply.text if reply.cut_off else reply.text + next(iter(stops), "")


def _document(passage: Passage) -> Document:
    return {
        "id": passage.id,
        "title": passage.title,
        "text": passage.text,
        "contents": passage.contents,
    }
