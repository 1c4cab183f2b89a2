"""An endpoint that is slow, busy, broken or gone costs no reply that could be had."""

from __future__ import annotations

import base64
import io
import json
import logging
import socket
import time
from contextlib import suppress
from threading import Event
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pydantic import ValidationError

from evaluation.generators import AnyGenerator, EndpointGenerator, GenerationConfig, Request
from evaluation.generators.messages import candidate_probabilities
from evaluation.records import ITEMS
from medsift.config import Config
from medsift.endpoint.http_client import retry_after
from medsift.endpoint.messages import data_url, to_messages
from medsift.errors import RecipeError
from medsift.recipe_yaml import validated
from medsift.vocabulary import IMAGE_MARK
from tests.expect import raises_code

KEY = "sk-not-for-eyes-0123456789"
VARIABLE = "MEDSIFT_TEST_KEY"
NO_ITEMS = ITEMS.empty_table()


class Models(Config):
    models: tuple[AnyGenerator, ...]


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def config(served):
    def made(**settings):
        quick = {"timeout_s": 10.0, "backoff_s": 0.001, "retries": 2, "parallel": 4}
        return EndpointGenerator(**{"url": served.url, "model": "org/eye-7b", **quick, **settings})

    return made


@pytest.fixture
def ask(config):
    def asked(*questions, **settings):
        generator = config(**settings).build(NO_ITEMS)
        return generator.generate([request(question) for question in questions])

    return asked


def request(question, pictures=(), candidates=()):
    turns = (("user", question),)
    return Request("b", question, "original", turns, tuple(pictures), candidates)


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def hang(handler):
    handler.served.closing.wait(2)


