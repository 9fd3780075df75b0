"""The engine: records, contracts, batching, models, retrieval, metrics, meters and runs.

It knows no particular method, task or table; those are found by name through the registry.
"""

__version__ = "0.1.0"
