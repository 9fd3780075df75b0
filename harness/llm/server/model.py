"""Models behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, hosted ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from random import Random
from threading import Lock
from typing import Any

from harness.errors import CapabilityError, ConfigError, UnansweredError, WindowExceededError
from harness.llm.base import LanguageModel
from harness.llm.identity import places
from harness.llm.model_config import ModelConfig
from harness.llm.requests import (
    GenerateRequest,
    NextTokenProbs,
    NextTokenRequest,
    Reply,
    ScoreRequest,
    Scores,
)
from harness.llm.secret import Secret, keep_out_of_logs
from harness.llm.server.bodies import in_chat, options, placed, template_options
from harness.llm.server.contact import Contact
from harness.llm.server.counting import Counter
from harness.llm.server.endpoints import Endpoints, client
from harness.llm.server.failures import Refused
from harness.llm.server.keys import NO_KEY, key_of
from harness.llm.server.logprobs import LogProbs, choices
from harness.llm.server.refusals import OF_ACCOUNTS, explained
from harness.llm.server.replies import Said
from harness.llm.server.reply_key import reply_key
from harness.llm.server.streaming import Streaming
from harness.llm.server.transport import Transport
from harness.llm.style import prompt_style, why_styled
from harness.prompts import Rendered

DEFAULT_URL = "https://api.openai.com/v1"
_SAMPLE = GenerateRequest("The capital of France is", max_tokens=16)


class ServerModel(LanguageModel):
    """A model that answers over /v1/completions (completion style) or /v1/chat/completions.

    ``timeout``: seconds for one reply. A request that meets a failure of the server is sent again
    up to ``max_retries`` times, at first after ``pause`` seconds. The key is read from the
    environment variable that the config names and kept only inside the client.

    Temperature, seed and ``top_p`` 1 are sent with every request, unless the server refuses them
    (``provenance()["adapted"]``); what else shapes the draw is the server's: vLLM applies the
    model's own repetition penalty and top-k unless told otherwise (``--generation-config vllm``),
    and ``transformers serve`` samples only for models whose generation_config says ``do_sample``.

    Once a reply has shown thoughts, every request is given ``thinking_tokens`` beside those of its
    answer, which the server counts together, and stop strings apply here, to the answer alone, as
    does its own limit where the config names a tokenizer.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        timeout: float = 300,
        max_retries: int = 5,
        pause: float = 0.5,
        jitter: Random | None = None,
    ) -> None:
        self.config, self.name, self.prompt_style = config, config.name, prompt_style(config)
        self.window, self.urls = config.window, config.urls or (DEFAULT_URL,)
        self.concurrency = config.max_concurrency * len(self.urls)
        self._key_variable, key = key_of(config)
        secret = Secret("" if key == NO_KEY else key)
        self._where = f"model '{self.name}' at {', '.join(self.urls)}"
        self._transport = Transport(
            self._where,
            Endpoints(
                [(url, client(url, key, timeout)) for url in self.urls],
                config.max_concurrency,
                secret,
            ),
            retries=max_retries,
            pause=pause,
            jitter=jitter,
            on_retry=self._count_retry,
        )
        keep_out_of_logs(secret)
        self._contact = Contact(self._transport, config.path, self._key_variable)
        self._counter = Counter(config, self.prompt_style) if config.tokenizer else None
        self._counted_by = "server"
        self._lock, self._probe_lock = Lock(), Lock()
        self._logprobs: LogProbs | None = None
        self._thinks = False
        self._streaming = Streaming()
        if config.thinking and self.prompt_style != "chat":
            raise ConfigError(
                f"model '{self.name}': thinking works with prompt_style: chat; set it, or leave "
                "thinking out"
            )
        if config.thinking == "on":
            self._think()

    def probe(self) -> None:
        """Find out, once, what the server offers: log-probabilities, thoughts, its window.

        Raises HarnessError naming the URL if it cannot be reached, ConfigError if it refuses the
        key or the model, UnansweredError if its failures persist.
        """
        with self._probe_lock:
            if self._logprobs is not None:
                return
            self._meet()
            # Refusals are told, parameters adapted and thoughts noticed before the first question.
            said = self._ask(_SAMPLE, thinks=False)
            if said.thinks and self.config.thinking == "off":
                raise ConfigError(
                    f"{self._where}: the model thinks although thinking is off; the server knows "
                    "no such switch: serve the model without thoughts, or leave thinking out"
                )
            if said.thinks and self.prompt_style == "chat":
                self._think()
            extras = template_options(self.config, quiet=said.thinks)
            untried = LogProbs(self._transport.post, self.config.path, self.prompt_style, extras)
            with self._explained():
                self._logprobs = untried.find()
            self.capabilities = self._logprobs.capabilities

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        """Send the requests side by side; replies come in the order the server finishes them.

        Raises as ``probe`` does; PromptTooLongError if a prompt exceeds the window, HarnessError
        with the server's own words if it refuses a request.
        """
        self._meet()
        with ThreadPoolExecutor(max_workers=self.concurrency) as pool:
            running = {pool.submit(self._reply, r): i for i, r in enumerate(requests)}
            try:
                for future in as_completed(running):
                    yield running[future], future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Scores]]:
        """Log-probabilities of given continuations, where the server gives those of given text."""
        found = self._offered()
        if found.form is None:
            raise CapabilityError(f"model '{self.name}' gives no log-probabilities of given text")
        for index, request in enumerate(requests):
            with self._explained():
                scores = found.score(request.prompt, request.continuations)
            yield index, scores

    def next_token_probs(
        self, requests: Sequence[NextTokenRequest]
    ) -> Iterator[tuple[int, NextTokenProbs]]:
        """Probability of each string's first token (see logprobs.py for what is not listed)."""
        found = self._offered()
        if found.form is None and not found.top:
            raise CapabilityError(f"model '{self.name}' gives no next-token probabilities")
        for index, request in enumerate(requests):
            with self._explained():
                probs = found.next_token_probs(request.prompt, request.strings)
            yield index, probs

    def reply_key(self, request: GenerateRequest | ScoreRequest | NextTokenRequest) -> str | None:
        """A hash of server, model, messages and settings; None of what chance alone decides."""
        adapted = self._transport.adaptation.names
        return reply_key(self.config, request, self.urls, adapted, thinks=self._thinks)

    def has_token(self, text: str) -> bool:
        """Whether the tokenizer that the config names holds ``text`` as one token."""
        return self._counter is not None and self._counter.has_token(text)

    def count_tokens(self, prompt: Rendered) -> int | None:
        """Tokens by the tokenizer that the config names; None without one."""
        return self._counter.prompt(prompt) if self._counter else None

    def provenance(self) -> dict[str, Any]:
        """Where it is served, the model id asked for, who counted tokens, what was adapted."""
        adapted = self._transport.adaptation.names
        return {
            "base_url": self.urls[0] if len(self.urls) == 1 else list(self.urls),
            "model": self.config.path,
            "token_counts": self._counted_by,
            **({"key": self._key_variable} if self.config.api_key_env else {}),
            **({"logprobs": self._logprobs.told} if self._logprobs else {}),
            **({"adapted": adapted} if adapted else {}),
            **why_styled(self.config),
            **places(self.config),
        }

    def streaming(self) -> AbstractContextManager[None]:
        """While open, replies are asked for as streams."""
        return self._streaming.open()

    @property
    def streamed(self) -> str:
        """Which of the replies came as streams, and why the others did not."""
        return self._streaming.told

    def close(self) -> None:
        """Close the connections; requests that wait are given up."""
        self._transport.endpoints.close()

    def _meet(self) -> None:
        self._contact.meet()
        with self._lock:
            self.window = self.window or self._contact.window

    def _offered(self) -> LogProbs:
        self.probe()
        assert self._logprobs is not None
        return self._logprobs

    def _reply(self, request: GenerateRequest) -> Reply:
        said = self._said(request)
        kept = self._within(said, request.max_tokens)
        text = request.cut(kept)
        watched = choices(said, request.watch) if request.watch else ()
        counts = self._counts(request.prompt, said)
        # What is cut here ended where it should; the limit came later.
        cut_off = text == kept and (said.cut_off or kept != said.answer)
        # Servers leave the stop string out of what they send.
        ended = request.stopped_by(kept) or None
        return Reply(text, *counts, watched, said.thoughts, cut_off, ended, said.first_token)

    def _within(self, said: Said, most: int) -> str:
        """The answer within its own limit; the server's also left room for thoughts."""
        short = said.completion_tokens is not None and said.completion_tokens <= most
        if self._counter is None or not self._thinks or short:
            return said.answer
        return self._counter.first(said.answer, most)

    def _said(self, request: GenerateRequest) -> Said:
        """The server's answer; asked anew if thoughts come that had neither room nor rest."""
        thinks = self._thinks
        said = self._ask(request, thinks=thinks)
        if thinks or not said.thinks or self.prompt_style == "completion":
            return said
        self._think()
        return self._ask(request, thinks=True)

    def _think(self) -> None:
        self._thinks = True
        self.thinking_tokens = 0 if self.config.thinking == "off" else self.config.thinking_tokens

    def _ask(self, request: GenerateRequest, *, thinks: bool) -> Said:
        prompt = request.prompt
        # What stops the answer must not stop the thoughts before it.
        room = self.thinking_tokens if thinks else 0
        body = options(self.config, request, room=room, stops=not thinks)
        if request.watch:
            body |= {**self._offered().asked(prompt), "skip_special_tokens": False}
        path, prompted = placed(prompt, self.prompt_style, template_options(self.config))
        chat = in_chat(prompt, self.prompt_style)
        opened = chat and self._counter is not None and self._counter.opens_thoughts(prompt)
        with self._explained():
            return self._transport.post(
                path,
                {**body, **prompted},
                lambda value: Said.read(value, opened=opened),
                self._streaming.request(),
            )

    def _counts(self, prompt: Rendered, said: Said) -> tuple[int | None, int | None]:
        if said.prompt_tokens is not None:
            return said.prompt_tokens, said.completion_tokens
        # A server may count in whole replies alone; those are the ones that are recorded.
        if not self._streaming.is_open:
            self._counted_by = "tokenizer" if self._counter else "nobody"
        if self._counter is None:
            return None, None
        return self._counter.prompt(prompt), self._counter.text(said.thoughts + said.answer)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Refused as refused:
            error = explained(
                refused,
                where=self._where,
                model=self.config.path,
                key=self._key_variable,
                served=self._contact.served,
                words=refused.words,
            )
            if isinstance(error, WindowExceededError):
                self.window = self.window or error.window
            if refused.status in OF_ACCOUNTS and self._logprobs is not None:
                error = UnansweredError(
                    f"{error}; then run again: only what is unanswered is asked"
                )
            # Without its cause: that one's text and request may hold the key.
            raise error from None

    def _count_retry(self) -> None:
        with self._lock:
            self.retries += 1