def trickle(handler):
    """A byte now and then: no single wait is long, and there is no end."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    with suppress(OSError):
        while not handler.served.closing.wait(0.05):
            handler.wfile.write(b" ")


def half(handler):
    handler.send(200, b'{"choices": [{"mess', {"Content-Length": "500"})
    handler.close_connection = True


def half_chunked(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b'5\r\n{"cho\r\n')
    handler.close_connection = True


def hang_up(handler):
    handler.close_connection = True


FAULTS = {
    "slow": (hang, "no whole answer within 0.2 s"),
    "trickling": (trickle, "no whole answer within 0.2 s"),
    "half": (half, "the connection broke off"),
    "half a stream": (half_chunked, "the connection broke off"),
    "no answer": (hang_up, "the connection broke off"),
    "no JSON": ({"body": b"<html>busy</html>"}, "the answer is not a JSON object"),
    "no object": ({"body": b"[1]"}, "the answer is not a JSON object"),
    "deep JSON": ({"body": b"[" * 200_000}, "the answer is not a JSON object"),
    "not UTF-8": ({"body": b'{"choices": "\xff"}'}, "the answer is not a JSON object"),
    "no choices": ({"body": {"object": "x"}}, "the answer has no choices"),
    "empty choices": ({"body": {"choices": []}}, "the answer has no choices"),
    "choices as text": ({"body": {"choices": "abc"}}, "the answer has no choices"),
    "an error as an answer": (
        {"body": {"error": {"message": "out of\nmemory"}}},
        "the answer has no choices: out of memory",
    ),
    "no content": ({"text": None}, "the answer's content is not text"),
    "parts for text": ({"text": [{"text": "x"}]}, "the answer's content is not text"),
    "busy": ({"status": 429, "body": b""}, "HTTP 429 Too Many Requests"),
    "an ill server": (
        {"status": 503, "body": {"error": "loading"}},
        "HTTP 503 Service Unavailable: loading",
    ),
}


SLOW = ("slow", "trickling")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_not_seen(served, ask, fault):
    served.scripts["q"] = [FAULTS[fault][0], "fine"]
    [reply] = ask("q", timeout_s=0.3 if fault in SLOW else 10, retries=5)
    assert (reply.text, reply.error) == ("fine", None)
    assert served.asked("q") >= 2


@pytest.mark.parametrize("slow", [True, False])
def test_a_fault_that_stays_is_one_line_and_costs_no_other_reply(served, ask, slow):
    chosen = [name for name in FAULTS if (name in SLOW) == slow]
    for name in chosen:
        served.scripts[name] = [FAULTS[name][0]]
    replies = ask(*chosen, timeout_s=0.2 if slow else 10, retries=1)
    others = ask(*(f"good {name}" for name in chosen))
    for name, reply, other in zip(chosen, replies, others, strict=True):
        assert (reply.text, reply.error) == (None, FAULTS[name][1])
        assert served.asked(name) == 2
        assert other.text == f"good {name}"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_is_refused_is_not_repeated(served, ask, status):
    complaint = {"error": {"message": "too long:  4097 tokens" + "x" * 999}}
    served.scripts["q"] = [{"status": status, "body": complaint}]
    [reply, other] = ask("q", "r")
    assert reply.text is None
    assert reply.error.startswith(f"HTTP {status} ")
    assert ": too long: 4097 tokens" in reply.error
    assert len(reply.error) < 250
    assert served.asked("q") == 1
    assert other.text == "r"


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "OPENAI_API_KEY"),
        (402, "account"),
        (403, "OPENAI_API_KEY"),
        (404, "/v1"),
        (301, "url"),
        (308, "url"),
    ],
)
def test_what_no_request_would_be_spared_ends_it_at_once(served, ask, status, remedy):
    served.scripts["q"] = [{"status": status, "headers": {"Location": f"{served.url}/elsewhere"}}]
    with raises_code("endpoint_failed", status=status) as caught:
        ask("q", retries=9)
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(served.requests) == 1


def test_an_endpoint_that_is_not_there_is_named(ask):
    closed = f"http://127.0.0.1:{closed_port()}/v1"
    with raises_code("endpoint_failed", url=closed, reached=False):
        ask("q", url=closed)
    with raises_code("endpoint_failed", url="http://nowhere.invalid/v1", reached=False):
        ask("q", url="http://nowhere.invalid/v1", retries=0)


def test_a_wait_that_is_asked_for_is_kept(served, ask, monkeypatch):
    served.scripts["q"] = [{"status": 429, "headers": {"Retry-After": "30"}}, "fine"]
    waits = []

    class Recorder(Event):
        """Record how long a request would pause, without pausing."""

        def wait(self, timeout=None):
            waits.append(timeout)
            return self.is_set()

    # The generator's own event alone: its threads and the server use other ones.
    monkeypatch.setattr("evaluation.generators.endpoint.Event", Recorder)
    [reply] = ask("q")
    assert reply.text == "fine"
    assert waits == [30]
    assert served.asked("q") == 2


def test_a_wait_too_long_ends_it_at_once_and_wakes_who_waits(served, ask):
    served.scripts["q"] = [{"status": 429, "headers": {"Retry-After": "86400"}}]
    served.scripts["waiting"] = [{"status": 429, "headers": {"Retry-After": "500"}}]
    with raises_code("endpoint_failed", wait_s=86400.0):
        ask("waiting", "q", "q")


def test_waits_are_read_as_seconds_or_as_a_date():
    assert retry_after("2") == 2
    assert retry_after(" 1.5 ") == 1.5
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("Wed, 21 Oct 2099 07:28:00 GMT") > 1e9
    for said in (None, "", "soon", "-3", "nan", "inf", "9" * 400):
        assert retry_after(said) == 0


def test_pauses_double_up_to_a_limit_and_are_the_same_again(config):
    from random import Random

    from medsift.endpoint.http_client import Problem
    from medsift.endpoint.retries import pause

    settings = config(backoff_s=1.0)
    pauses = [pause(Problem("x"), attempt, Random("a"), settings) for attempt in range(2000)]
    assert pauses == [
        pause(Problem("x"), attempt, Random("a"), settings) for attempt in range(2000)
    ]
    for attempt, seconds in enumerate(pauses):
        whole = min(2.0 ** min(attempt, 10), 60)
        assert whole / 2 <= seconds <= whole
    assert pause(Problem("x", wait_s=90.0), 0, Random("a"), settings) == 90


def test_parallel_equals_serial(served, ask):
    questions = [f"q{place}" for place in range(24)]
    for place in range(0, 24, 3):
        served.scripts[f"q{place}"] = [{"status": 500}, {"body": b"{"}, f"late {place}"]
        served.scripts[f"q{place + 1}"] = [{"status": 400, "body": {"error": f"no {place}"}}]
    scripts = {question: list(script) for question, script in served.scripts.items()}
    serial = ask(*questions, parallel=1)
    assert served.most_at_once == 1
    served.scripts = scripts
    assert ask(*questions, parallel=8) == serial
    assert [reply.text for reply in serial[:4]] == ["late 0", None, "q2", "late 3"]


def test_as_many_requests_as_allowed_are_under_way_at_once(served, ask):
    def slow(handler):
        time.sleep(0.05)
        handler.answer("x")

    for place in range(12):
        served.scripts[f"q{place}"] = [slow]
    ask(*(f"q{place}" for place in range(12)), parallel=6)
    assert served.most_at_once == 6


def test_connections_are_kept_open(served, config):
    generator = config(parallel=2).build(NO_ITEMS)
    for _ in range(5):
        generator.generate([request("a"), request("b"), request("c")])
    assert served.connections <= 2


def test_the_request_is_what_the_protocol_says(served, config):
    turns = (("system", "Be brief."), ("user", "q"))
    made = config(generation=GenerationConfig(max_new_tokens=7))
    made.build(NO_ITEMS).generate([Request("b", "i", "original", turns)])
    assert served.requests == [
        {
            "model": "org/eye-7b",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "q"},
            ],
            "max_tokens": 7,
            "temperature": 0.0,
        }
    ]


def test_further_fields_are_added_and_ours_left_out(served, ask):
    sampled = GenerationConfig(temperature=0.5, seed=4)
    ask("q", generation=sampled, body={"max_tokens": None, "max_completion_tokens": 9, "top_p": 1})
    sent = served.requests[0]
    assert "max_tokens" not in sent
    assert (sent["max_completion_tokens"], sent["top_p"], sent["seed"]) == (9, 1, 4)


def noise(width, height, mode="RGB"):
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    pixels = np.random.default_rng(width).integers(0, 256, shape, np.uint8)
    return Image.fromarray(pixels)


def opened(url):
    head, _, data = url.partition(";base64,")
    return head, Image.open(io.BytesIO(base64.b64decode(data)))


def test_pictures_stand_where_their_marks_do(served, config):
    first, second = noise(5, 3), noise(4, 4, "L")
    turns = (("user", f"{IMAGE_MARK}Before {IMAGE_MARK} and after?"),)
    asked = Request("b", "i", "original", turns, (first, second))
    config().build(NO_ITEMS).generate([asked])
    parts = served.requests[0]["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["image_url", "text", "image_url", "text"]
    assert [parts[1]["text"], parts[3]["text"]] == ["Before", "and after?"]
    for part, picture in ((parts[0], first), (parts[2], second)):
        head, sent = opened(part["image_url"]["url"])
        assert head == "data:image/png"
        assert sent.mode == picture.mode
        assert np.array_equal(np.asarray(sent), np.asarray(picture))


@pytest.mark.parametrize("marks", [0, 1, 3])
def test_marks_without_a_picture_are_refused(marks):
    with raises_code("samples_inconsistent", marks=marks, pictures=2):
        to_messages((("user", IMAGE_MARK * marks + "q"),), [noise(2, 2)] * 2, "png")


@pytest.mark.parametrize("size", [(640, 480), (3, 2000), (10, 10)])
@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_pictures_are_no_larger_than_allowed(size, image_format):
    head, sent = opened(data_url(noise(*size), image_format, 10_000))
    assert head == f"data:image/{image_format}"
    assert sent.format.lower() == image_format
    assert sent.width * sent.height <= 10_000
    if size == (640, 480):
        assert sent.size == (115, 86)
    if size == (10, 10):
        assert sent.size == size


@pytest.mark.parametrize("text", ["", "x" * 100_000, "是的\x00", "Yes."])
def test_replies_come_as_they_are(served, ask, text):
    served.scripts["q"] = [{"text": text, "usage": {"completion_tokens": 3}}]
    [reply] = ask("q")
    assert (reply.text, reply.tokens, reply.error) == (text, 3, None)


def test_half_a_character_at_the_end_can_be_stored(served, ask):
    served.scripts["q"] = [{"body": b'{"choices": [{"message": {"content": "ok \\ud83d"}}]}'}]
    [reply] = ask("q")
    assert pa.array([reply.text]).to_pylist() == ["ok \ufffd"]
    served.scripts["q"] = [{"status": 400, "body": b'{"error": "\\ud83d\\u001b[2J no"}'}]
    [reply] = ask("q")
    assert reply.error.isprintable()
    assert pa.array([reply.error]).to_pylist() == [reply.error]


@pytest.mark.parametrize(
    "usage", [None, [], {}, {"completion_tokens": "3"}, {"completion_tokens": 10**30}]
)
def test_tokens_that_are_not_reported_are_unknown(served, ask, usage):
    served.scripts["q"] = [{"text": "x", "usage": usage}]
    assert ask("q")[0].tokens is None


def first_tokens(**tokens):
    """Log-probabilities of first tokens as an endpoint tells them."""
    top = [{"token": token, "logprob": float(np.log(share))} for token, share in tokens.items()]
    return {"content": [{"token": "x", "top_logprobs": top}, {"top_logprobs": []}]}


def test_probabilities_of_candidates_come_from_the_first_token(served, config):
    served.scripts["q"] = [
        {"text": "Yes", "logprobs": first_tokens(Yes=0.5, no=0.2, the=0.2, yes=0.1)}
    ]
    asking = config(logprobs=True).build(NO_ITEMS)
    [weighed, open_question] = asking.generate(
        [request("q", candidates=("yes", "no")), request("r")]
    )
    assert weighed.probabilities == pytest.approx((0.75, 0.25))
    assert open_question.probabilities is None
    sent = {body["messages"][0]["content"]: body for body in served.requests}
    assert (sent["q"]["logprobs"], sent["q"]["top_logprobs"]) == (True, 20)
    assert "logprobs" not in sent["r"]


def test_a_letter_is_not_the_article():
    assert candidate_probabilities(
        first_tokens(A=0.3, a=0.4, **{" B": 0.1}), ("A", "B")
    ) == pytest.approx((0.75, 0.25))


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {},
        {"content": []},
        {"content": [{}]},
        {"content": [{"top_logprobs": None}]},
        {"content": [{"top_logprobs": [{"token": "yes"}]}]},
        {"content": [{"top_logprobs": [{"token": "yes", "logprob": "x"}]}]},
        {"content": [{"top_logprobs": [{"token": "yes", "logprob": float("nan")}]}]},
        {"content": [{"top_logprobs": [{"token": "yes", "logprob": float("-inf")}]}]},
        {"content": [{"top_logprobs": [{"token": 5, "logprob": -1}]}]},
        first_tokens(maybe=0.9),
    ],
)
def test_probabilities_that_are_not_reported_are_none(logprobs):
    assert candidate_probabilities(logprobs, ("yes", "no")) is None


def test_the_key_is_sent_and_never_shown(served, config, monkeypatch, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    for room in ("evaluation", "medsift"):  # the level of the command line is higher
        caplog.set_level(logging.DEBUG, logger=room)
    monkeypatch.setenv(VARIABLE, f" {KEY}\n")
    without = config(key_variable=VARIABLE).fingerprint()
    made = config(key_variable=VARIABLE)
    asking = made.build(NO_ITEMS)
    echo = {"error": {"message": f"Incorrect key {KEY} provided"}}
    served.scripts["busy"] = [{"status": 500, "body": echo}]
    served.scripts["odd"] = [{"body": echo}]
    served.scripts["bad"] = [{"status": 400, "body": echo}]
    served.scripts["refused"] = [{"status": 401, "body": echo}]
    replies = asking.generate([request(word) for word in ("fine", "busy", "odd", "bad")])
    assert {headers["Authorization"] for headers in served.headers} == {f"Bearer {KEY}"}
    with raises_code("endpoint_failed", status=401) as caught:
        asking.generate([request("refused")])
    # The endpoint's own words without the key, and the variable to set.
    assert "Incorrect key [key] provided" in str(caught.value)
    assert VARIABLE in str(caught.value)
    assert [reply.text for reply in replies] == ["fine", None, None, None]
    assert all("[key]" in reply.error for reply in replies[1:])
    shown = [caplog.text, str(caught.value), repr(caught.value.__context__), repr(replies)]
    shown += [repr(made), made.model_dump_json(), made.fingerprint(), repr(asking.poster.key)]
    assert "asked again" in caplog.text
    assert not [text for text in shown if KEY in text]
    assert made.fingerprint() == without


def test_no_key_is_sent_where_there_is_none(served, ask, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login someone password {KEY}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for value in (None, "", "  "):
        if value is not None:
            monkeypatch.setenv("OPENAI_API_KEY", value)
        ask("q")
    assert not [headers for headers in served.headers if "Authorization" in headers]


ELSEWHERE = "https://models.example.org/v1"


@pytest.mark.parametrize(
    ("variable", "url", "permitted"),
    [
        ("OPENAI_API_KEY", ELSEWHERE, ""),
        ("OPENAI_API_KEY", "http://api.openai.com/v1", ""),
        ("OPENAI_API_KEY", "https://api.openai.com.example.org/v1", ""),
        ("DATABASE_PASSWORD", ELSEWHERE, ""),
        ("DATABASE_PASSWORD", "http://127.0.0.1:8000/v1", ""),
        ("MEDSIFT_TEST_KEY", ELSEWHERE, ""),
        ("DATABASE_PASSWORD", ELSEWHERE, "OTHER_KEY@models.example.org"),
        ("DATABASE_PASSWORD", ELSEWHERE, "DATABASE_PASSWORD@example.org"),
        ("DATABASE_PASSWORD", ELSEWHERE, "DATABASE_PASSWORD"),
        ("MEDSIFT_TEST_KEY", "http://localhost.example.org/v1", ""),
    ],
)
def test_a_recipe_alone_sends_no_variable_to_its_address(monkeypatch, variable, url, permitted):
    monkeypatch.setenv("MEDSIFT_ENDPOINT_KEYS", permitted)
    made = EndpointGenerator(url=url, model="m", key_variable=variable)
    monkeypatch.delenv(variable, raising=False)
    made.build(NO_ITEMS)
    monkeypatch.setenv(variable, KEY)
    with raises_code(
        "endpoint_key_invalid", variable=variable, host=urlsplit(url).hostname
    ) as refused:
        made.build(NO_ITEMS)
    assert KEY not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "url", "permitted"),
    [
        ("OPENAI_API_KEY", "https://api.openai.com/v1", ""),
        ("OPENAI_API_KEY", "http://127.0.0.1:8000/v1", ""),
        ("MEDSIFT_TEST_KEY", "http://localhost:8000/v1", ""),
        ("MEDSIFT_TEST_KEY", "http://[::1]:8000/v1", ""),
        ("HOSPITAL_KEY", ELSEWHERE, "A@b, HOSPITAL_KEY@Models.example.org"),
    ],
)
def test_a_variable_that_the_user_binds_to_an_address_is_sent(
    monkeypatch, variable, url, permitted
):
    monkeypatch.setenv("MEDSIFT_ENDPOINT_KEYS", permitted)
    monkeypatch.setenv(variable, KEY)
    asking = EndpointGenerator(url=url, model="m", key_variable=variable).build(NO_ITEMS)
    assert asking.poster.key.value == KEY


@pytest.mark.parametrize(
    "variable",
    ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN",
     "RAY_AUTH_TOKEN", "MEDSIFT_ENDPOINT_KEYS"],
)  # fmt: skip
def test_what_opens_data_and_cluster_is_never_a_key(monkeypatch, variable):
    monkeypatch.setenv("MEDSIFT_ENDPOINT_KEYS", f"{variable}@127.0.0.1")
    with raises_code("endpoint_key_invalid", variable=variable):
        EndpointGenerator(url="http://127.0.0.1/v1", model="m", key_variable=variable)


@pytest.mark.parametrize("value", ["two words", "line\nbreak", "schlüssel", "\u200bkey"])
def test_a_key_that_can_be_none_is_refused_unseen(config, monkeypatch, value):
    monkeypatch.setenv(VARIABLE, value)
    with raises_code("endpoint_key_invalid", variable=VARIABLE) as caught:
        config(key_variable=VARIABLE).build(NO_ITEMS)
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{KEY}@host/v1",
        f"https://{KEY}@host/v1",
        f"https://host/v1?key={KEY}",
        f"https://host/v1#{KEY}",
        f"ftp://host/{KEY}",
        f"host/{KEY}",
        f"https:///{KEY} x",
    ],
)
def test_secrets_in_a_recipe_are_refused_unseen(url):
    for settings in ({"url": url}, {"url": "http://h/v1", "key_variable": KEY}):
        whole = {"models": [{"kind": "endpoint", "model": "m", **settings}]}
        with pytest.raises(RecipeError) as caught:
            validated(Models, whole)
        assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"body": {"messages": []}},
        {"body": {"stream": True}},
        {"timeout_s": 0},
        {"timeout_s": float("inf")},
        {"parallel": 0},
        {"retries": -1},
        {"image_format": "gif"},
        {"model": ""},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(config, settings):
    with pytest.raises(ValidationError):
        config(**settings)


def test_what_changes_replies_is_in_the_fingerprint_and_nothing_else(config):
    base = config().fingerprint()
    same = [
        {"label": "x"},
        {"key_variable": VARIABLE},
        {"parallel": 1},
        {"timeout_s": 9.0},
        {"retries": 7},
        {"backoff_s": 7.0},
        {"generation": GenerationConfig(seed=3)},
    ]
    other = [
        {"url": "http://other/v1"},
        {"model": "m"},
        {"body": {"top_k": 1}},
        {"logprobs": True},
        {"max_pixels": 5},
        {"image_format": "jpeg"},
        {"generation": GenerationConfig(max_new_tokens=3)},
        {"generation": GenerationConfig(temperature=1.0)},
        {"generation": GenerationConfig(temperature=1.0, seed=3)},
    ]
    assert {config(**settings).fingerprint() for settings in same} == {base}
    assert len({base, *(config(**settings).fingerprint() for settings in other)}) == 10
    json.dumps(config().model_dump(mode="json"))


def test_it_is_named_by_its_model_and_needs_no_gpu(config):
    names = [config(model=model).name for model in ("org/eye-7b", "eye:7b/", "a b", "/")]
    assert names == ["eye-7b", "eye-7b", "a-b", "endpoint"]
    assert config(label="mine").name == "mine"
    assert not config().resources.accelerated
    assert config().resources.lasting
    assert config().looks
