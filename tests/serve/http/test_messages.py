"""Bodies and answers: their examples are true to them, and slips are refused."""

import json

import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from serve.http import messages

SENT_OR_ANSWERED = (
    messages.CodeStatus, messages.AskRequest, messages.AskAnswer, messages.ProblemDocument,
)  # fmt: skip
ID = "0123456789abcdef" * 4


@pytest.mark.parametrize("kind", SENT_OR_ANSWERED)
def test_examples_are_what_they_are_examples_of(kind):
    examples = kind.model_json_schema()["examples"]
    assert examples
    for example in examples:
        read = kind.model_validate_json(json.dumps(example))
        assert read.model_dump(mode="json", include=set(example)) == example


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"question": "How big?"}, "code_id or code"),
        ({"question": "How big?", "code_id": ID, "code": {}}, "not both"),
        ({"question": "", "code_id": ID}, "question"),
        ({"question": "a" * 4001, "code_id": ID}, "question"),
        ({"question": "How big?", "code_id": ID.upper()}, "code_id"),
        ({"question": "How big?", "code_id": ID[1:]}, "code_id"),
        ({"question": "How big?", "code_id": ID + "\n"}, "code_id"),
        ({"question": "How big?", "code_id": ID, "options": ["a"] * 27}, "options"),
        ({"question": "How big?", "code_id": ID, "options": ["A. " + "a" * 500]}, "options"),
        ({"question": "How big?", "code_id": ID, "reasoner": "oracle"}, "reasoner"),
        ({"question": "How big?", "code_id": ID, "num_samples": 0}, "num_samples"),
        ({"question": "How big?", "code_id": ID, "num_samples": 17}, "num_samples"),
        ({"question": "How big?", "code_id": ID, "num_sample": 2}, "num_sample"),
    ],
)
def test_a_question_that_does_not_fit_is_refused(body, field):
    with pytest.raises(ValidationError, match=field):
        messages.AskRequest.model_validate(body)


def test_a_question_has_defaults():
    asked = messages.AskRequest.model_validate({"question": "How big?", "code_id": ID})
    assert (asked.reasoner, asked.num_samples, asked.options) == ("solver", 1, [])


def test_an_address_has_a_length():
    longest = "https://a.org/" + "a" * (2048 - len("https://a.org/"))
    assert messages.CodeFromUrl(url=longest).name is None
    with pytest.raises(ValidationError, match="url"):
        messages.CodeFromUrl(url=longest + "a")


def test_the_description_of_the_service_holds_the_examples():
    app = FastAPI()

    @app.post("/v1/ask", response_model=messages.AskAnswer)
    def ask(body: messages.AskRequest): ...

    @app.get("/v1/codes/{code_id}", response_model=messages.StoredCode)
    def code(code_id: messages.CodeId): ...

    described = app.openapi()
    schemas = described["components"]["schemas"]
    assert schemas["AskRequest"]["examples"][1]["reasoner"] == "program"
    assert schemas["AskAnswer"]["examples"][0]["evidence"]["quantities"][0]["unit"] == "m"
    (parameter,) = described["paths"]["/v1/codes/{code_id}"]["get"]["parameters"]
    assert parameter["schema"]["pattern"] == "^[0-9a-f]{64}$"
