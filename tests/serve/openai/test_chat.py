"""OpenAI's chat over codes: the official client talks to a small app on a real port."""

import asyncio
import json
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse

from serve.ask.asking import Asked, ModelFailedError, answer
from serve.http import problems
from serve.openai.chat_request import Chat, ChatRequest, read_chat, split_options
from serve.openai.routes import (
    EVENT_STREAM,
    completion,
    content_of,
    error_response,
    model_card,
    model_list,
    stream_when,
)
from spatialcode.errors import SpatialCodeError
from spatialcode.scene.text import from_json, to_json

ASSETS = Path(__file__).parents[3] / "spatialcode" / "assets"
SAMPLE = from_json((ASSETS / "sample_room.json").read_text(encoding="utf-8"))
ID = "0123456789abcdef" * 4
OTHER = "f" * 64
TABLES = "How many tables are in this room?"
ORDER = """In which order do the door, the chair and the toilet first appear in the video?
Options:
A. door, chair, toilet
B. chair, door, toilet
Answer with the option's letter."""


def small_app() -> FastAPI:
    """The routes as the service has them, over one stored code and the solver."""
    app, reasoners = FastAPI(), ("solver",)

    def code_of(source):
        if source.document is not None:
            return from_json(json.dumps(source.document))
        if source.code_id == ID or source.url == "https://example.org/room.mp4":
            return SAMPLE
        raise problems.not_found("the code")

    @app.post("/v1/chat/completions")
    def completions(body: ChatRequest, request: Request):
        if request.headers.get("authorization") != "Bearer key":
            raise problems.unauthorized()
        asked = read_chat(body, reasoners)
        code = code_of(asked.source)
        if not asked.stream:
            return JSONResponse(completion(asked, answer(asked.asked, code)))
        later = asyncio.to_thread(answer, asked.asked, code)
        return StreamingResponse(stream_when(asked, later), media_type=EVENT_STREAM)

    @app.get("/v1/models")
    def models():
        return model_list(reasoners, 1_767_225_600)

    @app.get("/v1/models/{name}")
    def model(name: str):
        return model_card(name, reasoners, 1_767_225_600)

    async def failed(_, error):
        return error_response(error)

    for kind in (Exception, RequestValidationError, problems.HTTPProblem, SpatialCodeError):
        app.add_exception_handler(kind, failed)
    return app


