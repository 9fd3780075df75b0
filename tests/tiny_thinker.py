"""A tiny reasoning model: trained for a few seconds to think between tags before it answers."""

from __future__ import annotations

from pathlib import Path

from tests.tiny import CHAT_TEMPLATE, build_tiny_model

OPENING, CLOSING = "<think>", "</think>"
TURN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
SWITCHED = (
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}"
)
TEMPLATES = {
    # The model itself opens its thoughts, unless the template has ended them (Qwen3).
    "switch": CHAT_TEMPLATE.replace(TURN, TURN + SWITCHED),
    # The prompt opens them (DeepSeek-R1).
    "opened": CHAT_TEMPLATE.replace(TURN, TURN + "{{ '<think>\n' }}"),
}
LESSONS = {
    "Who wrote Hamlet?": ("The play about the prince\nof Denmark.", "William Shakespeare\nHamlet"),
    "The capital of France?": ("France, Seine.\nA city.", "Paris\nis a city on the river Seine"),
    "Which river is longer?": ("Nile or Amazon?\n" * 4 + "The Nile.", "the Nile"),
}
"""Question: thoughts and answer. Both have several lines, and thoughts hold stop strings."""


def build_tiny_thinkers(folder: Path) -> dict[str, Path]:
    """Save the tiny model, trained to think, once with each of TEMPLATES."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    build_tiny_model(folder / "plain")
    tokenizer = AutoTokenizer.from_pretrained(folder / "plain")
    # As Qwen3 and DeepSeek-R1 have them: tokens of their own, but not special.
    tokenizer.add_tokens([OPENING, CLOSING])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_pretrained(folder / "plain")
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        _train(model, tokenizer)
    for name, template in TEMPLATES.items():
        tokenizer.chat_template = template
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return {name: folder / name for name in TEMPLATES}


def asked(question: str) -> list[dict[str, str]]:
    """The chat that a lesson begins with."""
    return [{"role": "user", "content": question}]


def _train(model, tokenizer, steps: int = 150) -> None:
    import torch

    rows = [row for lesson in LESSONS.items() for row in _rows(tokenizer, *lesson)]
    longest = max(len(prompt + reply) for prompt, reply in rows)
    ids = torch.full((len(rows), longest), tokenizer.pad_token_id)
    labels = torch.full((len(rows), longest), -100)
    for n, (prompt, reply) in enumerate(rows):
        ids[n, : len(prompt + reply)] = torch.tensor(prompt + reply)
        labels[n, len(prompt) : len(prompt + reply)] = torch.tensor(reply)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(steps):
        loss = model(ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05, f"the tiny model did not learn its lessons (loss {loss:.2f})"


def _rows(tokenizer, question: str, lesson: tuple[str, str]):
    """Prompts and replies, as ids: whole thoughts, none, and some that were ended by force."""

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    thoughts, answer = lesson
    turn = tokenizer.apply_chat_template(
        asked(question), add_generation_prompt=True, tokenize=False
    )
    end = tokenizer.eos_token
    opened = f"{turn}{OPENING}\n"
    yield ids(turn), ids(f"{OPENING}\n{thoughts}\n{CLOSING}\n\n{answer}{end}")
    yield ids(opened), ids(f"{thoughts}\n{CLOSING}\n\n{answer}{end}")
    yield ids(f"{opened}\n{CLOSING}\n\n"), ids(f"{answer}{end}")
    for length in (-1, 1, 2, 4, 6):
        begun = ids(opened + thoughts)[: len(ids(opened)) + length]
        yield [*begun, *ids(f"\n{CLOSING}\n\n")], ids(f"{answer}{end}")
