"""One batch of generation whose answers do not depend on who else is in the batch.

Padding and batch size change float32 logits in about the fifth decimal. That flips a token only
where the two best ones are nearly tied, so such answers are decided again alone, unpadded: the
answer is then always the one that the prompt gets by itself. Probabilities that are watched would
differ in every batch, and methods compare them, so such requests go alone from the start. Soft
prompts share batches with text, whose embeddings are what the model makes of its tokens anyway.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError
from harness.llm.batches import length_sorted_batches
from harness.llm.halving import halving
from harness.llm.prefix import NO_PREFIX, SharedPrefix
from harness.llm.read_before import held, keep, left_to_read, longest
from harness.llm.requests import GenerateRequest, Reply, TokenChoice
from harness.llm.runtime import Runtime
from harness.llm.thoughts import part

if TYPE_CHECKING:
    import torch

    from harness.llm.hooks import StopAtStrings
    from harness.llm.thinking import Progress

# Far above twice the largest change that batching and prefix sharing made to a logit (3e-5 with
# SmolLM2-135M; test_invariance measures it), and rare: it replayed 1 of 64 NQ answers.
TIE = 2e-3


def generate_all(
    runtime: Runtime, requests: Sequence[GenerateRequest]
) -> Iterator[tuple[int, Reply]]:
    """Continue each request's prompt, in length-sorted batches, longest first."""
    from harness.llm.apart import apart
    from harness.llm.decoding import read_shared

    prompts = [runtime.encode(request.prompt) for request in requests]
    for (_, room, watch, _), indices in _kinds(runtime, requests).items():
        given = requests[indices[0]].prefix
        if given is not None:
            given.check(runtime.model, runtime.name)
        alone = runtime.exact and bool(watch)
        own_beginnings = alone or given is not None
        texts = [i for i in indices if not (own_beginnings or requests[i].soft_prompts)]
        prefix = read_shared(runtime, [prompts[i] for i in texts])
        run = partial(_generate_batch, runtime, prompts, requests, prefix)
        trained, once = given.trained if given is not None else 0, prefix
        if given is not None:
            theirs = [longest(runtime, prefix, prompts[i], requests[i]) for i in indices]
            once = apart(runtime.model, theirs)
        beside = [0 if r.soft_prompts and given is None else once.length for r in requests]
        own = [
            range(_length(prompt, request) + trained - less + room)
            for prompt, request, less in zip(prompts, requests, beside, strict=True)
        ]
        held = length_sorted_batches(
            indices, own, runtime.batch_size, runtime.held_tokens, runtime.batch_pairs
        )
        for batch in ([i] for i in indices) if alone else held:
            # Rows after the same prefix are read together.
            batch.sort(key=lambda i: bool(requests[i].soft_prompts))
            limit = runtime.limit("generate", (len(own[i]) + requests[i].max_tokens for i in batch))
            yield from zip(batch, halving(run, batch, limit), strict=True)


def _kinds(
    runtime: Runtime, requests: Sequence[GenerateRequest]
) -> dict[tuple[int, int, tuple[str, ...], int], list[int]]:
    """Indices of what may share a batch: as many tokens, the same watched, after one prefix."""
    kinds: dict[tuple[int, int, tuple[str, ...], int], list[int]] = {}
    for index, request in enumerate(requests):
        room = _room(runtime, request)
        kind = (request.max_tokens, room, request.watch, id(request.prefix))
        kinds.setdefault(kind, []).append(index)
    return kinds


