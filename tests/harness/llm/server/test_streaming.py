"""Streaming: replies that come as streams while time is taken, and servers that send none."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter, sleep

import pytest

from harness.llm.requests import GenerateRequest, Reply
from harness.llm.server.events import events
from harness.llm.server.model import ServerModel
from harness.llm.thoughts import TAGS, answer_at, part
from tests.harness.llm.server.asking import ask, opened, paris
from tests.stub import FAULTS, REFUSAL, Lasting, Once, Streams, Stub, Words

ODD = {
    "well": Streams(),
    "without usage": Streams(says=("finish", "done")),
    "usage in the last piece": Streams(usage_apart=False),
    "without an end": Streams(says=("finish", "usage")),
    "without a reason to finish": Streams(says=("usage", "done")),
    "comments": Streams(comments=True),
    "CRLF": Streams(end_of_line="\r\n"),
    "CR": Streams(end_of_line="\r", comments=True),
    "cut anywhere": Streams(size=5, end_of_line="\r\n"),
    "all at once": Streams(size=10**6),
}
"""Streams that are understood."""


def streamed(model: ServerModel, *requests: GenerateRequest | str) -> list[Reply]:
    """The replies, asked for as streams."""
    with model.streaming():
        return ask(model, *requests)


def known(reply: Reply, name: str) -> Reply:
    """A reply without what a stream of this name leaves out."""
    if name == "without usage":
        return replace(reply, prompt_tokens=None, completion_tokens=None)
    return replace(reply, cut_off=False) if name == "without a reason to finish" else reply


@pytest.mark.parametrize("style", ["chat", "completion"])
@pytest.mark.parametrize("name", ODD)
def test_a_stream_says_what_a_whole_reply_says(name, style):
    text = "«Paris» — déjà 巴黎 🗼\u2028is it\nand more"
    requests = (
        GenerateRequest("p"),
        GenerateRequest("q", 3),
        GenerateRequest("r", stop=("déjà",)),
        GenerateRequest("s", one_line=True),
    )
    with Stub(Words(lambda _: text), streams=lambda _: ODD[name]) as stub:
        model = opened(stub, prompt_style=style)
        whole, came = ask(model, *requests), streamed(model, *requests)
        assert model.streamed == "all replies"
        assert model.provenance()["token_counts"] == "server"
    assert came == [known(reply, name) for reply in whole]
    assert [reply.stop for reply in came] == [reply.stop for reply in whole]
    assert all(reply.first_token is not None for reply in came)
    assert all(reply.first_token is None for reply in whole)


@pytest.mark.parametrize("where", [None, "tags", "reasoning_content", "reasoning"])
def test_the_moment_is_that_of_the_first_token_of_the_answer(where):
    # Of thoughts in tags, which are words of the text, all come in one go with the answer's first.
    streams = Streams(before=0.03, between=0.06)
    waited = 0.03 if where in (None, "tags") else 0.09
    thoughts = {"thoughts": "Hm. Paris?", "thoughts_in": where} if where else {}
    with Stub(Words(paris), streams=lambda _: streams, **thoughts) as stub:
        model = opened(stub, thinking="on" if where else None)
        for _ in range(3):  # a busy machine may see two pieces at once
            start = perf_counter()
            (reply,) = streamed(model, "p")
            after = perf_counter() - reply.first_token
            assert (reply.text, reply.thoughts) == ("Paris is it", "Hm. Paris?" if where else "")
            assert reply.first_token - start >= waited
            if after >= 0.05:
                break
    assert after >= 0.05


def test_content_in_parts_and_an_empty_reply():
    with Stub(Words(paris), parts=True) as stub:
        model = opened(stub)
        assert streamed(model, "p") == ask(model, "p")
    with Stub(Words(lambda _: "")) as stub:
        model = opened(stub)
        start = perf_counter()
        (reply,) = streamed(model, "p")
        # As of a local model that ends at once: when it was known that there is nothing.
        assert reply.text == ""
        assert reply.first_token > start


def test_watched_tokens_are_told_as_in_a_whole_reply():
    mind = Words(lambda _: "yes it is", lambda text, word: 0.5 if word == "yes" else 0.25)
    for style in ("chat", "completion"):
        with Stub(mind) as stub:
            model = opened(stub, prompt_style=style)
            request = GenerateRequest("p", 8, watch=("yes", " it"))
            (whole,), (came,) = ask(model, request), streamed(model, request)
        assert len(came.choices) == 3
        assert came == whole


def test_only_while_time_is_taken():
    with Stub(Words(paris)) as stub:
        model = opened(stub)
        ask(model, "p")
        streamed(model, "p")
        ask(model, "p")
        plain, timed, again = stub.bodies()
    assert plain == again == {k: v for k, v in timed.items() if not k.startswith("stream")}
    assert (timed["stream"], timed["stream_options"]) == (True, {"include_usage": True})


def test_a_connection_is_used_again_after_a_stream():
    with Stub(Words(paris)) as stub:
        model = opened(stub)
        ask(model, "p")
        met = stub.connections
        for _ in range(3):
            streamed(model, "p")
            sleep(0.02)  # as much as a method takes from one question to the next
        assert stub.connections == met


def test_what_a_server_refuses_of_a_stream_is_left_out():
    with Stub(Words(paris), refuses=["stream_options"]) as stub:
        model = opened(stub)
        first, second = (streamed(model, "p")[0] for _ in range(2))
        assert first.text == second.text == "Paris is it"
        assert first.first_token is not None
        assert model.streamed == "all replies"
        assert ["stream_options" in body for body in stub.bodies()] == [True, False, False]
        assert "adapted" not in model.provenance()


@pytest.mark.parametrize("how", ["refuses", "refuses without a word", "ignores"])
def test_whole_replies_where_there_are_no_streams(how):
    stub = Stub(Words(paris))
    if how == "ignores":
        stub.streams = lambda _: None
    elif how == "refuses":
        stub.refuses = ["stream"]
    else:
        stub.faults = lambda asked: REFUSAL if "stream" in asked.body else None
    with stub:
        model = opened(stub)
        first, second = (streamed(model, "p")[0] for _ in range(2))
        assert first == second == ask(model, "p")[0]
        assert first.first_token is second.first_token is None
        assert model.streamed.startswith("none of the replies; whole ones for ")
        assert ("JSON" if how == "ignores" else "refusal") in model.streamed
        # It is known from the first question on.
        assert ["stream" in body for body in stub.bodies()][-2:] == [False, False]
        assert model.retries == 0


BROKEN = {
    "lost": Streams(most=3),
    "error": Streams(most=2, then='data: {"error": {"message": "out of memory"}}\n\n'),
    "error event": Streams(most=2, then='event: error\ndata: {"message": "no more"}\n\n'),
    "error of llama.cpp": Streams(most=2, then='error: {"code": 500, "message": "slot"}\n\n'),
    "error of vLLM": Streams(most=1, then='data: {"object": "error", "message": "x"}\n\n'),
    "half a document": Streams(most=2, then='data: {"choices": [\n\n'),
    "odd shapes": Streams(most=0, then='data: {"choices": [7]}\n\n'),
    "no end": Streams(most=2, then="\n"),
    "nothing": Streams(most=0, then="\n"),
    "a page": Streams(most=0, then="<html>Bad gateway</html>"),
    "given up": Streams(
        most=2,
        then='data: {"choices": [{"delta": {}, "finish_reason": "abort"}]}\n\ndata: [DONE]\n\n',
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_breaks_is_asked_again(name):
    broken = lambda asked: BROKEN[name] if asked.before == 0 else Streams()  # noqa: E731
    with Stub(Words(paris), streams=broken) as stub:
        model = opened(stub)
        (reply,) = streamed(model, "p")
        assert (reply.text, model.retries, model.streamed) == ("Paris is it", 1, "all replies")
        assert reply.first_token is not None


def test_streams_that_always_break_give_way_to_whole_replies():
    with Stub(Words(paris), streams=lambda _: BROKEN["lost"]) as stub:
        model = opened(stub)
        assert [reply.text for reply in streamed(model, "p", "q")] == ["Paris is it"] * 2
        asked = len(stub.asked)
        assert streamed(model, "r")[0].text == "Paris is it"
        assert len(stub.asked) == asked + 1
        assert model.streamed.startswith("none of the replies; whole ones for connection lost")


def test_a_crowded_server_is_asked_for_streams_again():
    with Stub(Words(paris), faults=Once([FAULTS["503"]] * 2)) as stub:
        model = opened(stub)
        with model.streaming():
            (first,) = ask(model, "p")
            (second,) = ask(model, "p")
        assert (first.first_token, first.text) == (None, second.text)
        assert second.first_token is not None
        assert model.streamed == "1 of 2 replies; whole ones for HTTP 503: overloaded"


def test_what_is_refused_in_whole_replies_too_says_nothing_of_streams():
    refused = Lasting(REFUSAL, texts=["bad"])
    with Stub(Words(paris), faults=refused) as stub:
        model = opened(stub)
        for _ in range(2):
            with pytest.raises(Exception, match="request refused"):
                streamed(model, "bad")
            assert streamed(model, "p")[0].first_token is not None
        # Once streams have come, a refusal is believed.
        assert sum(asked.text == "bad" for asked in stub.asked) == 3 + 1


def test_lines_that_keep_a_connection_alive_do_so_for_a_while_only():
    streams = Streams(before=0.3, between=0.3, comments=True)
    with Stub(Words(paris), streams=lambda asked: streams if asked.before == 0 else Streams()) as s:
        model = opened(s, timeout=0.4)
        (reply,) = streamed(model, "p")
        assert (reply.text, model.retries) == ("Paris is it", 1)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_events_are_the_same_however_they_are_cut(end):
    texts = ["{}", "déjà 巴黎 🗼\u2028\x0b is : it", " : x", "[DONE]"]
    lines = "".join(f": hm{end}id: 7{end}data: {each}{end}{end}" for each in texts)
    for whole in (lines.encode(), lines.encode().rstrip(b"\r\n")):
        for size in range(1, 12):
            chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
            assert list(events(chunks)) == [("", each) for each in texts]
    assert list(events([f"event: error{end}data:{end}data:1{end}data{end}{end}".encode()])) == [
        ("error", "\n1\n")
    ]


@pytest.mark.parametrize("tags", TAGS, ids=lambda tags: tags.opening)
@pytest.mark.parametrize("opened_before", [True, False])
def test_where_an_answer_begins(tags, opened_before):
    for thoughts, answer in (("Hm.", "Paris is it"), ("", "P"), ("Paris", "Paris\n"), ("a", "")):
        text = f"{'' if opened_before else tags.opening}{thoughts}{tags.ending} \n{answer}"
        assert text[answer_at(text, opened=opened_before) :] == answer
        assert part(text, opened=opened_before) == (thoughts, answer)
    assert answer_at(f"{tags.opening}never ends") == len(f"{tags.opening}never ends")
    assert answer_at("\n Paris") == 2