@contextmanager
def running(app):
    """The app on a free port of the loopback; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def address():
    with running(small_app()) as url:
        yield url


@pytest.fixture
def client(address):
    with openai.OpenAI(base_url=address, api_key="key", max_retries=0) as client:
        yield client


def said(text, model="spatialcode-solver", **more):
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def parts(*urls, text=TABLES):
    videos = [{"type": "video_url", "video_url": {"url": url}} for url in urls]
    return [*videos, {"type": "text", "text": text}]


def test_the_official_client_gets_an_answer(client):
    got = client.chat.completions.create(**said(TABLES), extra_body={"code_id": ID})
    assert (got.object, got.model) == ("chat.completion", "spatialcode-solver")
    assert got.id.startswith("chatcmpl-")
    (choice,) = got.choices
    assert (choice.finish_reason, choice.message.role) == ("stop", "assistant")
    exact = answer(Asked(TABLES), SAMPLE)
    assert choice.message.content == "\n".join([*exact.evidence.text, f"Answer: {exact.answer}"])
    assert got.usage.total_tokens == 0  # no language model took part
    whole = got.model_extra["spatialcode"]
    assert (whole["value"], whole["verified"], whole["reasoner"]) == (exact.value, True, "solver")
    assert [one["id"] for one in whole["evidence"]["objects"]] == [
        one.id for one in exact.evidence.objects
    ]


def test_a_stream_says_the_same(client):
    whole = client.chat.completions.create(**said(ORDER), extra_body={"code_id": ID})
    with client.chat.completions.create(
        **said(ORDER), extra_body={"code_id": ID}, stream=True,
        stream_options={"include_usage": True},
    ) as stream:  # fmt: skip
        *chunks, last, usage = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    pieces = [chunk.choices[0].delta.content for chunk in chunks]
    assert "".join(pieces) == whole.choices[0].message.content
    assert len(pieces) == 1 + len(whole.choices[0].message.content.splitlines())
    assert {chunk.choices[0].finish_reason for chunk in chunks} == {None}
    assert last.choices[0].finish_reason == "stop"
    assert last.model_extra["spatialcode"] == whole.model_extra["spatialcode"]
    assert (usage.choices, usage.usage.total_tokens) == ([], 0)
    assert len({chunk.id for chunk in (*chunks, last, usage)}) == 1


def test_options_are_lines_of_the_text(client):
    got = client.chat.completions.create(**said(ORDER), extra_body={"code_id": ID})
    # the chair is seen from the start, the door before the toilet
    seen = {one.label: one.first_seen_s for one in SAMPLE.objects}
    assert seen["chair"] < seen["door"] < seen["toilet"]
    assert got.choices[0].message.content.endswith("\nAnswer: B")


@pytest.mark.parametrize("url", [f"code:{ID}", "https://example.org/room.mp4"])
def test_the_code_may_be_a_part_of_the_message(client, url):
    got = client.chat.completions.create(**said(parts(url)))
    assert got.model_extra["spatialcode"]["value"] == answer(Asked(TABLES), SAMPLE).value


def test_the_last_part_counts_and_earlier_turns_are_not_read(client):
    got = client.chat.completions.create(
        model="spatialcode-solver",
        messages=[
            {"role": "system", "content": "You are a pirate."},
            {"role": "user", "content": parts(f"code:{OTHER}", f"code:{ID}", text="What is love?")},
            {"role": "assistant", "content": "Arr."},
            {"role": "user", "content": TABLES},
        ],
    )
    assert got.model_extra["spatialcode"]["value"] == answer(Asked(TABLES), SAMPLE).value


def test_a_code_may_be_sent_along(client):
    document = json.loads(to_json(SAMPLE))
    got = client.chat.completions.create(**said(TABLES), extra_body={"code": document})
    assert got.model_extra["spatialcode"]["verified"] is True


def test_the_models_are_listed(client):
    (model,) = client.models.list().data
    assert (model.id, model.object, model.owned_by) == (
        "spatialcode-solver", "model", "spatialcode",
    )  # fmt: skip
    assert client.models.retrieve("spatialcode-solver").created == 1_767_225_600
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("spatialcode-text")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (said(TABLES, model="gpt-4"), 404, "model_not_found", "model"),
        (said(TABLES, model="spatialcode-program", code_id=ID), 404, "model_not_found", "model"),
        (said(TABLES), 400, "invalid_request", "code_id"),
        (said(TABLES, code_id="../etc"), 400, "invalid_request", "code_id"),
        (said(TABLES, code_id=ID, code={}), 400, "invalid_request", "code_id"),
        (said(TABLES, code_id=OTHER), 404, "not_found", None),
        (said(TABLES, code={"format": "spatialcode/1"}), 422, "parse", None),
        (said(parts("code:12")), 400, "invalid_request", "messages"),
        (said(parts("data:video/mp4;base64,AAAA")), 400, "invalid_request", "messages"),
        (said([{"type": "image_url", "image_url": {"url": "https://a.org/a.png"}}]), 400,
         "invalid_request", "messages"),
        (said("", code_id=ID), 400, "invalid_request", "messages"),
        (said(TABLES, code_id=ID, n=2), 400, "invalid_request", "n"),
        (said(TABLES, code_id=ID, tools=[{"type": "function"}]), 400, "invalid_request", "tools"),
        (said(TABLES, code_id=ID, response_format={"type": "json_object"}), 400,
         "invalid_request", "response_format"),
        (said(TABLES, code_id=ID, num_samples=17), 422, "invalid_request", None),
        (said("What is love?", code_id=ID), 422, "question_not_understood", None),
        ({"model": "spatialcode-solver", "messages": [{"role": "system", "content": "Hello"}],
          "code_id": ID}, 400, "invalid_request", "messages"),
        ({"model": "spatialcode-solver", "messages": []}, 422, "invalid_request", None),
    ],
)  # fmt: skip
def test_errors_are_those_that_the_client_knows(client, body, status, code, param):
    with pytest.raises(openai.APIStatusError) as caught:
        client.post("/chat/completions", body=body, cast_to=object)
    error = caught.value
    assert (error.status_code, error.code, error.param) == (status, code, param)
    assert error.type == "invalid_request_error"
    assert error.body["message"]


def test_a_wrong_key_is_an_authentication_error(address):
    with (
        openai.OpenAI(base_url=address, api_key="other", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(**said(TABLES), extra_body={"code_id": ID})
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "authentication_error")


def test_what_goes_wrong_within_a_stream_is_raised_by_the_client(client):
    with (
        client.chat.completions.create(
            **said("What is love?"), extra_body={"code_id": ID}, stream=True
        ) as stream,
        pytest.raises(openai.APIError, match="no known kind") as caught,
    ):
        list(stream)
    assert caught.value.code == "question_not_understood"


def test_sampling_settings_and_harmless_forms_are_let_through():
    body = ChatRequest.model_validate(
        said(TABLES, code_id=ID, temperature=0.3, max_tokens=5, tools=[], n=None, stream=None,
             response_format={"type": "text"}, num_samples=3)
    )  # fmt: skip
    asked = read_chat(body)
    assert asked.asked == Asked(TABLES, (), "solver", 3)
    assert (asked.source.code_id, asked.stream, asked.include_usage) == (ID, False, False)


@pytest.mark.parametrize(
    ("text", "question", "options"),
    [
        ("How big?", "How big?", ()),
        ("Which?\nA. left\nB. right", "Which?", ("A. left", "B. right")),
        ("Which?\n\n(A) left\n\n(B) right\n", "Which?", ("A. left", "B. right")),
        ("Which?\nOptions:\nA) left\nB) right\nAnswer with the letter.",
         "Which?\nAnswer with the letter.", ("A. left", "B. right")),
        ("A. left\nB. right\nWhich?", "Which?", ("A. left", "B. right")),
        ("Which?\nA. left", "Which?\nA. left", ()),
        ("Which?\nB. left\nC. right", "Which?\nB. left\nC. right", ()),
        ("Which?\nA. left\nA. x\nB. y", "Which?\nA. left", ("A. x", "B. y")),
        ("Which?\nA. left\nB. right\nD. up", "Which?\nD. up", ("A. left", "B. right")),
    ],
)  # fmt: skip
def test_a_text_is_split_into_question_and_options(text, question, options):
    assert split_options(text) == (question, options)


def one_chat() -> Chat:
    return read_chat(ChatRequest.model_validate(said(TABLES, code_id=ID)))


def test_a_stream_is_kept_open_while_the_answer_is_not_there():
    async def collected():
        given = asyncio.Event()

        async def slow():
            await given.wait()
            return answer(Asked(TABLES), SAMPLE)

        events = stream_when(one_chat(), slow(), keep_alive_s=0.01)
        first, comment = await anext(events), await anext(events)
        given.set()
        return first, comment, [event async for event in events]

    first, comment, rest = asyncio.run(collected())
    assert json.loads(first.removeprefix("data: "))["choices"][0]["delta"]["role"] == "assistant"
    assert comment.startswith(":")
    assert rest[-1] == "data: [DONE]\n\n"


def test_a_client_that_goes_away_ends_the_work():
    async def left():
        ended = asyncio.Event()

        async def endless():
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        events = stream_when(one_chat(), endless(), keep_alive_s=0.01)
        await anext(events)
        await anext(events)  # by now the answer is being waited for
        await events.aclose()
        await asyncio.wait_for(ended.wait(), 5.0)
        return True

    assert asyncio.run(left())


def test_what_a_failed_model_said_is_not_told():
    async def events():
        async def failing():
            raise ModelFailedError("http://10.0.0.5: secret")

        return [event async for event in stream_when(one_chat(), failing())]

    *_, last = asyncio.run(events())
    error = json.loads(last.removeprefix("data: "))["error"]
    assert (error["type"], error["code"]) == ("server_error", "model")
    assert "secret" not in last


def test_doubts_are_part_of_the_text():
    guessed = answer(Asked("How long is the bathtub in centimeters?"), SAMPLE)
    lines = content_of(guessed).splitlines()
    assert lines[0] == guessed.doubts[0]  # said once
    assert len(lines) == 2
    doubtful = guessed.model_copy(update={"doubts": ("the angle is another",)})
    assert content_of(doubtful).splitlines()[1] == "not verified: the angle is another"


def test_too_many_requests_say_when_to_come_again():
    problem = problems.try_later(429, "rate_limited", "slowly", 2.5)
    got = error_response(problem)
    assert (got.status_code, got.headers["retry-after"]) == (429, "3")
    error = json.loads(got.body)["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
