"""Object storage as a file system."""

from __future__ import annotations

from typing import Any


def s3_filesystem(endpoint_url: str | None) -> Any:
    """An s3fs file system; credentials come from the environment as for any AWS tool."""
    import s3fs

    return s3fs.S3FileSystem(endpoint_url=endpoint_url, use_listings_cache=False)
