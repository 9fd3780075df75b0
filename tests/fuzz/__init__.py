"""Fuzzing of every reader: what is broken, or means harm, is read or refused in one line.

    python -m tests.fuzz [READER ...] --cases 20000

``mutations`` damages small seeds, ``rule`` says what a reader may do, ``readers`` lists them.
A case that broke the rule is kept in ``seeds/READER/`` and read by every run of the tests.
"""
