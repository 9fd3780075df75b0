"""Models behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, hosted ones.

The API gives no log-probabilities of given text, so methods that need them run on a local model
or on ``lm-eval:local-completions``, which asks vLLM for echoed ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import ConfigError, HarnessError, InputError
from harness.llm.base import GenerateRequest, LanguageModel, Reply, as_messages
from harness.llm.catalogue import ModelConfig, local_folder
from harness.llm.identity import places
from harness.llm.style import prompt_style
from harness.prompts import Rendered

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import CompletionUsage

T = TypeVar("T")

DEFAULT_URL = "https://api.openai.com/v1"
DEFAULT_KEY_VARIABLE = "OPENAI_API_KEY"
NO_KEY = "none"
# Hosted servers refuse more stop strings; replies are cut here in any case.
MOST_STOPS = 4


class ServerModel(LanguageModel):
    """A model that answers over /v1/completions (completion style) or /v1/chat/completions.

    ``timeout``: seconds for one reply. Busy servers (429, 5xx) are asked again up to
    ``max_retries`` times with growing pauses. The key is read from the environment variable that
    the config names and kept only inside the client.

    Temperature, seed and ``top_p`` 1 are sent with every request; what else shapes the draw is the
    server's: vLLM applies the model's own repetition penalty and top-k unless told otherwise
    (``--generation-config vllm``), and ``transformers serve`` samples only for models whose
    generation_config says ``do_sample``.
    """

    def __init__(self, config: ModelConfig, *, timeout: float = 300, max_retries: int = 5) -> None:
        from openai import OpenAI

        self.config, self.name, self.prompt_style = config, config.name, prompt_style(config)
        self.window, self.concurrency = config.window, config.max_concurrency
        self.url = config.base_url or DEFAULT_URL
        self._key_variable = config.api_key_env or DEFAULT_KEY_VARIABLE
        self._client: OpenAI = OpenAI(
            base_url=self.url,
            api_key=self._key(),
            timeout=timeout,
            max_retries=max_retries,
        )
        self._reached, self._lock = False, Lock()
        self._counted_by = "server"

    def _key(self) -> str:
        key = os.environ.get(self._key_variable, "").strip()
        if key:
            return key
        if self.config.api_key_env or not self.config.base_url:
            raise ConfigError(
                f"model '{self.name}': the environment variable {self._key_variable} holds no "
                f"key; set it, or give base_url for a server that needs none"
            )
        return NO_KEY

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        """Send the requests side by side; replies come in the order the server finishes them.

        Raises HarnessError naming the URL if the server cannot be reached, ConfigError if it
        refuses the key or the model, HarnessError with its own words if it refuses a request.
        """
        self._reach()
        with ThreadPoolExecutor(max_workers=self.concurrency) as pool:
            running = {pool.submit(self._reply, r): i for i, r in enumerate(requests)}
            try:
                for future in as_completed(running):
                    yield running[future], future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _reply(self, request: GenerateRequest) -> Reply:
        import openai

        options = {
            "model": self.config.path,
            "max_tokens": request.max_tokens,
            "stop": list(request.stop[:MOST_STOPS]) or openai.omit,
            "temperature": request.temperature,
            "top_p": 1.0,
            "seed": request.seed,
        }
        try:
            text, usage = self._call(request.prompt, options)
        except openai.OpenAIError as error:
            # Without its cause: that one's text and request may hold the key.
            raise self._explain(error) from None
        text = request.cut(text)
        return Reply(text, *self._counts(request.prompt, text, usage))

    def _call(
        self, prompt: Rendered, options: dict[str, Any]
    ) -> tuple[str, CompletionUsage | None]:
        if isinstance(prompt, str) and self.prompt_style == "completion":
            completion = self._client.completions.create(prompt=prompt, **options)
            return self._first(completion.choices).text or "", completion.usage
        messages: Any = [{"role": m.role, "content": m.content} for m in as_messages(prompt)]
        chat = self._client.chat.completions.create(messages=messages, **options)
        return self._first(chat.choices).message.content or "", chat.usage

    def _first(self, choices: list[T]) -> T:
        if not choices:
            raise HarnessError(f"model '{self.name}' at {self.url}: reply without any choice")
        return choices[0]

    def _counts(
        self, prompt: Rendered, text: str, usage: CompletionUsage | None
    ) -> tuple[int, int]:
        if usage is not None:
            return usage.prompt_tokens or 0, usage.completion_tokens or 0
        if not self.config.tokenizer:
            self._counted_by = "nobody"
            return 0, 0
        self._counted_by = "tokenizer"
        return self.count_tokens(prompt) or 0, self._length(text, add_special_tokens=False)

    def _reach(self) -> None:
        """Ask once, without retries, whether anything answers: a wrong URL fails at once."""
        import openai

        with self._lock:
            if self._reached:
                return
            try:
                self._client.with_options(max_retries=0, timeout=30).models.list()
            except (openai.APIConnectionError, openai.AuthenticationError) as error:
                raise self._explain(error) from None
            except (openai.OpenAIError, ValueError):
                pass  # It answers, but lists no models; not every server does.
            self._reached = True

    def _explain(self, error: Exception) -> HarnessError:
        import openai

        where = f"model '{self.name}' at {self.url}"
        words = str(getattr(error, "message", error))
        if self._client.api_key != NO_KEY:
            words = words.replace(self._client.api_key, "***")
        if isinstance(error, openai.APITimeoutError):
            return HarnessError(f"{where}: no reply in time; check the server or its load")
        if isinstance(error, openai.APIConnectionError):
            return HarnessError(
                f"{where}: cannot connect; start the server or correct base_url (it usually ends "
                "in /v1)"
            )
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return ConfigError(f"{where}: key refused; check the variable {self._key_variable}")
        if isinstance(error, openai.NotFoundError):
            return ConfigError(
                f"{where}: '{self.config.path}' is not served there, or base_url lacks /v1: {words}"
            )
        if isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
            return HarnessError(
                f"{where}: request refused ({words}); if it names seed, stop or max_tokens, the "
                "server does not support what the harness needs for comparable runs"
            )
        return HarnessError(f"{where}: {type(error).__name__}: {words}")

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        name = self.config.tokenizer or ""
        try:
            return AutoTokenizer.from_pretrained(
                local_folder(name) or name, trust_remote_code=self.config.trust_remote_code
            )
        except (OSError, ValueError) as error:
            raise InputError(
                f"model '{self.name}': cannot load tokenizer '{name}' ({error})"
            ) from error

    def count_tokens(self, prompt: Rendered) -> int | None:
        """Tokens by the tokenizer that the config names; None without one."""
        if not self.config.tokenizer:
            return None
        if isinstance(prompt, str) and self.prompt_style == "completion":
            return self._length(prompt, add_special_tokens=True)
        messages = [{"role": m.role, "content": m.content} for m in as_messages(prompt)]
        text = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        return self._length(text, add_special_tokens=False)

    def _length(self, text: str, *, add_special_tokens: bool) -> int:
        # Fast tokenizers refuse to be used by two threads at once.
        with self._lock:
            return len(self._tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"])

    def provenance(self) -> dict[str, Any]:
        """The server's address, the model id asked for, who counted tokens and with what."""
        return {
            "base_url": self.url,
            "model": self.config.path,
            "token_counts": self._counted_by,
            **places(self.config),
        }

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
