"""Floors of storage: packed texts come back, code lengths are sums of -log2 p, tables show both."""

from __future__ import annotations

import json
import lzma
import math
from pathlib import Path

import pytest
import torch
import zstandard
from typer.testing import CliRunner

from harness.cli.main import app
from harness.data.corpus import Corpus
from harness.data.packed import xz_packed, zstd_packed
from harness.errors import CapabilityError, InputError
from harness.llm.catalogue import resolve_model
from harness.llm.local import LocalModel
from harness.llm.open import open_model
from harness.records import Passage
from harness.testing.models import RuleModel
from leaderboards.board import build
from leaderboards.floors import find_floors, floors_line, floors_path
from leaderboards.floors.code_length import END, code_length, sample
from leaderboards.floors.compression import PassagePacker, compression_floors
from leaderboards.floors.file import make_floors
from leaderboards.table import render
from tests.leaderboards.conftest import WriteRun

TEXTS = [
    f"Town {n}\nTown {n} is a town of {n * 37 % 991} people on the river Ilm, by Oster \u2014 its "
    f"mayor since {1900 + n * 7 % 120} is Mara Quint the {n}th.".encode()
    for n in range(400)
]


def corpus_of(texts: list[bytes]) -> Corpus:
    parts = (text.decode().partition("\n") for text in texts)
    return Corpus.from_passages(Passage(f"d{n}", a, b) for n, (a, _, b) in enumerate(parts))


def test_what_was_packed_comes_back_and_is_what_is_counted() -> None:
    packer = PassagePacker(TEXTS)
    packed = [packer.pack(text) for text in TEXTS]
    assert [packer.unpack(one) for one in packed] == TEXTS
    whole = b"\n\n".join(TEXTS)
    assert zstandard.ZstdDecompressor().decompress(zstd_packed(whole)) == whole
    assert lzma.decompress(xz_packed(whole)) == whole
    text, alone, zstd, xz = compression_floors(TEXTS)
    assert text.bytes_per_1000 == sum(map(len, TEXTS)) / 0.4
    assert alone.bytes_per_1000 == sum(map(len, packed)) / 0.4
    assert alone.shared_bytes == len(packer.dictionary.as_bytes()) > 0
    assert zstd.bytes_per_1000 == len(zstd_packed(whole)) / 0.4
    assert xz.bytes_per_1000 == len(xz_packed(whole)) / 0.4
    assert max(zstd.bytes_per_1000, xz.bytes_per_1000) < alone.bytes_per_1000
    assert alone.bytes_per_1000 < text.bytes_per_1000


def test_too_little_text_has_no_dictionary() -> None:
    assert [floor.name for floor in compression_floors(TEXTS[:3])] == [
        "text", "zstd, all at once", "xz, all at once",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> LocalModel:
    found = open_model(resolve_model(f"path:{tiny_model_dir}"), device="cpu")
    assert isinstance(found, LocalModel)
    return found


def by_hand(model: LocalModel, text: str) -> float:
    """Bits of a text, one token at a time, each read with all before it."""
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    before = list(model.begins) or [model.runtime.start]
    bits = 0.0
    for token in ids:
        with torch.inference_mode():
            logits = model.model(torch.tensor([before])).logits[0, -1].double()
        bits -= math.log2(float(torch.softmax(logits, dim=-1)[token]))
        before.append(token)
    return bits


def test_the_code_length_is_the_sum_over_tokens(model: LocalModel) -> None:
    passages = list(corpus_of(TEXTS[:3]))
    found = code_length(model, passages)
    expected = [by_hand(model, passage.contents + END) for passage in passages]
    assert found.bits == pytest.approx(expected, rel=1e-5)
    assert found.mean == pytest.approx(sum(expected) / 3, rel=1e-5)
    spread = math.sqrt(sum((bits - found.mean) ** 2 for bits in found.bits) / 2)
    assert found.half_width == pytest.approx(1.96 * spread / math.sqrt(3))
    assert found.left_out == 0
    # A uniform guess would take log2 of the vocabulary for each token.
    assert all(bits > 0 for bits in found.bits)


def test_a_passage_too_long_for_the_window_is_left_out_and_counted(model: LocalModel) -> None:
    long = Passage("long", "Long", "word " * (model.window or 0))
    found = code_length(model, [long, *corpus_of(TEXTS[:2])])
    assert (len(found.bits), found.left_out) == (2, 1)
    with pytest.raises(InputError, match="no passage of the sample fits"):
        code_length(model, [long])


def test_a_server_or_a_model_without_log_probabilities_is_refused() -> None:
    server = RuleModel()
    server.concurrency = 4
    with pytest.raises(CapabilityError, match="takes a local transformers model"):
        code_length(server, list(corpus_of(TEXTS[:1])))


def test_floors_are_computed_once_and_a_larger_sample_holds_a_smaller(tmp_path: Path) -> None:
    corpus, opened = corpus_of(TEXTS), []

    def open_rules() -> RuleModel:
        opened.append(1)
        return RuleModel()

    for _ in range(2):
        made = make_floors(
            tmp_path, corpus, model={"name": "rules"}, open_model=open_rules, passages=8
        )
    assert len(opened) == 1
    assert [one.passages for one in made.coded] == [8]
    assert len(list(find_floors(tmp_path, corpus.fingerprint))) == 5
    make_floors(tmp_path, corpus, model={"name": "other"}, open_model=open_rules, passages=4)
    assert len(find_floors(tmp_path, corpus.fingerprint)) == 6
    assert sample(corpus, 8)[:4] == sample(corpus, 4)
    path = floors_path(tmp_path, corpus.fingerprint)
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "documents": 4}))
    with pytest.raises(InputError, match=r"changed since it was computed; delete it and run"):
        find_floors(tmp_path, corpus.fingerprint)
    del values["seal"]
    path.write_text(json.dumps(values))
    assert len(find_floors(tmp_path, corpus.fingerprint)) == 6, "as an earlier release wrote it"


