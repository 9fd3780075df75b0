"""Formats that people's data come in: read as passages and questions, written as a task folder."""

FORMATS: dict[str, str] = {
    "beir": "harness.formats.beir:Beir",
    "dpr": "harness.formats.dpr:DPR",
    "hotpotqa": "harness.formats.hotpotqa:HotpotQA",
    "musique": "harness.formats.musique:MuSiQue",
    "2wikimultihopqa": "harness.formats.two_wiki:TwoWikiMultiHopQA",
    "squad": "harness.formats.squad:SQuAD",
    "hipporag": "harness.formats.hipporag:HippoRAG",
    "table": "harness.formats.table:Table",
    "texts": "harness.formats.texts:Texts",
}
"""Format -> ``module:Class``, a subclass of ``harness.formats.base.Format``; imported when used."""
