"""Plans a run: which listed inputs need computing, which are known, which share their content.

An input is done when a row with its id and its present work key is stored: a changed file or
encoder makes a new key and so new work. Failures that follow from the content are remembered in
the same way; `rows.TRANSIENT_CODES` are not. Content that another input has, or that was encoded
before under another name, is not encoded again: its row is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from pipelines.encode.content import ContentCache
from pipelines.encode.inputs import ListedVideo
from pipelines.stored import rows
from pipelines.stored.store import StoredRow
from spatialcode.errors import InputError, SpatialCodeError, VideoNotFoundError
from spatialcode.workkey import EncoderIdentity, work_key


@dataclass(frozen=True)
class Work:
    """One source with the key of its result; the key is empty where the content is unknown."""

    source: ListedVideo
    key: str

    @property
    def error(self) -> SpatialCodeError | None:
        return self.source.error

    def row(self) -> dict[str, object]:
        """The planned row, also the identity of every later row."""
        source = self.source
        return {
            "input_id": source.input_id,
            "uri": source.uri,
            "work_key": self.key,
            "content_id": source.content_id,
            "num_bytes": source.num_bytes,
        }


@dataclass
class Plan:
    """What to do with each input; every input is in exactly one of the lists."""

    compute: list[Work] = field(default_factory=list)
    copy: list[Work] = field(default_factory=list)  # same content as another input
    unusable: list[Work] = field(default_factory=list)  # failed while listing
    done: list[StoredRow] = field(default_factory=list)
    failed_before: list[StoredRow] = field(default_factory=list)

    @property
    def num_inputs(self) -> int:
        return sum(
            len(part)
            for part in (self.compute, self.copy, self.unusable, self.done, self.failed_before)
        )


def identify(sources: Sequence[ListedVideo], cache: ContentCache) -> list[ListedVideo]:
    """The sources with content identities; a file that cannot be read gets an error instead."""
    unknown = [source for source in sources if not source.content_id and source.error is None]
    hashes = dict(cache.hashes([source.uri for source in unknown]))
    return [_identified(source, hashes.get(source.uri)) for source in sources]


def keyed(sources: Iterable[ListedVideo], encoder: EncoderIdentity) -> list[Work]:
    """Each source with its work key."""
    return [
        Work(source, work_key(source.content_id, encoder) if source.content_id else "")
        for source in sources
    ]


def make_plan(works: Sequence[Work], stored: Iterable[StoredRow], retry_failed: bool) -> Plan:
    """Compare the inputs with what is stored."""
    usable = [row for row in stored if _settles(row, retry_failed)]
    by_input = {(row.input_id, row.work_key): row for row in usable}
    known_keys = {row.work_key for row in usable}
    plan = Plan()
    for work in works:
        row = by_input.get((work.source.input_id, work.key))
        if work.error is not None:
            plan.unusable.append(work)
        elif row is not None:
            (plan.done if row.status == rows.OK else plan.failed_before).append(row)
        elif work.key in known_keys:
            plan.copy.append(work)
        else:
            known_keys.add(work.key)
            plan.compute.append(work)
    return plan


def _settles(row: StoredRow, retry_failed: bool) -> bool:
    """Whether a stored row makes computing its key again unnecessary."""
    if not row.work_key:
        return False
    if row.status == rows.OK:
        return True
    return not retry_failed and row.error_code not in rows.TRANSIENT_CODES


def _identified(source: ListedVideo, found: str | OSError | None) -> ListedVideo:
    if found is None:
        return source
    if isinstance(found, FileNotFoundError):
        return replace(source, error=VideoNotFoundError("not found", source.uri))
    if isinstance(found, OSError):
        return replace(source, error=InputError(f"{source.uri}: {found}"))
    return replace(source, content_id=found)
