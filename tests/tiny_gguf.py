"""Write a tiny Llama as GGUF, so that reading GGUF can be tested in a second."""

from __future__ import annotations

import json
from pathlib import Path

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(model_folder: Path, file: Path) -> Path:
    """The fp32 GGUF of a folder made by ``build_tiny_model``."""
    from gguf import GGUFWriter
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folder)
    config = model.config
    writer = GGUFWriter(file, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, model_folder, config)
    for name, tensor in model.state_dict().items():
        values = tensor.numpy()
        if "q_proj" in name:
            values = _interleave(values, config.num_attention_heads)
        if "k_proj" in name:
            values = _interleave(values, config.num_key_value_heads)
        writer.add_tensor(_gguf_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _gguf_name(name: str) -> str:
    whole = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in whole:
        return whole[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def _interleave(weights, heads: int):
    # GGUF keeps the two halves of each rotary pair side by side.
    rows, columns = weights.shape
    return (
        weights.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    )


def _add_tokenizer(writer, model_folder: Path, config) -> None:
    from gguf import TokenType

    data = json.loads((model_folder / "tokenizer.json").read_text())
    special = {token["content"] for token in data["added_tokens"]}
    vocabulary = sorted(data["model"]["vocab"], key=data["model"]["vocab"].get)
    types = [TokenType.CONTROL if t in special else TokenType.NORMAL for t in vocabulary]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(merge) for merge in data["model"]["merges"]])
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_pad_token_id(config.pad_token_id)
    writer.add_chat_template((model_folder / "chat_template.jinja").read_text())
