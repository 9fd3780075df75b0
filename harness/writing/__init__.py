"""Writing: a memory that is written with the model's help asks everything once, whatever kills it.

``journal`` keeps on disk what was asked and replied, ``stored`` says how; ``under_way`` is what a
method's ``write`` stands on.
"""
