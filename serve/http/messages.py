"""The bodies of requests and responses under ``/v1/codes`` and ``/v1/ask``, with examples.

Times of a job are Unix seconds; times in a video are seconds from its first frame. Whether an id
exists or a spatial code is sound is not known here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from serve.book.code_ids import MAX_NAME_CHARS
from spatialcode.export.formats import FORMATS
from spatialcode.questions.parse import MAX_CHARS

Status = Literal["queued", "decoding", "encoding", "done", "failed"]
ReasonerName = Literal["solver", "program", "text"]


def _known_format(name: str) -> str:
    if name not in FORMATS:
        *others, last = (repr(known) for known in FORMATS)
        expected = f"{', '.join(others)} or {last}"
        raise PydanticCustomError(
            "literal_error", "Input should be {expected}", {"expected": expected}
        )
    return name


#: The format of ``GET /v1/codes/{id}?format=…``, one that is registered by the time of the request;
#: the API's description lists them.
FormatName = Annotated[
    str,
    AfterValidator(_known_format),
    Field(json_schema_extra=lambda schema: schema.update(enum=list(FORMATS))),
]

#: One letter per option.
MAX_OPTIONS = 26
MAX_OPTION_CHARS = 500
MAX_SAMPLES = 16
MAX_URL_CHARS = 2048

_ID = "4f1c" * 16
CodeId = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{64}$"),
    Field(description="a work key: 64 lower-case hex digits", examples=[_ID]),
]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CHARS)]
OptionText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_OPTION_CHARS)]


class _Sent(BaseModel):
    """What clients send. Unknown fields are refused, so that a typing error is not ignored."""

    model_config = ConfigDict(extra="forbid")


class CodeFromUrl(_Sent):
    """A video to be fetched and encoded."""

    url: str = Field(
        min_length=1,
        max_length=MAX_URL_CHARS,
        description="https://…, or s3://… where the service allows the bucket",
        examples=["https://example.org/bedroom.mp4"],
    )
    name: str | None = Field(
        None, max_length=MAX_NAME_CHARS, description="the name to show for it", examples=["bedroom"]
    )


#: The body of ``POST /v1/codes``, as OpenAPI describes it.
VIDEO_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["video"],
                    "properties": {
                        "video": {"type": "string", "format": "binary"},
                        "name": {"type": "string", "maxLength": MAX_NAME_CHARS},
                    },
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "video/mp4": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["url"],
                    "properties": {
                        "url": {"type": "string", "minLength": 1, "maxLength": MAX_URL_CHARS},
                        "name": {"type": ["string", "null"], "maxLength": MAX_NAME_CHARS},
                    },
                },
                "example": {"url": "https://example.org/bedroom.mp4", "name": "bedroom"},
            },
        },
    }
}


class JobError(BaseModel):
    """Why a video has no code."""

    code: str = Field(description="stable and machine-readable", examples=["video_truncated"])
    title: str = Field(examples=["The video cannot be decoded"])
    detail: str = Field(examples=["the file ends before its index does"])


class StoredVideo(BaseModel):
    """The video that was sent."""

    name: str | None = Field(None, examples=["bedroom.mp4"])
    sha256: str = Field(examples=["9b0d" * 16])
    num_bytes: int = Field(ge=0, examples=[2_310_144])


_STATUS_EXAMPLE: dict[str, Any] = {
    "id": _ID, "status": "encoding", "frames_decoded": 32, "frames_encoded": 8,
    "frames_total": 32, "created_s": 1767225600.0, "updated_s": 1767225603.5, "attempts": 1,
    "error": None,
    "video": {"name": "bedroom.mp4", "sha256": "9b0d" * 16, "num_bytes": 2310144},
    "links": {"self": f"/v1/codes/{_ID}", "video": f"/v1/codes/{_ID}/video"},
}  # fmt: skip


class CodeStatus(BaseModel):
    """The state of a video's code."""

    model_config = ConfigDict(json_schema_extra={"examples": [_STATUS_EXAMPLE]})

    id: CodeId
    status: Status
    frames_decoded: int | None = Field(None, ge=0)
    frames_encoded: int | None = Field(None, ge=0)
    frames_total: int | None = Field(None, ge=0, description="null until it is known")
    created_s: float = Field(description="Unix time")
    updated_s: float = Field(description="Unix time")
    attempts: int = Field(0, ge=0, description="number of workers that have started it")
    error: JobError | None = None
    video: StoredVideo | None = None
    links: dict[str, str] = Field(default_factory=dict, description="paths, by what they give")


class StoredCode(CodeStatus):
    """The status, and the spatial code once it is done."""

    code: dict[str, Any] | None = Field(
        None, description='format "spatialcode/1": objects, cameras, room; null until done'
    )


