"""The name under which this project is distributed, and the command that installs one of its extras.

The name is on no package index yet: until it is published there, a command that asks an index for it would install
whatever a stranger uploads under it. So every command that is printed installs from where this copy came from.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from urllib.parse import unquote, urlsplit

NAME = "distillation-harness"
"""The distribution; the import packages are `harness`, `judges`, `rubrics` and `backends`."""


def install_command(extra: str) -> str:
    """The shell command that installs an extra, from the checkout or the repository that this copy was installed from.

    Where neither is known (an installed wheel) the command is to be run in a checkout of the project.
    """
    checkout = Path(__file__).resolve().parents[1]
    if extra == "lighteval" and (checkout / "Makefile").is_file():
        return f"make -C {shlex.quote(str(checkout))} venv-full"  # its pins conflict: it has an environment of its own
    if (checkout / "pyproject.toml").is_file():
        return _from_checkout(checkout, extra)
    source = _source()
    if source.startswith("git+"):
        return f"pip install {shlex.quote(f'{NAME}[{extra}] @ {source}')}"
    if source and (Path(source) / "pyproject.toml").is_file():
        return _from_checkout(Path(source), extra)
    return f"pip install -e '.[{extra}]' -c constraints.txt, in a checkout of {NAME}"


def _from_checkout(checkout: Path, extra: str) -> str:
    constraints = checkout / "constraints.txt"
    pinned = f" -c {shlex.quote(str(constraints))}" if constraints.is_file() else ""
    return f"pip install -e {shlex.quote(f'{checkout}[{extra}]')}{pinned}"


def _source() -> str:
    """Where pip took this distribution from (PEP 610): "git+URL@commit", a local folder, or "" if it does not say."""
    from importlib import metadata  # slow, and needed only when something is missing

    try:
        text = metadata.distribution(NAME).read_text("direct_url.json") or "{}"
        origin = json.loads(text)
        url = str(origin.get("url", ""))
        repository = origin.get("vcs_info")
    except (metadata.PackageNotFoundError, ValueError, AttributeError):
        return ""
    if isinstance(repository, dict) and repository.get("vcs") == "git":
        return f"git+{url}@{repository.get('commit_id', 'HEAD')}"
    return unquote(urlsplit(url).path) if url.startswith("file:") else ""
