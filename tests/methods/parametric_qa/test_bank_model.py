"""Any sequence of changes leaves a bank with what a dictionary would hold."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.errors import InputError
from methods.parametric_qa.memory.bank import MemoryBank
from tests.methods.parametric_qa.test_bank import config, numbers

IDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4)
SEEDS = st.integers(0, 10_000)


class BankMachine(RuleBasedStateMachine):
    """The dictionary holds the bytes of each document, in order."""

    @initialize(dtype=st.sampled_from(["float16", "int8"]))
    def create(self, dtype):
        self.folder = Path(tempfile.mkdtemp(prefix="memory-harness-bank-"))
        self.bank = MemoryBank.create(self.folder, config(dtype=dtype))
        self.expected: dict[str, bytes] = {}

    def teardown(self):
        shutil.rmtree(self.folder)

    def change(self, operation, allowed, ids, seed):
        if allowed and len(set(ids)) == len(ids):
            operation(ids, numbers(len(ids), seed))
            self.expected.update(self.written(ids, seed))
            return
        with pytest.raises(InputError):
            operation(ids, numbers(len(ids), seed))

    def written(self, ids, seed):
        """Bytes that documents written alone would have: no other document may influence them."""
        with tempfile.TemporaryDirectory() as folder:
            alone = MemoryBank.create(Path(folder), self.bank.config)
            codes = numbers(len(ids), seed)
            for row, id_ in enumerate(ids):
                part = slice(row, row + 1)
                alone.add([id_], codes[part])
            return {id_: alone.raw(id_) for id_ in ids}

    @rule(ids=IDS, seed=SEEDS)
    def add(self, ids, seed):
        self.change(self.bank.add, not self.expected.keys() & set(ids), ids, seed)

    @rule(ids=IDS, seed=SEEDS)
    def update(self, ids, seed):
        self.change(self.bank.update, set(ids) <= self.expected.keys(), ids, seed)

    @precondition(lambda self: self.expected)
    @rule(data=st.data(), seed=SEEDS)
    def update_known(self, data, seed):
        known = st.sampled_from(list(self.expected))
        self.update(data.draw(st.lists(known, min_size=1, unique=True)), seed)

    @rule(ids=IDS)
    def delete(self, ids):
        if len(set(ids)) < len(ids) or not set(ids) <= self.expected.keys():
            with pytest.raises(InputError):
                self.bank.delete(ids)
            return
        self.bank.delete(ids)
        for id_ in ids:
            del self.expected[id_]

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def delete_known(self, data):
        known = st.sampled_from(list(self.expected))
        self.delete(data.draw(st.lists(known, min_size=1, unique=True)))

    @rule()
    def reopen(self):
        self.bank = MemoryBank.open(self.folder, "model-1")

    @invariant()
    def holds_what_the_dictionary_holds(self):
        assert self.bank.ids == tuple(self.expected)
        assert len(self.bank) == len(self.expected)
        assert {id_: self.bank.raw(id_) for id_ in self.bank.ids} == self.expected
        assert self.bank.nbytes == sum(map(len, self.expected.values()))
        read = [self.bank.codes([])] + [codes for _, codes in self.bank.batches(3)]
        assert torch.equal(torch.cat(read), self.bank.codes())


TestBankMachine = BankMachine.TestCase
TestBankMachine.settings = settings(stateful_step_count=15)