class CodePage(BaseModel):
    """Codes, newest first."""

    items: list[CodeStatus]
    next: str | None = Field(None, description="`after` of the next page; null on the last page")


_ASK_EXAMPLES: list[Any] = [
    {
        "question": "What is the distance between the door and the toilet in meters?",
        "code_id": _ID,
    },
    {
        "question": "If I am standing by the toilet and facing the door, is the chair to my left "
        "or right?",
        "options": ["A. left", "B. right"],
        "code_id": _ID,
        "reasoner": "program",
        "num_samples": 4,
    },
]


class AskRequest(_Sent):
    """A question about a stored code (``code_id``), or about one in the request (``code``)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": _ASK_EXAMPLES})

    question: Text
    options: list[OptionText] = Field(
        default_factory=list, max_length=MAX_OPTIONS, description='"A. left" or "left"'
    )
    code_id: CodeId | None = None
    code: dict[str, Any] | None = Field(None, description='a spatial code, format "spatialcode/1"')
    reasoner: ReasonerName = Field(
        "solver", description="solver: exact; program, text: a language model"
    )
    num_samples: int = Field(
        1,
        ge=1,
        le=MAX_SAMPLES,
        description="samples drawn from a language model, to choose from",
    )

    @model_validator(mode="after")
    def _one_code(self) -> Self:
        if (self.code_id is None) == (self.code is None):
            raise ValueError("expected code_id or code, and not both")
        return self


class EvidenceObject(BaseModel):
    """An object that the answer is based on, and when the video shows it."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["door_1"])
    label: str = Field(examples=["door"])
    first_seen_s: float = Field(examples=[5.6])
    last_seen_s: float = Field(examples=[7.9])


class Quantity(BaseModel):
    """A statement of the reasoning, as data."""

    kind: str = Field(examples=["distance"])
    text: str = Field(examples=["distance(door_1, toilet_1) = 1.81 m"])
    objects: tuple[str, ...] = Field(
        description="ids of the code", examples=[["door_1", "toilet_1"]]
    )
    value: float | bool | str | tuple[float, ...] | tuple[str, ...] = Field(examples=[1.81])
    unit: str = Field(description="m, m2, s, deg, or empty", examples=["m"])
    recomputes: bool = Field(description="whether the code gives the same value")


class EvidenceOut(BaseModel):
    """What an answer is based on. ``text`` and ``quantities`` hold the same statements."""

    text: tuple[str, ...]
    objects: tuple[EvidenceObject, ...]
    quantities: tuple[Quantity, ...]


_ANSWER_EXAMPLE: dict[str, Any] = {
    "answer": "1.81 m", "value": 1.81, "option": None, "unit": "m", "grounded": True,
    "confidence": 0.31, "verified": True, "reasoner": "solver",
    "evidence": {
        "text": ["distance(door_1, toilet_1) = 1.81 m"],
        "objects": [
            {"id": "door_1", "label": "door", "first_seen_s": 5.6, "last_seen_s": 7.87},
            {"id": "toilet_1", "label": "toilet", "first_seen_s": 6.87, "last_seen_s": 7.87},
        ],
        "quantities": [
            {"kind": "distance", "text": "distance(door_1, toilet_1) = 1.81 m",
             "objects": ["door_1", "toilet_1"], "value": 1.81, "unit": "m", "recomputes": True},
        ],
    },
    "doubts": [], "program": None, "num_samples": 1,
}  # fmt: skip


class AskAnswer(BaseModel):
    """An answer and its evidence."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ANSWER_EXAMPLE]})

    answer: str = Field(description="the option's letter, or the number with its unit")
    value: float | str
    option: str | None = Field(description="the option's letter; null without options")
    unit: str
    grounded: bool = Field(description="everything that the question names is in the code")
    confidence: float = Field(ge=0.0, le=1.0)
    verified: bool = Field(
        description="every claim of the reasoning recomputes from the code, and they lead to the "
        "answer"
    )
    reasoner: ReasonerName
    evidence: EvidenceOut
    doubts: tuple[str, ...] = Field(default_factory=tuple, description="why it is not verified")
    program: str | None = Field(default=None, description="the program that was run, if one was")
    num_samples: int = Field(default=1, ge=1, description="samples that were drawn")
    #: Over all samples, as the model counted them; OpenAI's clients are told, others are not.
    num_prompt_tokens: int = Field(default=0, exclude=True)
    num_tokens: int = Field(default=0, exclude=True)


class ProblemDocument(BaseModel):
    """An error in the format of RFC 9457, ``application/problem+json``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank", "title": "Not found", "status": 404,
                    "detail": "no code has this id", "code": "not_found",
                }
            ]
        }
    )  # fmt: skip

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    code: str = Field("", description="stable and machine-readable")
