"""Benchmark tables of the hub, through `datasets`, at a pinned revision and never with code from the repository."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from harness.datasets.local import Raw, read_list
from harness.errors import MissingExtra, PrerequisiteError
from harness.types import HubRef

_PATIENCE = 10.0  # seconds for the one request that tells whether there is a hub at all


def read_hub(ref: HubRef) -> Iterator[Raw]:
    """The rows of one split of a hub data set; what was downloaded before is read from the cache of `datasets`.

    Raises `MissingExtra` without `datasets`, `PrerequisiteError` if the hub is unreachable or refuses.
    """
    if ref.file:
        yield from read_list(fetch_file(ref.repo, ref.file, ref.revision))
        return
    try:
        import datasets
        from huggingface_hub import constants
    except ImportError as error:
        raise MissingExtra("loading benchmark data from the hub", "hub") from error
    datasets.disable_progress_bars()
    offline = constants.HF_HUB_OFFLINE or not _reachable(constants.ENDPOINT)
    try:
        with _offline(offline):
            # The scheme keeps a folder of that name in the working directory from being taken for the data set.
            table = datasets.load_dataset(
                f"hf://datasets/{ref.repo}", ref.config, split=ref.split, revision=ref.revision
            )
    except Exception as error:  # the library raises a dozen unrelated types for "cannot get it", OSError to ValueError
        raise PrerequisiteError(_advice(ref, error, offline)) from error
    for number, fields in enumerate(table):
        yield Raw(fields, f"hub data set {ref.repo}, split {ref.split}, row {number}")


def fetch_file(repo: str, name: str, revision: str) -> Path:
    """One file of a hub data set, downloaded or from the cache.

    Raises `MissingExtra` without `huggingface_hub`, `PrerequisiteError` if the hub is unreachable or refuses.
    """
    try:
        from huggingface_hub import constants, hf_hub_download
    except ImportError as error:
        raise MissingExtra("loading benchmark data from the hub", "hub") from error
    offline = constants.HF_HUB_OFFLINE or not _reachable(constants.ENDPOINT)
    try:
        path = hf_hub_download(repo, name, repo_type="dataset", revision=revision, local_files_only=offline)
    except Exception as error:  # as in `read_hub`
        raise PrerequisiteError(_advice(HubRef(repo, None, "", revision), error, offline)) from error
    return Path(path)


@cache
def _reachable(endpoint: str) -> bool:
    """Whether anything answers there: the library itself retries for half a minute for each data set."""
    request = urllib.request.Request(endpoint, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE):
            return True
    except urllib.error.HTTPError:  # an answer, if not a friendly one
        return True
    except (OSError, ValueError):
        return False


@contextmanager
def _offline(offline: bool) -> Iterator[None]:
    """Switch the two libraries, which read the environment only when imported, to their caches for a while."""
    import datasets.config
    from huggingface_hub import constants

    before = (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE)
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = offline
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _advice(ref: HubRef, error: Exception, offline: bool) -> str:
    if offline:
        reason = "the hub cannot be reached and the data is not in the local cache"
    else:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
    return (
        f"the hub data set {ref.repo!r} (revision {ref.revision}) could not be loaded: {reason}. Without a network, "
        "put the benchmark files in a folder and name it with --data-dir or HARNESS_DATA_DIR; a gated set needs its "
        "terms accepted and HF_TOKEN set"
    )
