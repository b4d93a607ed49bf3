"""Fetch an archive of photos, and verify it.

A download grows in `<target>.part`, and beside it `<target>.part.json` holds the URL and the
validator (ETag or Last-Modified) that it came under. Both outlive an interrupted run, so that the
next one resumes. The bytes get their final name only once their digest is the expected one.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import requests
from requests.exceptions import SSLError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter
from tenacity.before_sleep import before_sleep_log
from tenacity.wait import WaitBaseT
from tqdm import tqdm
from urllib3.exceptions import HTTPError, IncompleteRead

from meanface.errors import UserError
from meanface.files.digest import file_digest
from meanface.sources.checksum import Checksum

BACK_OFF = wait_exponential_jitter(initial=1, max=60, jitter=1)  # seconds: 1, 2, 4, ... plus 0 to 1
BLOCK = 64 * 1024  # bytes read from the network at a time

log = logging.getLogger(__name__)


def download(
    urls: Sequence[str],
    target: Path,
    checksum: Checksum,
    *,
    attempts: int = 5,
    timeout: float = 30.0,
    wait: WaitBaseT = BACK_OFF,
) -> str:
    """Fetch one file from the first of its mirrors that has it whole, and return that mirror's URL.

    `urls` (http or https) are tried in order, each up to `attempts` times while its failures may
    pass (no connection, `timeout` seconds without a byte, a body cut short, 408, 429, 5xx), `wait`
    apart; any other failure goes on to the next at once. An attempt resumes what the one before it
    left, in this run or an earlier one.

    Raises UserError, with the reason of every mirror, if none of them has the file; `target` is
    untouched then. Its folder must exist.
    """
    for url in urls:
        if not url.lower().startswith(("http://", "https://")):
            raise UserError(f"{url}: cannot be downloaded, give an http or https URL")
    retrying = Retrying(
        stop=stop_after_attempt(attempts),
        wait=wait,
        retry=retry_if_exception(_may_pass),
        before_sleep=before_sleep_log(log, logging.WARNING),
        reraise=True,
    )
    part = target.with_name(target.name + ".part")
    reasons = []
    for url in urls:
        try:
            _fetch_verified(url, part, checksum, timeout, retrying)
            part.replace(target)
            _note(part).unlink(missing_ok=True)
            return url
        except (requests.RequestException, HTTPError, UserError) as error:
            reasons.append(f"{url}: {_root_cause(error)}")
            log.warning(reasons[-1])
        except OSError as error:
            raise UserError(f"{part}: cannot be written: {error.strerror}") from error
    raise UserError(
        f"{target}: not downloaded; check the URLs and the checksum, or run again to go on where "
        f"it stopped: {'; '.join(reasons)}"
    )


def _fetch_verified(
    url: str, part: Path, checksum: Checksum, timeout: float, retrying: Retrying
) -> None:
    """Fetch `url` into `part`, and delete it with a UserError if its digest is wrong.

    A file put together from several answers, or of a size that the server did not tell, gets a
    second chance from zero first.
    """
    for _ in range(2):
        certain = retrying(_fetch, url, part, timeout)
        found = file_digest(part, checksum.algorithm)
        if found == checksum.digest:
            return
        part.unlink()
        if certain:
            break
    _note(part).unlink(missing_ok=True)
    raise UserError(f"gave a file whose {checksum.algorithm} is {found}, not {checksum.digest}")


def _fetch(url: str, part: Path, timeout: float) -> bool:
    """Try once to complete `part`; return whether it is a single answer of the announced size.

    RFC 9110: with `If-Range`, the server sends the rest (206) if its file is still the one begun,
    else the whole (200); 416 means that nothing comes after what we have. Weak validators are not
    allowed there, so a 206 is checked as well.
    """
    offset, validator = _begun(part, url)
    # identity, and read undecoded: a .tgz labelled `Content-Encoding: gzip` has to stay a .tgz.
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator and not validator.startswith("W/"):
            headers["If-Range"] = validator
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        if offset and response.status_code == 416:
            return False
        response.raise_for_status()
        if response.status_code != 206:
            offset = 0
        elif offset and not _continues(response, offset, validator):
            part.unlink()
            return _fetch(url, part, timeout)
        size = _whole_size(response)
        with (
            part.open("ab" if offset else "wb") as file,
            tqdm(desc=part.stem, initial=offset, total=size, unit="B", unit_scale=True) as progress,
        ):
            # Only now that the part is truncated: a note must not vouch for another file's bytes.
            _note(part).write_text(json.dumps({"url": url, "validator": _validator(response)}))
            for block in response.raw.stream(BLOCK, decode_content=False):
                file.write(block)
                progress.update(len(block))
            received = file.tell()
    if size is not None and received < size:  # a 206 may hold less than was asked for
        raise IncompleteRead(received, size - received)
    return size is not None and not offset


def _begun(part: Path, url: str) -> tuple[int, str]:
    """Return how many bytes of `url` are in `part` and their validator, or (0, "")."""
    try:
        note = json.loads(_note(part).read_text())
        if note["url"] == url:
            return part.stat().st_size, str(note["validator"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no part, or no note that can be read
    return 0, ""


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _validator(response: requests.Response) -> str:
    return response.headers.get("ETag") or response.headers.get("Last-Modified") or ""


def _continues(response: requests.Response, offset: int, validator: str) -> bool:
    """Tell whether a 206 starts at `offset` and is of the file that was begun."""
    content_range = response.headers.get("Content-Range", "")
    return content_range.startswith(f"bytes {offset}-") and _validator(response) in ("", validator)


def _whole_size(response: requests.Response) -> int | None:
    """Return the size in bytes of the whole file, None where the server does not tell it."""
    header = "Content-Range" if response.status_code == 206 else "Content-Length"
    size = response.headers.get(header, "").rpartition("/")[2]
    return int(size) if size.isdecimal() else None


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, requests.HTTPError):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    passing = (requests.ConnectionError, requests.Timeout, HTTPError)
    return isinstance(error, passing) and not isinstance(error, SSLError)  # a certificate stays bad


def _root_cause(error: BaseException) -> str:
    """Say in one line what went wrong, without the layers that requests and urllib3 wrap it in."""
    while error.__context__ is not None:
        error = error.__context__
    return " ".join(str(error).split())
