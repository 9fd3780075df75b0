"""Chains of thought for demonstrations, made from what train questions are annotated with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.prompts import Example, demonstration
from harness.records import Passage
from methods.ircot.passages import SHOWN
from methods.ircot.sentences import split_sentences

_REFERENCE = re.compile(r"#(\d+)")
_WORD = re.compile(r"\w+")
_ASIDE = re.compile(r"\s*[(\[][^()\[\]]*[)\]]")
_PRONOUN = re.compile(r"(It|He|She|They)\b")
_POSSESSIVE = re.compile(r"(Its|His|Her|Their)\b")
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


def resolve(asked: str, answers: Sequence[str]) -> str:
    """A hop question with "#n" replaced by the n-th hop's answer."""

    def answer(match: re.Match[str]) -> str:
        number = int(match.group(1))
        return answers[number - 1] if 1 <= number <= len(answers) else match.group()

    return _REFERENCE.sub(answer, asked)


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


def _hop_facts(example: Example) -> list[str]:
    hops: list[Mapping[str, Any]] = example.question.metadata.get("question_decomposition") or []
    supports = {passage.id: passage for passage in example.passages}
    facts: list[str] = []
    answers: list[str] = []
    for hop in hops:
        asked, answer = resolve(hop["question"], answers), str(hop["answer"])
        answers.append(answer)
        support = supports.get(hop.get("support_doc_id", ""))
        facts.append(
            hop_statement(asked, answer)
            or (_fact(support, [answer]) if support else "")
            or f"{_capital(asked.strip().rstrip('? '))}: {answer}."
        )
    return facts


def _supporting_facts(example: Example) -> list[str]:
    supporting = example.question.metadata.get("supporting_facts") or {}
    passages = {passage.title: passage for passage in example.passages}
    facts = []
    for title, at in zip(supporting.get("title", ()), supporting.get("sent_id", ()), strict=False):
        sentences = split_sentences(passages[title].text) if title in passages else []
        if at < len(sentences):
            facts.append(_standing_alone(sentences[at], title))
    return facts


def _leading_facts(example: Example, answer: str) -> list[str]:
    passages = example.passages[: example.question.metadata.get("hops")]
    titles = [_topic(passage.title) for passage in passages]
    return [
        fact
        for n, passage in enumerate(passages)
        if (fact := _fact(passage, [*titles[n + 1 : n + 2], answer]))
    ]


def _fact(passage: Passage, names: Sequence[str]) -> str:
    """The first sentence that holds the first name that any sentence holds; "" if none does."""
    sentences = split_sentences(passage.text)
    for name in names:
        for sentence in sentences:
            if name.lower() in sentence.lower():
                return _standing_alone(sentence, passage.title)
    return ""


def _standing_alone(sentence: str, title: str) -> str:
    """A sentence without asides that names what its passage is about."""
    topic = _topic(title)
    sentence = _ASIDE.sub("", sentence)
    if not topic or topic.split()[0].lower() in sentence.lower():
        return sentence
    replaced = _PRONOUN.sub(topic, sentence, count=1) if _PRONOUN.match(sentence) else sentence
    if _POSSESSIVE.match(sentence):
        replaced = _POSSESSIVE.sub(f"{topic}'s", sentence, count=1)
    return replaced if replaced != sentence else f"{topic}: {sentence}"


def _topic(title: str) -> str:
    return _ASIDE.sub("", title).strip()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))
