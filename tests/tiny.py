"""A tiny Llama with random weights and its own tokenizer: every code path, in under a second."""

from __future__ import annotations

from pathlib import Path

SENTENCES = (
    "Question: Who wrote the play about the prince of Denmark?",
    "Answer: William Shakespeare wrote Hamlet around the year 1600.",
    "Passage: The capital of France is Paris, a city on the river Seine.",
    "Which of the two rivers is longer, the Nile or the Amazon? yes no",
    "The telephone was invented by Alexander Graham Bell in 1876.",
    "Marie Curie discovered polonium and radium with her husband Pierre.",
    "Answer the question with a short phrase, a name, a date or yes/no.",
    "The passages may hold the answer. user assistant system",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
BOS, EOS, PAD = "<s>", "<|im_end|>", "<pad>"


def build_tiny_model(path: Path, seed: int = 0) -> Path:
    """Save a two-layer Llama (hidden 64, window 2048) and a byte-level BPE tokenizer to ``path``.

    The same seed gives the same weights. The tokenizer puts ``<s>`` first, as Llama's does, and
    its chat template is ChatML.
    """
    return save_tiny_llama(tiny_tokenizer(), path, seed, key_value_heads=2)


def save_tiny_llama(tokenizer, path: Path, seed: int, *, key_value_heads: int) -> Path:
    """Save a tokenizer and a two-layer Llama of random weights for it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=key_value_heads,
        max_position_embeddings=2048,
        # Wide weights make logits differ enough that rounding never decides a greedy token.
        initializer_range=0.3,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def save_tiny_adapter(model_dir: Path, folder: Path, **options) -> Path:
    """Save a LoRA adapter whose weights are far from zero, and its merged model in ``merged``."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(model_dir)
    targets = options.pop("target_modules", ["q_proj", "down_proj"])
    wanted = LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM", **options)
    model = get_peft_model(base, wanted)
    noise = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = 0.3 * torch.randn(weight.shape, generator=noise)
    model.save_pretrained(folder, save_embedding_layers=False)
    model.merge_and_unload().save_pretrained(folder / "merged")
    return folder


def tiny_tokenizer():
    """Byte-level BPE of some hundred tokens with ChatML, ``<s>`` put first."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[BOS, EOS, PAD, "<|im_start|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(SENTENCES, trainer)
    core.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, core.token_to_id(BOS))]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=BOS, eos_token=EOS, pad_token=PAD
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
