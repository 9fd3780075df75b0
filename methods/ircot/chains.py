"""Chains of thought for demonstrations, made from what train questions are annotated with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.prompts import Example, demonstration
from harness.records import Passage
from harness.sentences import split_sentences
from methods.decomposition import hops_of, resolve
from methods.ircot.passages import SHOWN

LONGEST_FACT = 40
"""Words; a longer sentence is cut at a comma before."""
_WORD = re.compile(r"\w+")
_ASIDE = re.compile(r"\s*[(\[][^()\[\]]*[)\]]")
_PRONOUN = re.compile(r"^(?:It|He|She|They)\b")
_POSSESSIVE = re.compile(r"^(?:Its|His|Her|Their)\b")
# Relations that are not the name of a thing: "X is located in A", not "the located in of X is A".
_VERBAL = re.compile(
    r"(?:located|educated|owned|founded|distributed|followed|named|licensed|applies|part of|"
    r"member of|capital of|instance of)\b"
)
_VERB = re.compile(r"(?:shares|crosses|follows|contains|has) ")
_ASKED_LAST = re.compile(r"\b(?:who|whom|what|which)\s*\??$", re.IGNORECASE)
_ASKED_THING = re.compile(r"(?:who|what|where) (is|was|are|were) (the .+)", re.IGNORECASE)
_ASKED_DOER = re.compile(r"who (?!is\b|was\b|are\b|were\b|did\b|does\b|do\b)(\w.+)", re.IGNORECASE)


def chain_of_thought(example: Example) -> list[str]:
    """A fact for each hop, then "So the answer is: ...".

    Facts come from hop questions and their answers, else from the supporting sentences, else from
    the sentence of each gold passage that leads on.
    """
    answer = demonstration(example.question, [p.text for p in example.passages]).reply
    facts = _hop_facts(example) or _supporting_facts(example) or _leading_facts(example, answer)
    return [*dict.fromkeys(facts), f"So the answer is: {answer.rstrip('.')}."]


def hop_statement(asked: str, answer: str) -> str | None:
    """A hop question and its answer as a statement; None if no rule turns it into one.

    Questions are English ones or of the form "subject >> relation", as in MuSiQue.
    """
    asked = asked.strip().rstrip("? ")
    subject, relates, relation = (part.strip() for part in asked.partition(">>"))
    if relates and _VERB.match(relation):
        return f"{subject} {relation} {answer}."
    if relates and _VERBAL.match(relation):
        return f"{subject} is {relation} {answer}."
    if relates:
        return f"The {relation} of {subject} is {answer}."
    if last := _ASKED_LAST.search(asked):
        return f"{_capital(asked[: last.start()])}{answer}."
    if thing := _ASKED_THING.fullmatch(asked):
        return f"{_capital(thing.group(2))} {thing.group(1)} {answer}."
    if doer := _ASKED_DOER.fullmatch(asked):
        return f"{answer} {doer.group(1)}."
    return None


def excerpt(passage: Passage, about: str, most: int) -> str:
    """The sentences of a passage closest to ``about``, in order, up to ``most`` words.

    The closest one is always there, whatever its length (up to 350 words).
    """
    sentences = split_sentences(passage.text)
    wanted = _words(about)
    taken: list[int] = []
    length = 0
    for at in sorted(range(len(sentences)), key=lambda at: -len(wanted & _words(sentences[at]))):
        length += len(sentences[at].split())
        if not taken or length <= most:
            taken.append(at)
    kept = " ".join(sentences[at] for at in sorted(taken))
    return " ".join(kept.split()[:SHOWN])


def gold_passages(example: Example) -> tuple[Passage, ...]:
    """One gold passage for each hop; TriviaQA marks several that serve equally."""
    hops = example.question.metadata.get("hops")
    return example.passages[: hops if isinstance(hops, int) and hops > 0 else None]


def _hop_facts(example: Example) -> list[str]:
    supports = {passage.id: passage for passage in example.passages}
    facts: list[str] = []
    answers: list[str] = []
    for hop in hops_of(example.question):
        asked, answer = resolve(str(hop["question"]), answers), str(hop["answer"])
        answers.append(answer)
        support = supports.get(str(hop.get("support_doc_id", "")))
        facts.append(
            hop_statement(asked, answer)
            or (_fact(support, [answer]) if support else "")
            or f"{_capital(asked.strip().rstrip('? '))}: {answer}."
        )
    return facts


def _supporting_facts(example: Example) -> list[str]:
    supporting = example.question.metadata.get("supporting_facts")
    if not isinstance(supporting, Mapping):
        return []
    passages = {passage.title: passage for passage in example.passages}
    facts = []
    for title, at in zip(supporting.get("title", ()), supporting.get("sent_id", ()), strict=False):
        sentences = split_sentences(passages[title].text) if title in passages else []
        if isinstance(at, int) and 0 <= at < len(sentences):
            facts.append(_clipped(_standing_alone(sentences[at], title)))
    return facts


def _leading_facts(example: Example, answer: str) -> list[str]:
    """From each gold passage what it says about the next one's topic, else about the answer."""
    passages = gold_passages(example)
    topics = [_topic(passage.title) for passage in passages]
    facts = [_fact(p, [*topics[n + 1 : n + 2], answer]) for n, p in enumerate(passages)]
    if not any(facts) and passages:
        closest = excerpt(passages[0], example.question.text, 0)
        facts = [_clipped(_standing_alone(closest, passages[0].title))]
    return [fact for fact in facts if fact]


def _fact(passage: Passage, names: Sequence[str]) -> str:
    """The shortest sentence (fragments last) with the first name that any has; "" without one."""
    facts = [_standing_alone(s, passage.title) for s in split_sentences(passage.text)]
    clipped = sorted(map(_clipped, facts), key=lambda fact: (len(fact.split()) < 6, len(fact)))
    for name in filter(None, names):
        pattern = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
        for fact in clipped:
            if pattern.search(fact):
                return fact
    return ""


def _standing_alone(sentence: str, title: str) -> str:
    """A sentence without asides; what its passage is about takes the place of a pronoun."""
    topic, sentence = _topic(title), _without_asides(sentence)
    shared = _words(topic) & _words(sentence)
    if topic in sentence or any(len(word) > 3 for word in shared):
        return sentence
    sentence = _PRONOUN.sub(lambda _: topic, sentence, count=1)
    return _POSSESSIVE.sub(lambda _: f"{topic}'s", sentence, count=1)


def _clipped(sentence: str) -> str:
    words = sentence.split()
    if len(words) <= LONGEST_FACT:
        return sentence
    cut = " ".join(words[:LONGEST_FACT])
    return f"{cut.rpartition(',')[0] or cut}."


def _topic(title: str) -> str:
    return _without_asides(title).strip()


def _without_asides(text: str) -> str:
    inner = _ASIDE.sub("", text)
    return inner if inner == text else _without_asides(inner)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))
