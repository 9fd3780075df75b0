"""Prompts of study: how a question is put, in training and when it is answered."""

from __future__ import annotations

from harness.prompts import Demonstration, Prompt


def closed_book(question: str, demonstrations: tuple[Demonstration, ...] = ()) -> Prompt:
    """The prompt that is trained and asked: the question alone, which is soonest studied."""
    return Prompt(f"Question: {question}", demonstrations=demonstrations)
