"""The tables of built-in methods and of what they bring, imported when first used."""

METHODS: dict[str, str] = {
    "no-retrieval": "methods.no_retrieval:NoRetrieval",
    "bm25": "methods.bm25:BM25",
    "standard-rag": "methods.standard_rag:StandardRAG",
    "cartridge": "methods.cartridge.method:Cartridge",
    "cartridge-other": "methods.cartridge.method:CartridgeOther",
    "compressor": "methods.compressor.method:Compressor",
    "compressor-shuffled": "methods.compressor.method:CompressorShuffled",
    "full-context": "methods.full_context.method:FullContext",
    "full-context-other": "methods.full_context.controls:FullContextOther",
    "flashrag": "methods.flashrag.method:FlashRAG",
    "graph-ppr": "methods.graph_ppr.method:GraphPPR",
    "graph-ppr-shuffled": "methods.graph_ppr.method:GraphPPRShuffled",
    "hipporag": "methods.hipporag.method:HippoRAG",
    "hipporag-shuffled": "methods.hipporag.method:HippoRAGShuffled",
    "ircot": "methods.ircot.method:IRCoT",
    "corag": "methods.corag.method:CoRAG",
    "corag-prompted": "methods.corag.method:CoRAGPrompted",
    "corag-reworded": "methods.corag.method:CoRAGReworded",
    "adaptive-rag": "methods.adaptive_rag.method:AdaptiveRAG",
    "adaptive-rag-dataset-prior": "methods.adaptive_rag.controls:AdaptiveRAGDatasetPrior",
    "adaptive-rag-llm-router": "methods.adaptive_rag.llm_router:AdaptiveRAGLLMRouter",
    "adaptive-rag-oracle": "methods.adaptive_rag.controls:AdaptiveRAGOracle",
    "lora-in-weights": "methods.lora_in_weights.method:LoraInWeights",
    "lora-in-weights-other": "methods.lora_in_weights.control:LoraInWeightsOther",
    "memory-layer": "methods.memory_layer.method:MemoryLayerMethod",
    "memory-layer-other": "methods.memory_layer.control:MemoryLayerOther",
    "memit": "methods.weight_edits.memit:MEMIT",
    "packed-text": "methods.packed_text.method:PackedText",
    "parametric-qa": "methods.parametric_qa.method:ParametricQA",
    "parametric-qa-bm25": "methods.parametric_qa.controls:ParametricQABM25",
    "parametric-qa-closed-book": "methods.parametric_qa.controls:ParametricQAClosedBook",
    "parametric-qa-gold": "methods.parametric_qa.controls:ParametricQAGold",
    "parametric-qa-shuffled": "methods.parametric_qa.controls:ParametricQAShuffled",
    "prag": "methods.prag.method:PRAG",
    "prag-shuffled": "methods.prag.control:PRAGShuffled",
    "pruned-text": "methods.packed_text.pruned:PrunedText",
    "pruned-text-oracle": "methods.packed_text.pruned:PrunedTextOracle",
    "rome": "methods.weight_edits.rome:ROME",
    "self-rag": "methods.self_rag.method:SelfRAG",
    "self-rag-prompted": "methods.self_rag.prompted:SelfRAGPrompted",
    "token-memory": "methods.parametric_qa.tokens:TokenMemory",
    "xrag": "methods.xrag.method:XRAG",
    "xrag-shuffled": "methods.xrag.control:XRAGShuffled",
}
"""Method -> ``module:Class``."""

COMMANDS: dict[str, str] = {
    "train": "methods.parametric_qa.cli.train:train",
    "train-bridge": "methods.xrag.cli:train_bridge",
    "import-icae": "methods.compressor.cli:import_icae",
    "record-training": "methods.parametric_qa.cli.record:record_training",
    "evaluate-write": "methods.parametric_qa.cli.evaluate_write:evaluate_write",
    "evaluate-encoder": "methods.parametric_qa.cli.evaluate_encoder:evaluate_encoder",
    "evaluate-forgetting": "methods.cli.forgetting:evaluate_forgetting",
    "evaluate-retrieval": "methods.cli.retrieval:evaluate_retrieval",
    "evaluate-update": "methods.cli.update:evaluate_update",
    "map-memories": "methods.parametric_qa.cli.map:map_memories",
}
"""Command -> ``module:function``."""

PREPARATIONS: dict[str, str] = {
    "train": "methods.parametric_qa.cli.prepare:Train",
    "evaluate-write": "methods.parametric_qa.cli.prepare:EvaluateWrite",
}
"""Verb of a board's ``prepare`` -> ``module:Class``, a subclass of boards.preparation.Work."""
