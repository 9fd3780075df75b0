"""A key written into a URL, wherever one is typed: it is refused, and no line repeats it."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.llm.catalogue import resolve_model
from tests.harness.conftest import CommandLine

URLS = (
    "https://user:{}@host/v1", "https://{}@host/v1", "https://host/v1?api_key={}",
    "https://host/v1?key={}", "https://host/v1#{}", "HTTPS://user:{}@host/v1",
)  # fmt: skip


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize(
    "spec",
    [
        "openai:m@{}",
        "openai:m@http://127.0.0.1:1/v1,{}",
        "{}",
        "hf:{}",
        "path:{}",
        "gguf:{}",
        "lm-eval:local-completions,model=m,base_url={}",
        "lm-eval:local-chat-completions,model=m,base_url={},num_concurrent=1",
        "lm-eval:local-completions,base_url={}/completions,model=m",
        {"name": "openai:m", "base_url": "{}"},
        {"name": "m", "kind": "openai", "path": "{}"},
        {"name": "{}", "path": "x/y"},
        {"name": "openai:m@http://127.0.0.1:1/v1", "tokenizer": "{}"},
        {"path": "x/y", "adapter": "{}"},
        {"name": "lm-eval:local-completions", "lm_eval_args": "model=m,base_url={}"},
    ],
)
def test_a_key_in_a_url_is_refused_and_not_repeated(
    cli: CommandLine, tmp_path: Path, url: str, spec: str | dict[str, str]
) -> None:
    key = "sk-canary-0123456789"
    filled = url.format(key)
    entry = (
        spec.format(filled)
        if isinstance(spec, str)
        else {name: value.format(filled) for name, value in spec.items()}
    )
    with pytest.raises(ConfigError) as refused:
        resolve_model(entry)
    assert key not in "".join(traceback.format_exception(refused.value))
    board = tmp_path / "board.yaml"
    models = json.dumps([entry])
    board.write_text(f"name: b\ntasks: [nq]\nmethods: [no-retrieval]\nlimit: 1\nmodels: {models}\n")
    assert key not in cli.refuses("run", board, "--out", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
