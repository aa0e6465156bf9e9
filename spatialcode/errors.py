"""Every error this library raises on purpose, each also a standard-library one.

``code`` is what a failure row carries: stable, machine-readable, one per cause.
"""

from __future__ import annotations


class SpatialCodeError(Exception):
    """Base of all errors raised on purpose by spatialcode."""

    code = "error"


class ConfigError(SpatialCodeError, ValueError):
    """A configuration key or value is unknown, missing or out of range."""

    code = "config"


class SchemaError(SpatialCodeError, ValueError):
    """A value does not fit the spatial-code schema; names field, expected and got."""

    code = "schema"

    def __init__(self, field: str, expected: str, got: object) -> None:
        super().__init__(f"{field}: expected {expected}, got {got!r}")
        self.field = field
        self.expected = expected
        self.got = got

    def __reduce__(self) -> tuple[type[SchemaError], tuple[str, str, object]]:
        return type(self), (self.field, self.expected, self.got)


class ParseError(SpatialCodeError, ValueError):
    """Text or bytes that should hold a spatial code do not."""

    code = "parse"


class WeightsError(SpatialCodeError, ValueError):
    """Weights are missing, damaged, or do not fit the model they are loaded into."""

    code = "weights"


class EncodeError(SpatialCodeError, ValueError):
    """Frames were decoded, but no spatial code can be made of them."""

    code = "encode"


class DeviceMemoryError(EncodeError, MemoryError):
    """A network's device has no memory left for the frames or objects that were given at once."""

    code = "device_memory"


class FurnitureError(SpatialCodeError, RuntimeError):
    """Rooms of real furniture cannot be rendered here: models or OpenGL are missing or damaged."""

    code = "furniture"


class InputError(SpatialCodeError, ValueError):
    """A listing of inputs names something that is not there or cannot be listed."""

    code = "input"


class VideoError(SpatialCodeError, ValueError):
    """Base of everything that can be wrong with one video.

    ``reason`` says what is wrong without naming the file; ``path`` names it, where it is known. The
    text of the error is both; `about` puts another name in the place of the path.
    """

    code = "video"

    def __init__(self, reason: str, path: object = None) -> None:
        self.reason = reason
        self.path = None if path is None else str(path)
        super().__init__(self.about(self.path or ""))

    def about(self, name: str) -> str:
        """The text of the error with ``name`` for the file, for readers who must not see paths."""
        return self.reason if self.path is None else f"{name}: {self.reason}"

    def __reduce__(self) -> tuple[type[VideoError], tuple[str, str | None]]:
        return type(self), (self.reason, self.path)


class VideoNotFoundError(VideoError, FileNotFoundError):
    """No file at that path."""

    code = "video_not_found"


class EmptyVideoError(VideoError):
    """The file has no bytes, or no frame can be decoded from it."""

    code = "video_empty"


class UnsupportedVideoError(VideoError):
    """Container format or codec is unknown or not on the allow-list."""

    code = "video_unsupported"


class NoVideoStreamError(VideoError):
    """The container holds no video stream (audio only, for instance)."""

    code = "video_no_stream"


class VideoLimitError(VideoError):
    """A limit is exceeded; found before decoding.

    ``quantity``: what there is too much or too little of, "bytes", "duration", "pixels", "frames",
    "samples" or "output". ``found``: how much there is, and the limit, in words.
    """

    code = "video_limit"

    def __init__(self, quantity: str, found: str) -> None:
        super().__init__(f"{quantity}: {found}")
        self.quantity = quantity
        self.found = found

    def __reduce__(self) -> tuple[type[VideoError], tuple[str, str | None]]:
        return type(self), (self.quantity, self.found)


class TruncatedVideoError(VideoError):
    """The file ends before its index or its declared frames do."""

    code = "video_truncated"


class CorruptVideoError(VideoError):
    """Damage inside the stream, including damage that FFmpeg would conceal."""

    code = "video_corrupt"


class DecodeCrashError(VideoError, RuntimeError):
    """The decoding child process died (segmentation fault, abort)."""

    code = "decode_crash"


class DecodeTimeoutError(VideoError, TimeoutError):
    """The decoding child process exceeded its wall clock and was killed."""

    code = "decode_timeout"


class DecodeMemoryError(VideoError, MemoryError):
    """The decoding child process ran into its memory limit."""

    code = "decode_memory"


class FormatError(SpatialCodeError, ValueError):
    """A file does not hold what its format promises: JSON, published boxes, questions."""

    code = "format"


class ProgramError(SpatialCodeError, ValueError):
    """A program over a spatial code is refused, or cannot be carried out; says where and why.

    ``kind``: "syntax", "forbidden", "unknown name", "arguments", "type", "missing object",
    "ambiguous", "superfluous", "undefined", "limit" or "answer". ``line`` and ``column`` count
    from 1, in characters.
    """

    code = "program"

    def __init__(self, kind: str, line: int, column: int, reason: str) -> None:
        super().__init__(f"line {line}, column {column}: {reason}")
        self.kind = kind
        self.line = line
        self.column = column
        self.reason = reason

    def __reduce__(self) -> tuple[type[ProgramError], tuple[str, int, int, str]]:
        return type(self), (self.kind, self.line, self.column, self.reason)


class PromptError(SpatialCodeError, ValueError):
    """A question and what it names do not fit into the tokens a prompt may have."""

    code = "prompt"


class ModelError(SpatialCodeError, RuntimeError):
    """A language model cannot be loaded, or its endpoint is not set up."""

    code = "model"


class ActorsLostError(SpatialCodeError, RuntimeError):
    """Actors die faster than they can be replaced, or cannot be started at all."""

    code = "actors_lost"


class WeightSyncError(SpatialCodeError, ValueError):
    """Weights that were sent are damaged, incomplete or of another version; none is applied."""

    code = "weight_sync"


class StaleSampleError(SpatialCodeError, RuntimeError):
    """Samples were drawn with weights further from the trained ones than is allowed."""

    code = "stale_sample"


class ParityError(SpatialCodeError, RuntimeError):
    """The trainer's log-probabilities of sampled tokens are not the sampler's; says by how much."""

    code = "parity"


class MissingExtraError(SpatialCodeError, ImportError):
    """A feature needs a package that only an extra of this library installs; names the extra.

    ``install``: the line that installs it, where an extra alone cannot.
    """

    code = "missing_extra"

    def __init__(self, feature: str, extra: str, install: str | None = None) -> None:
        line = install or f"pip install 'spatialcode[{extra}]'"
        super().__init__(f"{feature} needs the extra {extra!r}: {line}")
        self.feature = feature
        self.extra = extra
        self.install = install

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str | None]]:
        return type(self), (self.feature, self.extra, self.install)
