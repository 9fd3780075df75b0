"""Tokenizers as families of models have them, trained on a few sentences, with tiny models."""

from __future__ import annotations

from pathlib import Path

from tests.tiny import SENTENCES, save_tiny_llama

BOS, EOS, UNK = "<s>", "</s>", "<unk>"
WORDS = (*SENTENCES, "Yes No", "12 15")
# Mistral's: no special token before a reply, but a space.
CHAT = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] + eos_token }}"
    "{% else %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% endif %}{% endfor %}"
)


def build_spaced(path: Path) -> Path:
    """A model whose tokenizer.json puts a space before every text, as Mistral's and Llama 2's."""
    return save_tiny_llama(_spaced(f"{BOS} $A"), path, 0, key_value_heads=2)


def build_ending(path: Path) -> Path:
    """The same model; the tokenizer also puts an end token after every text."""
    return save_tiny_llama(_spaced(f"{BOS} $A {EOS}"), path, 0, key_value_heads=2)


def save_sentencepiece(folder: Path) -> None:
    """A tokenizer.model and its settings alone, as the checkpoints of Llama 2's time have them."""
    import json

    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS * 3),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=430,
        model_type="bpe",
        byte_fallback=True,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        minloglevel=2,
    )
    (folder / "tokenizer.vocab").unlink()
    special = {"bos_token": BOS, "eos_token": EOS, "unk_token": UNK}
    settings = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _spaced(template: str):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE(unk_token=UNK, byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    core.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    in_bytes = [f"<0x{number:02X}>" for number in range(256)]
    specials = [UNK, BOS, EOS, *in_bytes]
    trainer = BpeTrainer(vocab_size=800, special_tokens=specials, show_progress=False)
    core.train_from_iterator(WORDS, trainer)
    core.pre_tokenizer = None  # as theirs: words are parted by "▁" alone
    core.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1),
        ]
    )
    core.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(t, core.token_to_id(t)) for t in (BOS, EOS)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=BOS, eos_token=EOS, unk_token=UNK
    )
    tokenizer.chat_template = CHAT
    return tokenizer
