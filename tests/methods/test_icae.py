"""A checkpoint of ICAE's authors: its vectors are those of their own code, a reader reads them."""

from __future__ import annotations

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from harness.cli.main import main
from harness.errors import ConfigError, InputError
from harness.llm.catalogue import resolve_model
from harness.llm.requests import GenerateRequest
from harness.prompts import SOFT
from harness.testing.conformance import check_method
from methods.compressor.icae import import_icae, read_icae
from methods.compressor.method import Compressor
from methods.parametric_qa.prompts import reading_prompt
from methods.parametric_qa.shared.bundle import Bundle
from methods.parametric_qa.shared.encoder import encoder_codes
from tests.harness.lab import write_task
from tests.methods.xrag_lab import load_tiny

SLOTS, RANK = 32, 4
TEXTS = ["The capital of France is Paris.", "Bell invented the telephone in 1876, in Boston."]


@pytest.fixture(scope="module")
def tiny(completion_model_dir):
    return load_tiny(completion_model_dir)


@pytest.fixture(scope="module")
def authors(completion_model_dir):
    """Their model of this size: peft's LoRA where it puts one by itself, and memory tokens."""
    base = AutoModelForCausalLM.from_pretrained(completion_model_dir)
    wanted = LoraConfig(r=RANK, lora_alpha=32, bias="none", task_type="CAUSAL_LM")
    model = get_peft_model(base, wanted).eval()
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.copy_((0.1 * torch.randn(weight.shape, generator=noise)).bfloat16())
    tokens = torch.randn(SLOTS + 3, base.config.hidden_size, generator=noise) * 0.3
    return model, tokens.bfloat16().float()


@pytest.fixture(scope="module")
def checkpoint(authors, tmp_path_factory):
    """With names as ``torch.nn.Module`` gives them, and more than what is needed, as theirs."""
    model, tokens = authors
    lora = {f"icae.{k}": v for k, v in model.state_dict().items() if "lora_" in k}
    assert {name.split(".")[-4] for name in lora} == {"q_proj", "v_proj"}
    kept = {**lora, "memory_token_embed.weight": tokens, "icae.other": torch.zeros(1)}
    file = tmp_path_factory.mktemp("icae") / "mistral_7b_ft_icae.safetensors"
    save_file({name: tensor.bfloat16().contiguous() for name, tensor in kept.items()}, file)
    return file


@pytest.fixture(scope="module")
def shared(tiny, checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    import_icae(read_icae(checkpoint), tiny, folder)
    return folder


def compressed(authors, ids):
    """Memory slots of token ids, as ``ICAE._compress`` makes them of one segment."""
    model, tokens = authors
    text = model.get_base_model().model.embed_tokens(torch.tensor(ids))
    inputs = torch.cat([text, tokens[:SLOTS]])[None]
    with torch.no_grad():
        states = model(inputs_embeds=inputs, output_hidden_states=True).hidden_states[-1]
    return states[0, -SLOTS:]


def test_its_vectors_are_those_of_the_authors_code(tiny, authors, shared):
    bundle = Bundle.load(shared)
    ids = [tiny.encode(text)[len(tiny.encode("")) :] for text in TEXTS]
    codes = encoder_codes(tiny, bundle.encoder, ids)
    for text, code in zip(TEXTS, codes, strict=True):
        torch.testing.assert_close(code, compressed(authors, tiny.encode(text)), rtol=0, atol=1e-4)
    plain = compressed(authors, tiny.encode(TEXTS[0])[:-1])
    assert (codes[0] - plain).abs().max() > 0.01


def test_the_unadapted_model_reads_them_and_what_asks_to_answer(tiny, authors, shared):
    """The reply's first token is the one of a plain forward pass over the same vectors."""
    model, tokens = authors
    bundle = Bundle.load(shared)
    slots = compressed(authors, tiny.encode(TEXTS[0]))
    memory = bundle.parts.memory(slots)
    torch.testing.assert_close(memory, torch.cat([slots, tokens[-1:]]))
    prompt = reading_prompt("Where is Paris?", 1)
    before, after = prompt.render("completion").split(SOFT)
    embed = model.get_base_model().model.embed_tokens
    ids = [tiny.encode(before), tiny.encode(after)[len(tiny.encode("")) :]]
    parts = [embed(torch.tensor(part)) for part in ids]
    inputs = torch.cat([parts[0], memory, parts[1]])[None]
    with torch.no_grad(), model.disable_adapter():
        best = int(model(inputs_embeds=inputs).logits[0, -1].argmax())
    request = GenerateRequest(prompt.render("completion"), 1, soft_prompts=(memory,))
    ((_, reply),) = tiny.generate([request])
    assert reply.text == tiny.runtime.tokenizer.decode([best])


def test_conformance(tiny, shared):
    check_method(Compressor, {"shared": str(shared), "max_tokens": 4}, model=tiny)


@pytest.fixture
def call(monkeypatch, capsys):
    """A command of the command line, which ends well; what it printed."""

    def called(*arguments):
        monkeypatch.setattr("sys.argv", ["memory-harness", *map(str, arguments)])
        with pytest.raises(SystemExit, match="0"):
            main()
        return capsys.readouterr().out

    return called


def test_the_command_and_a_run(call, checkpoint, completion_model_dir, tmp_path):
    model = ("--model", f"path:{completion_model_dir}", "--device", "cpu")
    parts, out = tmp_path / "parts", tmp_path / "runs"
    told = call("import-icae", checkpoint, *model, "--out", parts)
    assert told == "32 vectors a passage, 64 wide\n"
    files = write_task(tmp_path / "files", 3)
    paths = [f"--{kind}={files / kind}.jsonl" for kind in ("questions", "corpus", "train")]
    call("run", "--method", "compressor", "--task", "toy", *paths, *model, "-p", f"shared={parts}",
         "-p", "code_dtype=float16", "--latency-queries", 0, "--out", out)  # fmt: skip
    (file,) = out.glob("toy/compressor/*/predictions.jsonl")
    answered = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(answered) == 3 and all(each["error"] is None for each in answered)


def test_what_is_no_checkpoint_of_this_model_is_refused(tiny, checkpoint, tmp_path):
    with pytest.raises(InputError, match=r"none\.safetensors: not readable as safetensors"):
        read_icae(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="no checkpoint of ICAE: it lacks memory_token_embed"):
        read_icae(tmp_path / "a.safetensors")
    tensors = load_file(checkpoint)
    narrow = {**tensors, "memory_token_embed.weight": torch.zeros(35, 32)}
    save_file(narrow, tmp_path / "narrow.safetensors")
    with pytest.raises(ConfigError, match=r"\[35, 32\], but 'tiny' is 64 wide; take the model"):
        import_icae(read_icae(tmp_path / "narrow.safetensors"), tiny, tmp_path)
    short = {name: tensor for name, tensor in tensors.items() if ".layers.1." not in name}
    save_file(short, tmp_path / "short.safetensors")
    with pytest.raises(ConfigError, match="a LoRA of 1 layers, self_attn.q_proj"):
        import_icae(read_icae(tmp_path / "short.safetensors"), tiny, tmp_path)


def test_a_text_that_is_too_long_for_one_memory_is_named(tiny, shared):
    bundle = Bundle.load(shared)
    with pytest.raises(
        InputError, match="document 'p7' is 129 tokens, and ICAE writes at most 128"
    ):
        encoder_codes(tiny, bundle.encoder, [[5] * 128], ["p7"])


def test_the_catalogue_names_it():
    assert "sggetao/icae" in (resolve_model("mistral-7b-instruct-v0.2").notes or "")