def _generate_batch(
    runtime: Runtime,
    prompts: Sequence[list[int]],
    requests: Sequence[GenerateRequest],
    prefix: SharedPrefix,
    batch: Sequence[int],
) -> list[Reply]:
    """Replies to a batch of indices whose requests write as much and watch the same tokens."""
    mine = [prompts[i] for i in batch], [requests[i] for i in batch]
    prefixes = [longest(runtime, prefix, prompts[i], requests[i]) for i in batch]
    replies, leads = _decode(runtime, *mine, prefixes)
    alone = len(batch) == 1 and not prefixes[0].ids
    for row, lead in enumerate(leads):
        if runtime.exact and not alone and lead < TIE:
            runtime.replays.count += 1
            # What is to be kept of its prompt was kept at the first reading.
            again = dataclasses.replace(mine[1][row], keep_for=None)
            trained = NO_PREFIX if again.prefix is None else again.prefix.first(0)
            replies[row] = _decode(runtime, [mine[0][row]], [again], [trained])[0][0]
    return replies


def _decode(
    runtime: Runtime,
    prompts: list[list[int]],
    requests: Sequence[GenerateRequest],
    prefixes: Sequence[SharedPrefix] = (),
) -> tuple[list[Reply], list[float]]:
    """Replies and, per row, the smallest lead of the chosen token over the next one."""
    from harness.llm.hooks import GumbelSampler, LeadWatch, StopAtStrings, TokenWatch
    from harness.llm.kvcache import plain_layers
    from harness.llm.thinking import ForcedEndings

    watched = requests[0].watch
    seen = TokenWatch([_token_id(runtime, text) for text in watched])
    eos, lines = _eos_ids(runtime), [request.one_line for request in requests]
    progress = [_progress(runtime, *row) for row in zip(prompts, requests, strict=True)]
    stops, most = [request.stop for request in requests], requests[0].max_tokens
    stop = StopAtStrings(runtime.tokenizer, stops, eos, lines, progress, most)
    leads = LeadWatch()
    rest = [GumbelSampler(requests, runtime.device), ForcedEndings(progress), leads]
    write = _write if plain_layers(runtime.model.config) else _write_by_transformers
    processors = [seen, *rest] if watched else rest
    before = prefixes or [NO_PREFIX] * len(prompts)
    output = write(runtime, prompts, requests, before, processors, stop)
    seen.chosen(output)
    replies, lengths = [], []
    for row, request in enumerate(requests):
        tokens = _until_end(output[row].tolist(), eos, stop.ended_at[row])
        start = progress[row].begin(len(tokens))
        thoughts, text = _texts(runtime, tokens, start, eos, progress[row], special=bool(watched))
        step = partial(seen.step, row)
        choices = _choices(runtime, tokens, start, watched, step)
        known = held(runtime, prompts[row], request)
        moment = stop.moments[min(start, len(stop.moments) - 1)]
        answer = Reply(
            request.cut(text),
            _length(prompts[row], request) - known,
            len(tokens),
            choices,
            thoughts,
            stop.cut_off[row],
            request.stopped_by(text),
            moment,
            known + (request.prefix.trained if request.prefix is not None else 0),
        )
        replies.append(answer)
        lengths.append(len(tokens))
    return replies, [leads.smallest(row, length) for row, length in enumerate(lengths)]


def _room(runtime: Runtime, request: GenerateRequest) -> int:
    """Tokens that a model may write before its answer: it thinks where a chat asks for a reply."""
    prompt = request.prompt
    asks = not isinstance(prompt, str) and prompt[-1].role != "assistant"
    return runtime.thinking.room if runtime.thinking is not None and asks else 0


def _progress(runtime: Runtime, prompt: list[int], request: GenerateRequest) -> Progress:
    from harness.llm.thinking import Progress, opens_thoughts

    if not _room(runtime, request):
        return Progress(runtime.tokenizer, None, opened=False)
    opened = opens_thoughts(runtime.tokenizer, prompt)
    return Progress(runtime.tokenizer, runtime.thinking, opened)


def _token_id(runtime: Runtime, text: str) -> int:
    found = runtime.token_id(text)
    if found is None:
        raise ConfigError(f"{text!r} is not one token of '{runtime.name}', so it cannot be watched")
    return found


