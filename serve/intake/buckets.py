"""Videos from S3 buckets that the configuration names, with the service's own credentials.

A bucket that is not named there is refused whatever those credentials could read.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from serve.http import problems
from serve.intake.addresses import MAX_URL_CHARS, refused
from serve.intake.spool import Spool, StoredUpload
from serve.limits import FetchConfig, LimitConfig

PIECE_BYTES = 2**20
S3_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/([^\x00-\x1f\x7f]+)")


async def fetch_object(url: str, fetch: FetchConfig, limits: LimitConfig) -> StoredUpload:
    """The object behind an ``s3://bucket/key``, on disk.

    Problems: 422 ``url_refused`` for a bucket that is not configured, ``fetch_failed`` where the
    object is not there or cannot be read, 413 beyond ``max_upload_bytes``. Takes no time limit of
    its own.
    """
    match = S3_URL.fullmatch(url) if len(url) <= MAX_URL_CHARS else None
    if match is None:
        raise refused("expected s3://bucket/key")
    bucket, key = match.groups()
    if bucket not in fetch.s3_buckets:
        raise refused("videos are not fetched from this bucket")
    try:
        file = await asyncio.to_thread(_open, bucket, key, fetch.s3_endpoint_url)
    except Exception as error:  # the boundary: botocore's errors have no common base
        raise _failed(error) from None
    try:
        async with Spool(limits, limits.max_upload_bytes) as spool:
            spool.check_declared(file.size)
            while piece := await _read(file):
                await spool.write(piece)
            if not spool.num_bytes:
                raise problems.invalid("the video has no bytes", "video_empty")
            return await spool.finish(key)
    finally:
        file.close()


def _open(bucket: str, key: str, endpoint_url: str | None) -> Any:
    import s3fs

    files = s3fs.S3FileSystem(endpoint_url=endpoint_url, use_listings_cache=False)
    return files.open(f"{bucket}/{key}", "rb", block_size=PIECE_BYTES, cache_type="readahead")


async def _read(file: Any) -> bytes:
    try:
        return bytes(await asyncio.to_thread(file.read, PIECE_BYTES))
    except Exception as error:  # as above
        raise _failed(error) from None


def _failed(error: Exception) -> problems.Problem:
    detail = f"the object could not be read ({type(error).__name__})"
    return problems.invalid(detail, "fetch_failed")
