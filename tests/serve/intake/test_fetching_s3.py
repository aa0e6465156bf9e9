"""Videos from S3: only from buckets that are named, within the same limits."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from serve.config import FetchConfig, LimitConfig, ServeConfig
from serve.http.problems import HTTPProblem
from serve.intake.fetching import Fetcher

VIDEO = os.urandom(3_000_000)


@pytest.fixture
def fetcher(
    s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Fetcher]:
    """Both buckets can be read with these credentials, and only ``open-videos`` is configured."""
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    files = s3fs.S3FileSystem(endpoint_url=s3_endpoint, use_listings_cache=False)
    for bucket in ("open-videos", "closed-videos"):
        if not files.exists(bucket):
            files.mkdir(bucket)
            files.pipe_file(f"{bucket}/in/my room.mp4", VIDEO)
            files.pipe_file(f"{bucket}/empty.mp4", b"")

    def make(max_bytes: int = 2**23, **fetch: object) -> Fetcher:
        settings = {"s3_buckets": ("open-videos",), "s3_endpoint_url": s3_endpoint} | fetch
        limits = LimitConfig(spool_dir=str(tmp_path), max_upload_bytes=max_bytes)
        return Fetcher(ServeConfig(fetch=FetchConfig(**settings), limits=limits))

    return make


def test_an_object_of_a_named_bucket_arrives(fetcher: Callable[..., Fetcher]) -> None:
    upload = asyncio.run(fetcher().fetch("s3://open-videos/in/my room.mp4"))
    assert upload.path.read_bytes() == VIDEO
    assert upload.sha256 == hashlib.sha256(VIDEO).hexdigest()
    assert upload.name == "my room.mp4"
    upload.discard()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("s3://closed-videos/in/my room.mp4", "url_refused"),
        ("s3://open-videos", "url_refused"),
        ("s3://open-videos/", "url_refused"),
        ("s3:///in/my room.mp4", "url_refused"),
        ("s3://open-videos@closed-videos/in/my room.mp4", "url_refused"),
        ("s3://open-videos:80/in/my room.mp4", "url_refused"),
        ("s3://open-videos/../closed-videos/in/my room.mp4", "fetch_failed"),
        ("s3://open-videos/in/\x00", "url_refused"),
        ("s3://open-videos/in", "video_empty"),
        ("s3://open-videos/in/*.mp4", "fetch_failed"),
        ("s3://open-videos/none.mp4", "fetch_failed"),
        ("s3://open-videos/empty.mp4", "video_empty"),
        ("S3://open-videos/in/my room.mp4", "url_refused"),
        ("s3://open-videos/" + "a" * 3000, "url_refused"),
    ],
)
def test_everything_else_is_refused(
    fetcher: Callable[..., Fetcher], tmp_path: Path, url: str, code: str
) -> None:
    with pytest.raises(HTTPProblem) as caught:
        asyncio.run(fetcher().fetch(url))
    assert (caught.value.status_code, caught.value.code) == (422, code)
    assert list(tmp_path.glob("upload-*")) == []


def test_limits_hold_here_as_well(fetcher: Callable[..., Fetcher], tmp_path: Path) -> None:
    with pytest.raises(HTTPProblem) as caught:
        asyncio.run(fetcher(max_bytes=len(VIDEO) - 1).fetch("s3://open-videos/in/my room.mp4"))
    assert caught.value.status_code == 413
    with pytest.raises(HTTPProblem) as caught:
        asyncio.run(fetcher(timeout_s=1e-6).fetch("s3://open-videos/in/my room.mp4"))
    assert caught.value.code == "fetch_timeout"
    assert list(tmp_path.glob("upload-*")) == []


def test_without_named_buckets_s3_is_no_scheme(fetcher: Callable[..., Fetcher]) -> None:
    with pytest.raises(HTTPProblem) as caught:
        asyncio.run(fetcher(s3_buckets=()).fetch("s3://open-videos/in/my room.mp4"))
    assert caught.value.code == "url_refused"
