"""Methods with a memory of notes, and a reader of their passages."""

from __future__ import annotations

import json

from harness.llm.requests import as_text
from harness.method import Method, MethodCard
from harness.records import Hit, Prediction, StorageReport


class Notes(Method):
    """Keeps every passage; reads the one whose title the question names."""

    card = MethodCard("Notes", "Keeps passages.")
    most = 1000

    def write(self, corpus, train, folder):
        kept = list(corpus)[-self.most :]
        notes = {passage.title: [passage.id, passage.text] for passage in kept}
        (folder / "notes.json").write_text(json.dumps(notes))

    def load(self, folder):
        self.notes = json.loads((folder / "notes.json").read_text())

    def storage(self):
        return StorageReport({"text": len(json.dumps(self.notes))}, len(self.notes))

    async def answer(self, query):
        title = next((title for title in self.notes if title in query.text), None)
        id_, text = self.notes[title] if title else ["", "nothing"]
        reply = await self.llm.generate(f"Passage: {text}")
        return Prediction(reply.text, [Hit(id_, 1.0)] if id_ else [])


class FullNotes(Notes):
    """Has room for the last twenty passages alone."""

    card = MethodCard("Full notes", "Forgets.")
    most = 8


def last_passage(request) -> str:
    """What a reader says that reads the last passage of its prompt aloud."""
    return ([x for x in as_text(request.prompt).splitlines() if x[:9] == "Passage: "] or ["?"])[-1]
