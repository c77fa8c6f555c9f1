"""A page that shows a study to people: the same words and options that a model gets, with jsPsych."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from grace_client.core import paths
from grace_client.core.errors import SpecError
from grace_client.core.trials import TrialList
from grace_client.studies.declaration import Experiment
from grace_client.studies.web import _consent, _content, _library

PAGE = "index.html"
TITLE = "Study"
"""Title of the page. The study's own title may say what it is about, which people should not know."""

MANY = 200
"""More questions than this for one person deserve a note."""


@dataclass(frozen=True, slots=True)
class Written:
    """A page.

    Attributes
    ----------
    path : Path
        The file.
    participants : tuple of str
        The participants of the list, in its order; empty if it names none.
    trials, questions : tuple of int
        The fewest and the most that one person gets.
    notes : tuple of str
        What the researcher should know.
    """

    path: Path
    participants: tuple[str, ...]
    trials: tuple[int, int]
    questions: tuple[int, int]
    notes: tuple[str, ...]


def write(
    experiment: Experiment,
    listed: TrialList,
    folder: Path,
    *,
    title: str = TITLE,
    consent: Path | None = None,
    post: str | None = None,
    jspsych: Path | None = None,
) -> Written:
    """Write the page of an experiment. It needs no other file and no network.

    Parameters
    ----------
    experiment : Experiment
        What people are asked.
    listed : TrialList
        The trials.
    folder : Path
        Gets ``index.html``.
    title : str
        Title of the page.
    consent : Path, optional
        File with the text that people read before they agree (see `_consent.read`). Without it, the page has
        a text that says that it must be replaced.
    post : str, optional
        Where the page sends the data: a URL, or a path on the server of the page.
    jspsych : Path, optional
        Folder with the archives of jsPsych. Without it: grace's cache, or npm.

    Raises
    ------
    SpecError
        If people cannot be asked, if `post` is no address, or if jsPsych cannot be had.
    TrialError
        If a trial cannot be asked.
    FileError
        If a file cannot be read.
    """
    connect = _connect(post)
    blocks = None if consent is None else _consent.read(consent)
    content = _content.content(experiment, listed)
    participants = content["participants"]
    groups = [places for _, places in participants] or [list(range(len(listed.trials)))]
    each = len(content["trials"][0]["questions"])
    smallest, largest = min(map(len, groups)), max(map(len, groups))
    notes = []
    if consent is None:
        notes.append(
            "the first page is a placeholder. Write the text for your participants into a file and name it "
            "with --consent"
        )
    if largest * each > MANY:
        notes.append(
            f"a person gets up to {largest * each} questions. A shorter list (--trials), or a column that "
            "names the participant, gives each person fewer"
        )
    page = _page(
        content, title=title, consent=blocks, post=post, connect=connect, scripts=_library.scripts(jspsych)
    )
    path = folder / PAGE
    with paths.replacing(path) as new:
        new.write_text(page, encoding="utf-8")
    return Written(
        path,
        tuple(name for name, _ in participants),
        (smallest, largest),
        (smallest * each, largest * each),
        tuple(notes),
    )


def _page(
    content: dict[str, Any],
    *,
    title: str,
    consent: list[_consent.Block] | None,
    post: str | None,
    connect: str,
    scripts: list[str],
) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("grace_client.studies.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    own = resources.files(__name__).joinpath("templates")
    code = [_plain(text) for text in (*scripts, own.joinpath("page.js").read_text(encoding="utf-8"))]
    # The browser runs these scripts and no other, whatever a study file or a consent text has in it.
    policy = (
        f"default-src 'none'; script-src {' '.join(map(_digest, code))}; style-src 'unsafe-inline'; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'"
    )
    packages = ", ".join(package.spec for package in _library.PACKAGES)
    return environment.get_template("page.html.j2").render(
        title=title,
        policy=policy,
        packages=packages,
        css=own.joinpath("page.css").read_text(encoding="utf-8"),
        consent=consent,
        data=embedded(content | {"post": post}),
        code=code,
    )


def embedded(data: dict[str, Any]) -> str:
    """Data as JSON that may stand in an HTML page: no text in it can end the element or begin another."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _plain(script: str) -> str:
    if re.search(r"</script|<!--", script, re.IGNORECASE):
        raise SpecError("A file of jsPsych cannot stand in a page, because it has '</script' or '<!--' in it")
    return script.replace("\r\n", "\n").replace("\r", "\n")


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _connect(post: str | None) -> str:
    """What the page may connect to, as its policy says it."""
    if post is None:
        return "'none'"
    wrong = SpecError(
        f"--post {post}: is no address. Write one that begins with https:// or http://, or a path on the "
        "server of the page, such as /save"
    )
    try:
        parts = urlsplit(post)
    except ValueError:
        raise wrong from None
    if not post.isascii() or not post.isprintable() or " " in post:
        raise wrong
    if not parts.scheme and not parts.netloc and post.startswith("/"):
        return "'self'"
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"[\w.-]+(:\d{1,5})?", parts.netloc):
        raise wrong
    return f"{parts.scheme}://{parts.netloc}"