def _texts(
    runtime: Runtime,
    tokens: list[int],
    start: int,
    eos: set[int],
    progress: Progress,
    *,
    special: bool,
) -> tuple[str, str]:
    """The thoughts, and the answer that begins at token ``start``; tags may be special tokens."""
    if tokens and tokens[-1] in eos and (special or progress.is_thinking):
        tokens = tokens[:-1]
    before = runtime.tokenizer.decode(tokens[:start]) if start else ""
    answer = runtime.tokenizer.decode(tokens[start:], skip_special_tokens=not special)
    return part(before + answer, opened=progress.opened)


def _choices(
    runtime: Runtime,
    tokens: list[int],
    start: int,
    watched: Sequence[str],
    step: Callable[[int], tuple[float, list[float]]],
) -> tuple[TokenChoice, ...]:
    choices = []
    for place, token in enumerate(tokens[start:] if watched else (), start):
        logprob, probs = step(place)
        text = runtime.tokenizer.decode([token])
        choices.append(TokenChoice(text, logprob, dict(zip(watched, probs, strict=True))))
    return tuple(choices)


def _write(
    runtime: Runtime,
    prompts: list[list[int]],
    requests: Sequence[GenerateRequest],
    prefixes: Sequence[SharedPrefix],
    processors: Sequence[Any],
    stop: StopAtStrings,
) -> torch.Tensor:
    """Token ids [rows, at most ``max_tokens``] written after the prompts."""
    import torch

    from harness.llm.apart import apart, beginning_apart
    from harness.llm.decoding import Decoder

    most = requests[0].max_tokens + _room(runtime, requests[0])
    given = requests[0].prefix is not None
    beginning = apart(runtime.model, prefixes) if given else NO_PREFIX
    attention = beginning_apart(runtime.model) if beginning.length else nullcontext()
    with torch.inference_mode(), attention:
        rows = left_to_read(runtime, prompts, requests, prefixes)
        decoder = Decoder(runtime, rows, prefixes, most, beginning)
        for row, (prompt, request) in enumerate(zip(prompts, requests, strict=True)):
            keep(runtime, prompt, request, partial(decoder.row_layers, row))
        return decoder.write(most, processors, stop.ended)


def _write_by_transformers(
    runtime: Runtime,
    prompts: list[list[int]],
    requests: Sequence[GenerateRequest],
    prefixes: Sequence[SharedPrefix],
    processors: Sequence[Any],
    stop: StopAtStrings,
) -> torch.Tensor:
    """The same by ``model.generate``, for models whose memory is not keys and values alone."""
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    embed = runtime.model.get_input_embeddings()
    inputs = left_to_read(runtime, prompts, requests, prefixes)
    rows = [embed(row) if row.dim() == 1 else row for row in inputs]
    longest = max(map(len, rows))
    embeds = torch.zeros(len(rows), longest, rows[0].shape[1], dtype=rows[0].dtype)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    embeds, mask = embeds.to(runtime.device), mask.to(runtime.device)
    for index, row in enumerate(rows):
        embeds[index, longest - len(row) :] = row
        mask[index, longest - len(row) :] = 1
    with torch.inference_mode():
        output: torch.Tensor = runtime.model.generate(
            inputs_embeds=embeds,
            attention_mask=mask,
            max_new_tokens=requests[0].max_tokens + _room(runtime, requests[0]),
            do_sample=False,
            pad_token_id=runtime.tokenizer.pad_token_id,
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=StoppingCriteriaList([stop]),
        )
    return output


def _eos_ids(runtime: Runtime) -> set[int]:
    eos = runtime.model.generation_config.eos_token_id
    ids = eos if isinstance(eos, list) else [eos]
    return {token for token in ids if token is not None}


def _until_end(tokens: list[int], eos: set[int], ended_at: int | None) -> list[int]:
    """The row's own tokens: up to its end token (included) or to where a stop string ended it."""
    if ended_at is not None:
        tokens = tokens[:ended_at]
    for position, token in enumerate(tokens):
        if token in eos:
            return tokens[: position + 1]
    return tokens


def _length(prompt: list[int], request: GenerateRequest) -> int:
    return len(prompt) + request.vectors
