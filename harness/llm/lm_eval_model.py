"""Any model of lm-evaluation-harness, by its lm-eval name (hf, vllm, sglang, local-completions …).

Speaks to lm_eval's public model interface (``lm_eval.api.model.LM``, MIT) and nothing below it,
except ``TemplateLM._loglikelihood_tokens`` for single tokens, the hook every backend implements.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

from harness.errors import CapabilityError, ConfigError, InputError
from harness.llm.base import LanguageModel
from harness.llm.encoding import parted
from harness.llm.identity import places
from harness.llm.lm_eval_failures import explained
from harness.llm.lm_eval_open import open_lm, thinking_in
from harness.llm.messages import as_messages
from harness.llm.requests import (
    GenerateRequest,
    NextTokenProbs,
    NextTokenRequest,
    Reply,
    ScoreRequest,
    Scores,
)
from harness.llm.secret import Secret, keep_out_of_logs
from harness.llm.style import prompt_style, why_styled
from harness.llm.template import REPLY, after_prompt, check_system, dated
from harness.llm.thoughts import opened_by, part, without_thoughts
from harness.prompts import Message, Rendered

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig

# Where lm-eval's models of servers find theirs.
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
# lm-eval answers a list as a whole; shorter lists lose less when a run is interrupted.
CHUNK = 64


class LMEvalModel(LanguageModel):
    """An lm-eval model behind this harness's contract.

    ``batch_size`` and ``device`` are handed to lm-eval unless ``lm_eval_args`` sets them.
    Greedy requests go in lm-eval's batches; sampled ones go one at a time under torch's seed,
    because lm-eval knows no seed per request (servers then use the seed they were opened with).

    A model whose tokenizer shows how it thinks may write ``thinking_tokens`` more. lm-eval ends no
    thoughts by force, so those that are longer leave no answer, and it shows no special tokens.
    Whether the limit cut a reply is told by its tokens, encoded again.
    """

    def __init__(
        self, config: ModelConfig, *, batch_size: int | None = None, device: str | None = None
    ) -> None:
        self.config, self.name, self.prompt_style = config, config.name, prompt_style(config)
        self._lm = open_lm(config, {"batch_size": batch_size, "device": device})
        self._secret = Secret.of_variables(*_KEYS)
        keep_out_of_logs(self._secret)
        self._thinking = thinking_in(config, self._lm)
        from lm_eval.api.model import TemplateLM

        self._template: bool = isinstance(self._lm, TemplateLM)
        longest = getattr(self._lm, "max_length", None)
        self.window = config.window or (longest if isinstance(longest, int) else None)
        if self._thinking is not None and self.prompt_style == "chat":
            self.thinking_tokens = self._thinking.budget
            self.goes_on = True
        if self._has_loglikelihood():
            self.capabilities = frozenset({"next-token-probs", "logprobs"})

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        """Continue each prompt through ``generate_until``, in chunks of 64 requests."""
        greedy = [i for i, request in enumerate(requests) if request.temperature == 0]
        sampled = [i for i, request in enumerate(requests) if request.temperature > 0]
        groups = [greedy[at : at + CHUNK] for at in range(0, len(greedy), CHUNK)]
        for group in [*groups, *([i] for i in sampled)]:
            texts = self._generate([requests[i] for i in group])
            for i, text in zip(group, texts, strict=True):
                yield i, self._reply(requests[i], text)

    def _generate(self, requests: list[GenerateRequest]) -> list[str]:
        import torch

        rooms = [self._room(r) for r in requests]
        arguments = [
            (self._context(r.prompt), _generation_arguments(r, room))
            for r, room in zip(requests, rooms, strict=True)
        ]
        with torch.random.fork_rng(enabled=requests[0].temperature > 0):
            if requests[0].temperature > 0:
                torch.manual_seed(requests[0].seed)
            return self._ask("generate_until", arguments)

    def _reply(self, request: GenerateRequest, text: str) -> Reply:
        context, room = self._context(request.prompt), self._room(request)
        opened = bool(room) and isinstance(context, str) and opened_by(context) is not None
        thoughts, whole = part(text, opened=opened)
        kept = self._first_tokens(whole, request.max_tokens) if room else whole
        answer = request.cut(kept)
        # lm-eval returns text only, and encoding it again may give more tokens than were made.
        written, most = self._encode(text, add_special_tokens=False), request.max_tokens + room
        length = None if written is None else min(len(written), most)
        cut_off = answer == kept and (kept != whole or length == most)
        return Reply(
            answer,
            self.count_tokens(request.prompt),
            length,
            thoughts=thoughts,
            cut_off=cut_off,
            stop=request.stopped_by(kept) or None,
        )

    def _room(self, request: GenerateRequest) -> int:
        """Tokens that the model may write before its answer, where a chat asks for one."""
        prompt = request.prompt
        asks = not isinstance(prompt, str) and prompt[-1].role != "assistant"
        return self._thinking.budget if self._thinking is not None and asks else 0

    def _first_tokens(self, text: str, most: int) -> str:
        ids = self._encode(text, add_special_tokens=False) or []
        return text if len(ids) <= most else str(self._lm.tok_decode(ids[:most]))

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Scores]]:
        """Log-probabilities through ``loglikelihood``; its trailing-space rule applies.

        lm-eval moves spaces at the end of a prompt to the continuation before encoding.
        """
        for index, request in enumerate(requests):
            context = self._context(request.prompt, thoughts=False)
            continuations = self._after(request.prompt, context, request.continuations)
            pairs = [(context, continuation) for continuation in continuations]
            logprobs = tuple(float(pair[0]) for pair in self._ask("loglikelihood", pairs))
            before = len(self._encode(context.rstrip()) or [])
            whole = [len(self._encode(context + c) or []) for c in continuations]
            counts = tuple(max(length - before, 0) for length in whole)
            yield index, Scores(logprobs, counts, self.count_tokens(request.prompt))

    def next_token_probs(
        self, requests: Sequence[NextTokenRequest]
    ) -> Iterator[tuple[int, NextTokenProbs]]:
        """Probability of each string's first token; needs an lm-eval model with a tokenizer."""
        if not self._template or self._encode("a") is None:
            raise CapabilityError(f"model '{self.name}' shows lm-eval no tokens to ask about")
        for index, request in enumerate(requests):
            context = self._context(request.prompt, thoughts=False)
            if "" in request.strings:
                raise InputError(f"model '{self.name}' has no token for ''")
            strings = self._after(request.prompt, context, request.strings)
            wholes = [self._encode(context + string) or [] for string in strings]
            ids, after = parted(self._encode(context) or [], wholes)
            texts = [(context, string) for string in strings]
            asked = [(text, ids, own[:1]) for text, own in zip(texts, after, strict=True)]
            found = self._lm._loglikelihood_tokens(asked, disable_tqdm=True)
            pairs = zip(request.strings, found, strict=True)
            yield index, NextTokenProbs({s: math.exp(pair[0]) for s, pair in pairs}, len(ids))

    def _ask(self, kind: str, arguments: Sequence[tuple[Any, Any]]) -> list[Any]:
        from lm_eval.api.instance import Instance

        instances = [
            Instance(request_type=kind, doc={}, arguments=pair, idx=i, metadata=(None, i, 1))
            for i, pair in enumerate(arguments)
        ]
        with explained(self.config, kind, self._secret):
            found: list[Any] = self._secret.out_of_reply(_call(getattr(self._lm, kind), instances))
        return found

    def _has_loglikelihood(self) -> bool:
        try:
            _call(self._lm.loglikelihood, [])
        except NotImplementedError:
            return False
        except Exception:
            # An empty list may trip a backend that does score.
            return True
        return True

    def _context(self, prompt: Rendered, *, thoughts: bool = True) -> Any:
        """What lm-eval takes as a prompt: a text, or its own form of messages for a server.

        Without ``thoughts``, a text after which an answer comes next.
        """
        if isinstance(prompt, str):
            return prompt
        *asked, last = prompt
        begun = last.content if last.role == "assistant" else ""
        thoughts = thoughts and not begun
        context = self._chat(asked if begun else prompt, thoughts=thoughts)
        if not isinstance(context, str):
            return self._chat(as_messages(prompt))
        return context if thoughts else without_thoughts(context) + begun

    def _after(self, prompt: Rendered, context: str, continuations: Sequence[str]) -> list[str]:
        """Continuations as the chat template would write them after its prompt."""
        if isinstance(prompt, str) or prompt[-1].role == "assistant":
            return list(continuations)
        turns = (*prompt, Message("assistant", REPLY))
        try:
            replied = self._chat(turns, add_generation_prompt=False)
        except ConfigError:  # a template that writes no replies
            replied = ""
        return [after_prompt(context, replied, c) for c in continuations]

    def _chat(self, messages: Sequence[Message], *, thoughts: bool = True, **options: bool) -> Any:
        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            with self._quiet(switched_off=not thoughts):
                context = self._lm.apply_chat_template(turns, **options)
        except Exception as error:
            raise ConfigError(
                f"model '{self.name}' has no usable chat template ({error}); set prompt_style: "
                "completion"
            ) from error
        if not isinstance(context, str):
            return context
        # Where a template refuses a system message, lm-eval takes the message out.
        check_system(self.name, messages, context)
        return dated(self.name, context, self.config.template)

    @contextmanager
    def _quiet(self, *, switched_off: bool) -> Iterator[None]:
        """While open, the chat template switches thinking off, if it is to and has a switch."""
        quiet = self._thinking.quiet if self._thinking is not None and switched_off else {}
        arguments = getattr(self._lm, "chat_template_args", None)
        if not quiet or arguments is None:
            yield
            return
        self._lm.chat_template_args = {**arguments, **quiet}
        try:
            yield
        finally:
            self._lm.chat_template_args = arguments

    def _encode(self, text: Any, **options: bool) -> list[int] | None:
        encode = getattr(self._lm, "tok_encode", None)
        ids = encode(text, **options) if encode and isinstance(text, str) else None
        # Remote models without a tokenizer give the text back.
        return list(ids) if ids is not None and all(isinstance(i, int) for i in ids) else None

    def count_tokens(self, prompt: Rendered) -> int | None:
        """Tokens by the lm-eval model's own tokenizer; None if it has none."""
        ids = self._encode(self._context(prompt))
        return None if ids is None else len(ids)

    def provenance(self) -> dict[str, Any]:
        """The lm-eval version and model that answered, device, style and local files' places."""
        device = getattr(self._lm, "device", None)
        return {
            "lm_eval": metadata.version("lm_eval"),
            "lm_eval_model": self.config.path,
            **({"device": str(device)} if device is not None else {}),
            **why_styled(self.config),
            **places(self.config),
        }

    def close(self) -> None:
        """Let go of the model."""
        self._lm = None


def _call(method: Callable[..., list[Any]], instances: list[Any]) -> list[Any]:
    # Not every backend has the option, so its absence must not be an error.
    quiet = "disable_tqdm" in inspect.signature(method).parameters
    return method(instances, disable_tqdm=True) if quiet else method(instances)


def _generation_arguments(request: GenerateRequest, room: int) -> dict[str, Any]:
    sampling = {"temperature": request.temperature} if request.temperature > 0 else {}
    return {
        # Thoughts may hold stop strings; what follows them is cut here.
        "until": [] if room else list(request.stop),
        "max_gen_toks": request.max_tokens + room,
        "do_sample": request.temperature > 0,
        **sampling,
    }
