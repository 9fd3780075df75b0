"""Specs: models written in one line, such as ``hf:ORG/NAME``, as a ModelConfig's fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from harness.errors import ConfigError
from harness.files import to_slug

FORMS = (
    "hf:ORG/NAME[@REVISION], path:FOLDER, gguf:FILE, vllm:ORG/NAME[@REVISION], "
    "openai:MODEL@URL[,URL][,api_key_env=NAME], "
    "lm-eval:NAME,ARG=VALUE"
)


def is_spec(text: str) -> bool:
    """Whether a model's name is a spec rather than an entry of the catalogue."""
    prefix, colon, _ = text.partition(":")
    return bool(colon) and prefix in _SPECS


def read_spec(text: str) -> dict[str, Any]:
    """The fields that a spec means, a name among them. Raises ConfigError if it names nothing."""
    prefix, _, body = text.partition(":")
    if not body.strip():
        raise ConfigError(f"model '{text}' names nothing; write one of {FORMS}")
    return _SPECS[prefix](body.strip())


def is_place(path: str) -> bool:
    """Whether a path is written as a place on this machine rather than as a hub id."""
    return path.startswith(("/", ".", "~"))


def last_part(path: str) -> str:
    """What a folder or file is called, wherever it lies."""
    return path.rstrip("/").rpartition("/")[2]


def _hub(body: str) -> dict[str, Any]:
    path, _, revision = body.partition("@")
    return {"name": to_slug(body), "path": path, "revision": revision or None}


def _folder(body: str) -> dict[str, Any]:
    path = body if is_place(body) else f"./{body}"
    return {"name": to_slug(last_part(path)), "path": path}


def _gguf(body: str) -> dict[str, Any]:
    folder, _, file = body.rpartition("/")
    path = _folder(folder or ("/" if body.startswith("/") else "."))["path"]
    return {"name": to_slug(file.removesuffix(".gguf")), "path": path, "gguf_file": file}


def _vllm(body: str) -> dict[str, Any]:
    values = _folder(body) if is_place(body) else _hub(body)
    return {**values, "name": f"{values['name']}-vllm", "kind": "vllm"}


def _openai(body: str) -> dict[str, Any]:
    match = re.fullmatch(
        r"(?P<path>.+?)(@(?P<base_url>[A-Za-z]+://.+?))?(,\s*api_key_env=(?P<api_key_env>.*))?",
        body,
    )
    values = match.groupdict() if match else {"path": body}
    return {**values, "name": to_slug(values["path"]), "kind": "openai"}


def _lm_eval(body: str) -> dict[str, Any]:
    path, _, args = body.partition(",")
    pretrained = re.search(r"(?:^|,)(?:pretrained|model)=([^,]+)", args)
    label = f"{path}-{last_part(pretrained[1])}" if pretrained else path
    return {"name": to_slug(label), "kind": "lm-eval", "path": path, "lm_eval_args": args}


_SPECS: dict[str, Callable[[str], dict[str, Any]]] = {
    "hf": _hub,
    "path": _folder,
    "gguf": _gguf,
    "vllm": _vllm,
    "openai": _openai,
    "lm-eval": _lm_eval,
}
