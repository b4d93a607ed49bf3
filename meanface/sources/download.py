"""Download an archive of photos, and verify its checksum.

A download grows in `<target>.part`. Beside this file, `<target>.part.json` holds the URL and the
validator (ETag or Last-Modified) of the download. An interrupted run leaves both files, so that the
next run resumes. The file gets its final name when its digest is the expected one.
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
    """Download one file from the first mirror that has the whole file; return the mirror's URL.

    `urls` (http or https) are tried in order, each at most `attempts` times and `wait` apart. Only
    temporary failures are retried: no connection, `timeout` seconds without a byte, a body cut
    short, 408, 429 and 5xx. After any other failure, the next URL is tried at once. An attempt
    resumes the previous attempt, of this run or of an earlier run.

    The folder of `target` must exist. Raises UserError, with the reason of every mirror, if no
    mirror has the file; `target` is then unchanged.
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
        f"{target}: not downloaded; check the URLs and the checksum, or run again to "
        f"resume: {'; '.join(reasons)}"
    )


def _fetch_verified(
    url: str, part: Path, checksum: Checksum, timeout: float, retrying: Retrying
) -> None:
    """Fetch `url` into `part`. If the digest is wrong, delete `part` and raise UserError.

    A file from several answers, or of a size that the server did not announce, is first fetched a
    second time from the start.
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
    """Try once to complete `part`; return whether `part` is one answer of the announced size.

    RFC 9110: with `If-Range`, the server sends the rest (206) if the file is unchanged, else the
    whole file (200). 416 means that no bytes follow. `If-Range` allows no weak validators, so the
    validator of a 206 is compared as well.
    """
    offset, validator = _begun(part, url)
    # Ask for identity and do not decode: a .tgz sent as `Content-Encoding: gzip` must stay a .tgz.
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
            # Written after `part` is truncated: the note must not describe bytes of another file.
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
        pass  # no part, or no readable note
    return 0, ""


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _validator(response: requests.Response) -> str:
    return response.headers.get("ETag") or response.headers.get("Last-Modified") or ""


def _continues(response: requests.Response, offset: int, validator: str) -> bool:
    """Tell whether a 206 starts at `offset` and continues the same file."""
    content_range = response.headers.get("Content-Range", "")
    return content_range.startswith(f"bytes {offset}-") and _validator(response) in ("", validator)


def _whole_size(response: requests.Response) -> int | None:
    """Return the size of the whole file in bytes; None if the server does not announce the size."""
    header = "Content-Range" if response.status_code == 206 else "Content-Length"
    size = response.headers.get(header, "").rpartition("/")[2]
    return int(size) if size.isdecimal() else None


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, requests.HTTPError):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    passing = (requests.ConnectionError, requests.Timeout, HTTPError)
    return isinstance(error, passing) and not isinstance(error, SSLError)  # a certificate stays bad


def _root_cause(error: BaseException) -> str:
    """Give the root cause in one line, without the wrappers of requests and urllib3."""
    while error.__context__ is not None:
        error = error.__context__
    return " ".join(str(error).split())