def test_a_task_table_tells_the_floors_of_its_corpus(write_run: WriteRun, tmp_path: Path) -> None:
    write_run()
    runs, corpus = tmp_path / "runs", "nqc" * 20
    assert build(runs).tables[0].floors == ()
    path = floors_path(runs, corpus)
    path.parent.mkdir()
    coded = {"model": "tiny", "settings": {}, "passages": 8, "bits": 607.2, "half_width": 9.0}
    content = {
        "corpus_fingerprint": corpus,
        "documents": 5000,
        "packed": [{"name": "text", "bytes_per_1000": 553190.6}],
        "coded": [coded | {"asked": 8}],
    }
    path.write_text(json.dumps(content))
    table = build(runs).tables[0]
    assert [floor.mb_per_1000 for floor in table.floors] == pytest.approx([0.5531906, 0.0759])
    (line,) = floors_line(table.floors)
    assert line == (
        "Storage floors, MB per 1,000 documents: text 0.553; code of tiny 0.0759 (607 "
        "bits a passage \u00b1 9, n = 8; lossless, the model not counted)."
    )
    assert f"- {line}" in render(runs)
    path.write_text(json.dumps(content | {"documents": 0}))
    with pytest.raises(InputError, match=r"documents: .*delete it and run"):
        find_floors(runs, corpus)
    path.write_text(json.dumps(content | {"corpus_fingerprint": "x"}))
    (table,) = build(runs).tables  # told, and blocks no table
    assert table.floors == ()
    assert any("No storage floors" in n and "of another corpus" in n for n in table.notes)


def test_the_command_computes_and_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.llm.open.open_model", lambda *_, **__: RuleModel(name="smollm2"))
    monkeypatch.setattr("harness.meters.hardware.set_torch_threads", lambda: None)
    question = {"id": "q", "question": "Who?", "golden_answers": ["Mara Quint"]}
    (tmp_path / "questions.jsonl").write_text(json.dumps(question))
    rows = [{"id": f"d{n}", "contents": text.decode()} for n, text in enumerate(TEXTS)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = [f"--{kind}={tmp_path / f'{kind}.jsonl'}" for kind in ("questions", "corpus")]
    asked = ["floors", "--task", "mine", *files, "--out", str(tmp_path / "runs")]
    done = CliRunner().invoke(app, [*asked, "--model", "smollm2-135m-instruct", "--passages", "4"])
    assert done.exit_code == 0, done.output
    corpus = Corpus.open(tmp_path / "corpus.jsonl")
    found = find_floors(tmp_path / "runs", corpus.fingerprint)
    assert [floor.name for floor in found][-1] == "code of smollm2"
    assert done.stdout == "\n".join(floors_line(found)) + "\n"
    content = json.loads(floors_path(tmp_path / "runs", corpus.fingerprint).read_text())
    assert content["documents"] == len(TEXTS)
    assert content["coded"][0]["settings"]["weights_sha256"]
    # Without a model what is known stays.
    assert CliRunner().invoke(app, asked).stdout == done.stdout


def test_a_fingerprint_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    assert find_floors(tmp_path / "runs", "../../secret") == ()
