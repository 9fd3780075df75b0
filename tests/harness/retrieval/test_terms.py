"""Terms of a sparse index: one form of letters, languages with and without spaces."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.boards.method_entry import load_method, parse_params
from harness.errors import ConfigError
from harness.retrieval import languages
from harness.retrieval.bm25 import BM25Retriever
from harness.retrieval.languages import LANGUAGES, spaceless
from harness.retrieval.open import open_retriever, retriever_config
from harness.retrieval.terms import BM25Settings, Tokenizer
from tests.harness.retrieval.helpers import corpus_of

APART, WHOLE = "Beyonce\u0301", "Beyonc\u00e9"
SPACELESS = {  # language: two texts, a question about the second
    "zh": (
        "北京大学位于中国的首都。",
        "长江是亚洲最长的河流。",
        "亚洲最长的河流是什么",
    ),
    "ja": (
        "東京大学は文京区にある。",
        "富士山は日本で一番高い山です。",
        "一番高い山は何ですか",
    ),
    "th": (
        "กรุงเทพเป็นเมืองหลวง",
        "แม่น้ำโขงยาวที่สุด",
        "อะไรคือแม่น้ำที่ยาว",
    ),
}


def ids(retriever: BM25Retriever, query: str) -> list[str]:
    return [passage.id for passage in retriever.search([query], 5)[0]]


@pytest.mark.parametrize("asked", [APART, WHOLE])
def test_an_accent_is_found_however_it_is_encoded(asked: str) -> None:
    corpus = corpus_of("beyonc castle e", f"{APART} sings", f"{WHOLE} sings", "beyond")
    assert ids(BM25Retriever(corpus), asked) == ["p1", "p2"]


def test_accents_are_folded_when_asked_for() -> None:
    corpus = corpus_of(f"{WHOLE} sings", "another text", "Beyonce sings")
    assert ids(BM25Retriever(corpus), "Beyonce") == ["p2"]
    assert ids(BM25Retriever(corpus, BM25Settings(fold_accents=True)), "Beyonce") == ["p0", "p2"]


def test_full_width_letters_are_letters() -> None:
    assert Tokenizer(BM25Settings())("\uff30\uff41\uff52\uff49\uff53 \ufb01lm") == ["pari", "film"]


def test_one_letter_and_one_digit_count_when_asked_for() -> None:
    corpus = corpus_of("vitamin C heals", "vitamin D shines", "vitamin E")
    assert ids(BM25Retriever(corpus), "vitamin D") == ["p2", "p0", "p1"]
    assert ids(BM25Retriever(corpus, BM25Settings(short_terms=True)), "vitamin D")[0] == "p1"


def test_vowel_signs_belong_to_their_word() -> None:
    hindi = "\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e"
    settings = BM25Settings(language="other")
    assert Tokenizer(settings)(hindi) == hindi.split()
    assert len(Tokenizer(BM25Settings(language="hi"))(hindi)) == 2


def test_another_language_has_its_own_stems_and_no_english_stop_words() -> None:
    german = Tokenizer(BM25Settings(language="de"))
    assert german("H\u00e4user") == german("Haus") == ["haus"]
    assert german("will") == ["will"]
    assert Tokenizer(BM25Settings())("will H\u00e4user") == ["h\u00e4user"]
    assert Tokenizer(BM25Settings(language="other"))("running") == ["running"]


@pytest.mark.parametrize("code", [c for c, known in LANGUAGES.items() if known.library is None])
def test_every_language_with_spaces_has_terms(code: str) -> None:
    assert len(Tokenizer(BM25Settings(language=code))("alpha beta")) == 2


@pytest.mark.parametrize("code", SPACELESS)
def test_a_language_without_spaces_is_searched_word_by_word(code: str) -> None:
    *texts, question = SPACELESS[code]
    corpus = corpus_of(*texts)
    assert open_retriever("bm25", corpus).search([question], 5) == [[]]
    retriever = open_retriever("bm25", corpus, settings={"language": code})
    assert ids(retriever, question)[0] == "p1"
    assert LANGUAGES[code].library in retriever.provenance()
    assert spaceless(texts) == code
    apart = unicodedata.normalize("NFKD", question)
    assert ids(retriever, apart) == ids(retriever, question)


def test_one_letter_may_be_a_word_where_words_have_no_spaces() -> None:
    assert "\u738b" in Tokenizer(BM25Settings(language="zh"))("\u8c01\u662f\u738b")


@pytest.mark.parametrize(
    "text", ["", "Paris est une ville", "\u041c\u043e\u0441\u043a\u0432\u0430", "123 !"]
)
def test_words_with_spaces_are_of_no_language_without(text: str) -> None:
    assert spaceless([text]) is None


def test_a_missing_library_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(languages, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"language=zh needs the library rjieba.*\[languages\]"):
        retriever_config("bm25", {"language": "zh"})


def test_an_unknown_language_or_another_languages_stemmer_is_refused() -> None:
    with pytest.raises(ConfigError, match="language: input should be a valid string"):
        retriever_config("bm25", {"language": ["zh"]})
    with pytest.raises(ConfigError, match="unknown language"):
        retriever_config("bm25", {"language": "german"})
    with pytest.raises(ConfigError, match="stemmer 'english' is not that of language 'de'"):
        retriever_config("bm25", {"language": "de", "stemmer": "english"})


def test_norwegian_is_a_language_although_yaml_reads_no() -> None:
    params = parse_params(load_method("bm25"), "bm25", {"language": yaml.safe_load("no")})
    assert params.model_dump(mode="json")["language"] == "no"


def test_what_is_the_default_is_not_in_a_runs_config() -> None:
    before = {
        "kind": "bm25", "k1": 1.2, "b": 0.75, "method": "lucene", "stemmer": "english",
        "stopwords": "en",
    }  # fmt: skip
    assert retriever_config("bm25") == before
    assert retriever_config("bm25", {"language": "en", "short_terms": False}) == before
    assert retriever_config("bm25", ascii_only=False) == {**before, "revision": 2}
    given = retriever_config("bm25", {"language": "de", "fold_accents": True})
    assert given == {
        **before, "language": "de", "fold_accents": True, "stemmer": "german", "stopwords": None
    }  # fmt: skip


def test_an_index_over_more_than_ascii_is_built_anew() -> None:
    plain, accented = corpus_of("red apple"), corpus_of("red \u00e4pple")
    assert plain.is_ascii and not accented.is_ascii
    assert plain.part([0]).is_ascii and not accented.part([0]).is_ascii
    folders = {
        BM25Retriever(plain, settings).folder
        for settings in (
            BM25Settings(),
            BM25Settings(short_terms=True),
            BM25Settings(language="de"),
        )
    }
    assert len(folders) == 3


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_terms_of_ascii_text_are_what_they_were(text: str) -> None:
    settings = BM25Settings(stemmer=None, stopwords=None)
    words = "".join(c if c.isalnum() or c == "_" else " " for c in text.lower()).split()
    assert Tokenizer(settings)(text) == [word for word in words if len(word) > 1]


def test_libraries_of_languages_are_not_imported_unless_named() -> None:
    code = (
        "import sys, harness.method\n"
        "from harness.retrieval.terms import BM25Settings, Tokenizer\n"
        "Tokenizer(BM25Settings())('text')\n"
        "print(any(name in sys.modules for name in ('rjieba', 'janome', 'pythainlp')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
