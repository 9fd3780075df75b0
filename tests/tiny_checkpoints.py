"""Tiny random models shaped like checkpoints that methods need: Self-RAG's, a Llama 3 chat."""

from __future__ import annotations

from pathlib import Path

from tests.tiny import SENTENCES, save_tiny_llama

# In the order of the ids that follow the 32,000 of Llama 2 in selfrag/selfrag_llama2_7b.
SELF_RAG_TOKENS = (
    "[No Retrieval]",
    "[Retrieval]",
    "[Continue to Use Evidence]",
    "[Irrelevant]",
    "[Relevant]",
    "<paragraph>",
    "</paragraph>",
    *(f"[Utility:{n}]" for n in range(1, 6)),
    "[Fully supported]",
    "[Partially supported]",
    "[No support / Contradictory]",
)
LLAMA_3_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


def build_tiny_self_rag(path: Path, seed: int = 0) -> Path:
    """Save a random Llama whose tokenizer, like Self-RAG's, is Llama 2's with 16 tokens added.

    SentencePiece spelling with bytes to fall back on, ``<s>`` put first, no chat template.
    """
    from transformers import LlamaTokenizer

    tokenizer = LlamaTokenizer(*_metaspace_pieces(), add_bos_token=True)
    tokenizer.add_special_tokens({"additional_special_tokens": list(SELF_RAG_TOKENS)})
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    return save_tiny_llama(tokenizer, path, seed, key_value_heads=4)


def build_tiny_llama_chat(path: Path, seed: int = 0) -> Path:
    """Save a random Llama with byte-level BPE, Llama 3's special tokens and its chat format.

    Turns end with ``<|eot_id|>``, which is the end token; ``<|begin_of_text|>`` comes first.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bos, eos = "<|begin_of_text|>", "<|eot_id|>"
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[bos, eos, "<|start_header_id|>", "<|end_header_id|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(SENTENCES, trainer)
    core.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, core.token_to_id(bos))]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token=bos, eos_token=eos)
    tokenizer.chat_template = LLAMA_3_TEMPLATE
    return save_tiny_llama(tokenizer, path, seed, key_value_heads=4)


def _metaspace_pieces() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary (``<unk>``, ``<s>``, ``</s>``, 256 bytes, pieces) and merges, as in Llama 2."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=400, show_progress=False))
    learned = json.loads(core.to_str())["model"]
    fixed = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces = sorted(learned["vocab"], key=learned["vocab"].get)
    vocabulary = {piece: place for place, piece in enumerate([*fixed, *pieces])}
    return vocabulary, [tuple(merge) for merge in learned["merges"]]
