"""The contextual encoder's training: one script for one GPU, paced by the clock, and its bundle.

``gather`` makes a file of token ids where the project's data is, ``run`` trains on it where the GPU
is (torch, numpy and safetensors are enough), ``finish`` turns what came back into shared parts.
"""
