"""A world in which a test decides which routes answer which question, and tiny routers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.data.corpus import Corpus
from harness.llm.requests import GenerateRequest, as_text
from harness.prompts import Demonstration, Example, QAPrompts
from harness.records import Passage, Query, Question
from harness.testing.models import RuleModel, WordRetriever
from tests.harness.programs import Opened, open_with

CORPUS = Corpus.from_passages(
    Passage(f"p{n}", word, f"{word} is common") for n, word in enumerate(["red", "blue", "green"])
)
CUES = {"A": "recall", "B": "look", "C": "combine"}
WORDS = ["common", "what", "is", "?", *CUES.values(), *map(str, range(64))]


def question(number: int, route: str = "B", hops: int | None = 1, prefix: str = "t") -> Question:
    """A question whose first word tells its route; the answer is "yes" and its number."""
    text = f"{CUES[route]} what is common {number} ?"
    metadata = {} if hops is None else {"hops": hops}
    return Question(f"{prefix}{number}", text, (f"Yes {number}",), ("p0",), metadata)


def able(correct: Mapping[str, str], **options) -> RuleModel:
    """A model that is right on a question where its letters name the route that was taken.

    With k=1 route B's prompt has one passage and, with hop_k=2, route C's has two.
    """

    def reply(request: GenerateRequest) -> str:
        text = as_text(request.prompt)
        if "step by step" in text:
            return "So the answer is: unread."
        asked = [line for line in text.splitlines() if line.startswith("Question: ")][-1]
        asked = asked.removeprefix("Question: ")
        route = "ABC"[min(text.count("Passage:"), 2)]
        return f"yes {asked.split()[-2]}" if route in correct.get(asked, "") else "wrong"

    return RuleModel(reply, **options)


def engine(method, model=None, examples=(), *, most=None, window=64, seed=0, **lent) -> Opened:
    """An engine over the three passages; ``examples`` are shown as demonstrations."""
    shown = tuple(Example(example, (CORPUS.get("p0"),)) for example in examples)
    demonstrations = tuple(
        Demonstration(f"Question: {e.text}", e.golden_answers[0]) for e in examples
    )
    return open_with(
        method,
        model or RuleModel(),
        WordRetriever(CORPUS, most),
        CORPUS,
        prompts=QAPrompts(demonstrations, shown),
        window=window,
        seed=seed,
        **lent,
    )


def run(machine: Opened, asked):
    """Predictions by question id, in the order of the questions."""
    found = {}
    machine.run(
        [Query(q.id, q.text) for q in asked],
        lambda answered: found.update({answered.question_id: answered.prediction}),
    )
    return {q.id: found[q.id] for q in asked}


def ask(method, model, asked: Question, *, gold=True, **options):
    """One question's prediction."""
    shown = {asked.id: asked} if gold and method.card.oracle else {}
    machine = engine(method, model, gold=shown, **options)
    return run(machine, [asked])[asked.id]


def route_note(prediction) -> dict:
    """What the method noted about its route."""
    (note,) = [dict(step.data) for step in prediction.steps if step.kind == "route"]
    return note


def build_tiny_encoder(folder: Path) -> Path:
    """Save a random BERT of one layer that knows the words of this world."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = _tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]"], "[CLS] $A [SEP]")
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
        # Wide weights and no dropout, so that few steps suffice to learn.
        initializer_range=0.1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_tiny_t5(folder: Path, labels: str = "ABC") -> Path:
    """Save a random T5 of 2 layers whose vocabulary has the given labels."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = _tokenizer(["[PAD]", "[UNK]", "</s>"], "$A </s>", extra=list(labels))
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        dropout_rate=0.0,
        num_heads=2,
        pad_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(special: list[str], template: str, extra: list[str] | None = None):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = [*special, *(extra or []), *WORDS]
    ids = {word: n for n, word in enumerate(vocabulary)}
    core = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    used = [(token, ids[token]) for token in special if token in template]
    core.post_processor = processors.TemplateProcessing(single=template, special_tokens=used)
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    if "</s>" in special:
        named["eos_token"] = "</s>"
    return PreTrainedTokenizerFast(tokenizer_object=core, **named)
