"""Downloads against a real server on loopback that breaks in every way that servers do."""

import gzip
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tenacity import RetryCallState, wait_none
from tenacity.wait import wait_base

from meanface.errors import UserError
from meanface.sources.checksum import Checksum
from meanface.sources.download import BACK_OFF, BLOCK, download
from tests.fileserver import FileServer, Reply, closed_port

PHOTOS = hashlib.shake_256(b"photos").digest(5 * BLOCK + 17)
OTHER = hashlib.shake_256(b"other").digest(len(PHOTOS))
CUT = 2 * BLOCK
TAG = {"ETag": '"v1"'}
NEW_TAG = {"ETag": '"v2"'}
DATE = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
ERROR_PAGE = Reply(b"<html>Down for maintenance</html>")


def sha256(content: bytes) -> Checksum:
    return Checksum("sha256", hashlib.sha256(content).hexdigest())


MD5 = Checksum("md5", hashlib.md5(PHOTOS, usedforsecurity=False).hexdigest())


class RecordedWait(wait_base):
    """Does not wait, and remembers the seconds that the back-off asked for."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, retry_state: RetryCallState) -> float:
        self.seconds.append(BACK_OFF(retry_state))
        return 0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with FileServer() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "photos.tgz"


def fetch(
    urls: str | list[str],
    target: Path,
    checksum: Checksum | None = None,
    *,
    attempts: int = 3,
    timeout: float = 20,
    wait: wait_base | None = None,
) -> str:
    return download(
        [urls] if isinstance(urls, str) else urls,
        target,
        checksum or sha256(PHOTOS),
        attempts=attempts,
        timeout=timeout,
        wait=wait or wait_none(),
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_whole(target: Path, content: bytes = PHOTOS) -> None:
    assert target.read_bytes() == content
    assert names(target.parent) == [target.name]


def refused(urls: str | list[str], target: Path, checksum: Checksum | None = None) -> str:
    """Download in vain, and return the error, which has to be one line."""
    with pytest.raises(UserError) as caught:
        fetch(urls, target, checksum)
    assert not target.exists()
    message = str(caught.value)
    assert str(target) in message
    assert "\n" not in message
    return message


def ranges(server: FileServer, path: str) -> list[str | None]:
    return [request.headers.get("Range") for request in server.asked(path)]


# A good server


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_whole_file(server: FileServer, target: Path, algorithm: str) -> None:
    url = server.serve("/a", Reply(PHOTOS, headers=TAG))
    checksum = Checksum(algorithm, hashlib.new(algorithm, PHOTOS).hexdigest().upper())
    assert fetch(url, target, checksum) == url
    assert_whole(target)
    assert len(server.requests) == 1


def test_old_file_is_replaced(server: FileServer, target: Path) -> None:
    target.write_bytes(OTHER)
    fetch(server.serve("/a", Reply(PHOTOS)), target)
    assert_whole(target)


def test_redirect(server: FileServer, target: Path) -> None:
    final = server.serve("/final", Reply(PHOTOS))
    url = server.serve("/a", Reply(status=302, headers={"Location": final}))
    assert fetch(url, target) == url
    assert_whole(target)


@pytest.mark.parametrize("content", [PHOTOS, OTHER])
def test_redirect_to_another_host(server: FileServer, target: Path, content: bytes) -> None:
    """Followed: what comes from there has to have the checksum as well."""
    with FileServer() as elsewhere:
        there = elsewhere.serve("/final", Reply(content)).replace("127.0.0.1", "localhost")
        url = server.serve("/a", Reply(status=302, headers={"Location": there}))
        if content is PHOTOS:
            assert fetch(url, target) == url
            assert_whole(target)
        else:
            assert sha256(OTHER).digest in refused(url, target)
            assert names(target.parent) == []
        assert len(elsewhere.requests) == 1


def test_redirect_in_a_circle(server: FileServer, target: Path) -> None:
    circle = Reply(status=302, headers={"Location": server.url("/a")})
    assert "redirects" in refused(server.serve("/a", circle), target)


def test_chunked(server: FileServer, target: Path) -> None:
    fetch(server.serve("/a", Reply(PHOTOS, chunked=True)), target)
    assert_whole(target)


def test_content_encoding_is_not_undone(server: FileServer, target: Path) -> None:
    packed = gzip.compress(PHOTOS)
    url = server.serve("/a", Reply(packed, headers={"Content-Encoding": "gzip"}))
    fetch(url, target, sha256(packed))
    assert_whole(target, packed)
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


def test_progress(server: FileServer, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch(server.serve("/a", Reply(PHOTOS)), target)
    shown = capsys.readouterr().err
    assert "photos.tgz: 100%" in shown
    assert "B/s" in shown


# Interruptions


@pytest.mark.parametrize("cut", [1, BLOCK - 1, BLOCK, BLOCK + 1, len(PHOTOS) - 1])
def test_cut_connection_resumes_with_the_rest_only(
    server: FileServer, target: Path, cut: int
) -> None:
    good = Reply(PHOTOS, headers=TAG)
    fetch(server.serve("/a", Reply(PHOTOS, headers=TAG, cut=cut), good), target)
    assert_whole(target)
    assert ranges(server, "/a") == [None, f"bytes={cut}-"]
    assert server.requests[1].headers["If-Range"] == '"v1"'
    assert server.requests[1].sent == len(PHOTOS) - cut


def test_cut_again_and_again(server: FileServer, target: Path) -> None:
    cut = Reply(PHOTOS, headers=TAG, cut=CUT)
    fetch(server.serve("/a", cut, cut, Reply(PHOTOS, headers=TAG)), target)
    assert_whole(target)
    assert ranges(server, "/a") == [None, f"bytes={CUT}-", f"bytes={2 * CUT}-"]


def test_cut_before_the_first_byte(server: FileServer, target: Path) -> None:
    fetch(server.serve("/a", Reply(PHOTOS, headers=TAG, cut=0), Reply(PHOTOS, headers=TAG)), target)
    assert_whole(target)
    assert ranges(server, "/a") == [None, None]


def test_cut_chunked_body(server: FileServer, target: Path) -> None:
    cut = Reply(PHOTOS, headers=TAG, chunked=True, cut=CUT)
    fetch(server.serve("/a", cut, Reply(PHOTOS, headers=TAG)), target)
    assert_whole(target)
    assert len(server.requests) == 2


def test_cut_body_of_untold_size(server: FileServer, target: Path) -> None:
    """Nothing but the digest shows that such a body was cut."""
    no_size = {"Content-Length": ""}
    url = server.serve("/a", Reply(PHOTOS, headers=no_size, cut=CUT), Reply(PHOTOS))
    fetch(url, target)
    assert_whole(target)
    assert ranges(server, "/a") == [None, None]


@pytest.mark.parametrize(
    "silence",
    [Reply(PHOTOS, headers=TAG, cut=0, stall=True), Reply(silent=True)],
    ids=["after the head", "before the head"],
)
def test_silent_server_is_given_up(server: FileServer, target: Path, silence: Reply) -> None:
    cut = Reply(PHOTOS, headers=TAG, cut=CUT)
    url = server.serve("/a", cut, silence, Reply(PHOTOS, headers=TAG))
    fetch(url, target, attempts=9, timeout=0.5)
    assert_whole(target)
    assert ranges(server, "/a")[:3] == [None, f"bytes={CUT}-", f"bytes={CUT}-"]


def test_last_modified_serves_as_validator(server: FileServer, target: Path) -> None:
    cut = Reply(PHOTOS, headers=DATE, cut=CUT)
    fetch(server.serve("/a", cut, Reply(PHOTOS, headers=DATE)), target)
    assert_whole(target)
    assert server.requests[1].headers["If-Range"] == DATE["Last-Modified"]
    assert server.requests[1].sent == len(PHOTOS) - CUT


def test_range_that_ends_early_is_continued(server: FileServer, target: Path) -> None:
    cut = Reply(PHOTOS, headers=TAG, cut=CUT)
    short = Reply(PHOTOS, headers=TAG, most=100)
    fetch(server.serve("/a", cut, short, Reply(PHOTOS, headers=TAG)), target)
    assert_whole(target)
    assert ranges(server, "/a") == [None, f"bytes={CUT}-", f"bytes={CUT + 100}-"]


def test_server_that_ignores_range_starts_again(server: FileServer, target: Path) -> None:
    cut = Reply(PHOTOS, headers=TAG, cut=CUT)
    fetch(server.serve("/a", cut, Reply(PHOTOS, headers=TAG, ranges=False)), target)
    assert_whole(target)
    assert server.requests[1].sent == len(PHOTOS)


def test_too_long_content_length_is_an_interruption(server: FileServer, target: Path) -> None:
    lie = {"Content-Length": str(len(PHOTOS) + 5)}
    fetch(server.serve("/a", Reply(PHOTOS[:CUT], headers=TAG | lie), Reply(PHOTOS)), target)
    assert_whole(target)
    assert len(server.requests) == 2


def test_too_short_content_length_is_no_whole_file(server: FileServer, target: Path) -> None:
    url = server.serve("/a", Reply(PHOTOS, headers={"Content-Length": str(CUT)}))
    assert sha256(PHOTOS[:CUT]).digest in refused(url, target)
    assert names(target.parent) == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_status_is_tried_again(server: FileServer, target: Path, status: int) -> None:
    fetch(server.serve("/a", Reply(status=status), Reply(status=status), Reply(PHOTOS)), target)
    assert_whole(target)


def test_error_between_two_halves_keeps_the_first(server: FileServer, target: Path) -> None:
    cut = Reply(PHOTOS, headers=TAG, cut=CUT)
    busy = Reply(b"<html>busy</html>", status=503, headers=NEW_TAG)
    fetch(server.serve("/a", cut, busy, Reply(PHOTOS, headers=TAG)), target)
    assert_whole(target)
    assert ranges(server, "/a") == [None, f"bytes={CUT}-", f"bytes={CUT}-"]


def test_attempts_and_their_waits(server: FileServer, target: Path) -> None:
    wait = RecordedWait()
    with pytest.raises(UserError, match="503"):
        fetch(server.serve("/a", Reply(status=503)), target, attempts=4, wait=wait)
    assert len(server.requests) == 4
    for seconds, least in zip(wait.seconds, [1, 2, 4], strict=False):
        assert least <= seconds <= least + 1
    assert len(wait.seconds) >= 3


# Files that change between two answers


@pytest.mark.parametrize("tag", ["ETag", "Last-Modified"])
def test_changed_file_is_fetched_anew(server: FileServer, target: Path, tag: str) -> None:
    cut = Reply(OTHER, headers={tag: '"v1"'}, cut=CUT)
    fetch(server.serve("/a", cut, Reply(PHOTOS, headers={tag: '"v2"'})), target)
    assert_whole(target)
    assert [request.sent for request in server.requests] == [CUT, len(PHOTOS)]


@pytest.mark.parametrize(
    "bad_range",
    [
        Reply(PHOTOS, headers=NEW_TAG, if_range=False, cut=9),
        Reply(PHOTOS, headers={"ETag": 'W/"v2"'}, if_range=False, cut=9),
        Reply(PHOTOS, headers=TAG, shift=1, cut=9),
        Reply(PHOTOS, headers=TAG | {"Content-Range": ""}, cut=9),
    ],
    ids=["other ETag", "other weak ETag", "other offset", "no Content-Range"],
)
def test_range_that_does_not_continue_is_not_appended(
    server: FileServer, target: Path, bad_range: Reply
) -> None:
    cut = Reply(OTHER, headers=TAG, cut=CUT)
    fetch(server.serve("/a", cut, bad_range, Reply(PHOTOS)), target)
    assert_whole(target)
    assert ranges(server, "/a") == [None, f"bytes={CUT}-", None]


def test_weak_etag_is_not_sent_but_compared(server: FileServer, target: Path) -> None:
    weak = {"ETag": 'W/"v1"'}
    fetch(
        server.serve("/a", Reply(PHOTOS, headers=weak, cut=CUT), Reply(PHOTOS, headers=weak)),
        target,
    )
    assert_whole(target)
    assert "If-Range" not in server.requests[1].headers
    assert server.requests[1].sent == len(PHOTOS) - CUT


def test_wrong_mixture_gets_a_second_chance_from_zero(server: FileServer, target: Path) -> None:
    """Without any validator, nothing but the digest shows that the file has changed."""
    fetch(server.serve("/a", Reply(OTHER, cut=CUT), Reply(PHOTOS)), target)
    assert_whole(target)
    assert ranges(server, "/a") == [None, f"bytes={CUT}-", None]


def test_wrong_mixture_gets_one_chance_only(server: FileServer, target: Path) -> None:
    url = server.serve("/a", Reply(PHOTOS, cut=CUT), Reply(OTHER))
    assert sha256(OTHER).digest in refused(url, target)
    assert ranges(server, "/a") == [None, f"bytes={CUT}-", None]
    assert names(target.parent) == []


def test_body_of_untold_size_gets_one_chance_more(server: FileServer, target: Path) -> None:
    refused(server.serve("/a", Reply(OTHER, headers={"Content-Length": ""})), target)
    assert len(server.requests) == 2
    assert names(target.parent) == []


# Left by an earlier run


def interrupt(url: str, target: Path) -> None:
    """Leave what a run leaves whose only attempt breaks off."""
    with pytest.raises(UserError, match="run again"):
        fetch(url, target, attempts=1)
    assert not target.exists()
    assert target.with_name("photos.tgz.part").stat().st_size == CUT


def test_next_run_resumes(server: FileServer, target: Path) -> None:
    cut = Reply(PHOTOS, headers=TAG, cut=CUT)
    url = server.serve("/a", cut, Reply(PHOTOS, headers=TAG))
    interrupt(url, target)
    fetch(url, target)
    assert_whole(target)
    assert ranges(server, "/a") == [None, f"bytes={CUT}-"]


def test_run_after_a_killed_one_resumes(server: FileServer, target: Path) -> None:
    stalled = Reply(PHOTOS, headers=TAG, cut=CUT, stall=True)
    url = server.serve("/a", stalled, Reply(PHOTOS, headers=TAG))
    code = (
        "import sys; from pathlib import Path; from meanface.sources.checksum import Checksum;"
        "from meanface.sources.download import download;"
        "download([sys.argv[1]], Path(sys.argv[2]), Checksum('sha256', sys.argv[3]))"
    )
    part = target.with_name("photos.tgz.part")
    run = subprocess.Popen([sys.executable, "-c", code, url, target, sha256(PHOTOS).digest])
    while run.poll() is None and not (part.exists() and part.stat().st_size == CUT):
        time.sleep(0.01)
    run.kill()
    run.wait()
    assert not target.exists()
    fetch(url, target)
    assert_whole(target)
    assert ranges(server, "/a") == [None, f"bytes={CUT}-"]


def test_part_of_another_url_is_not_continued(server: FileServer, target: Path) -> None:
    interrupt(server.serve("/other", Reply(OTHER, headers=TAG, cut=CUT)), target)
    fetch(server.serve("/a", Reply(PHOTOS, headers=TAG)), target)
    assert_whole(target)
    assert ranges(server, "/a") == [None]


def test_dead_mirror_does_not_cost_the_part_of_the_next(server: FileServer, target: Path) -> None:
    url = server.serve("/a", Reply(PHOTOS, headers=TAG, cut=CUT), Reply(PHOTOS, headers=TAG))
    interrupt(url, target)
    assert fetch([server.serve("/dead", Reply(status=404)), url], target) == url
    assert_whole(target)
    assert ranges(server, "/a") == [None, f"bytes={CUT}-"]


@pytest.mark.parametrize("note", [None, b"", b"[]", b"{}", b"\xff"])
def test_part_of_unknown_origin_is_not_continued(
    server: FileServer, target: Path, note: bytes | None
) -> None:
    target.with_name("photos.tgz.part").write_bytes(OTHER[:CUT])
    if note is not None:
        target.with_name("photos.tgz.part.json").write_bytes(note)
    fetch(server.serve("/a", Reply(PHOTOS, headers=TAG)), target)
    assert_whole(target)
    assert ranges(server, "/a") == [None]


def leave_part(url: str, target: Path, content: bytes) -> None:
    interrupt(url, target)
    target.with_name("photos.tgz.part").write_bytes(content)


def test_whole_part_is_not_fetched_again(server: FileServer, target: Path) -> None:
    url = server.serve("/a", Reply(PHOTOS, headers=TAG, cut=CUT), Reply(PHOTOS, headers=TAG))
    leave_part(url, target, PHOTOS)
    fetch(url, target)
    assert_whole(target)
    assert [request.sent for request in server.requests] == [CUT, 0]


@pytest.mark.parametrize("content", [OTHER, PHOTOS + b"more"], ids=["same size", "too long"])
def test_wrong_part_with_nothing_to_come(server: FileServer, target: Path, content: bytes) -> None:
    url = server.serve("/a", Reply(PHOTOS, headers=TAG, cut=CUT), Reply(PHOTOS, headers=TAG))
    leave_part(url, target, content)
    fetch(url, target)
    assert_whole(target)
    assert ranges(server, "/a") == [None, f"bytes={len(content)}-", None]


# Mirrors


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_lasting_status_goes_to_the_next_mirror_at_once(
    server: FileServer, target: Path, status: int
) -> None:
    bad = server.serve("/bad", Reply(status=status))
    good = server.serve("/good", Reply(PHOTOS))
    assert fetch([bad, good, server.serve("/third", Reply(OTHER))], target) == good
    assert_whole(target)
    assert [request.path for request in server.requests] == ["/bad", "/good"]


def test_error_page_goes_to_the_next_mirror_at_once(server: FileServer, target: Path) -> None:
    good = server.serve("/good", Reply(PHOTOS))
    assert fetch([server.serve("/page", ERROR_PAGE), good], target) == good
    assert_whole(target)
    assert [request.path for request in server.requests] == ["/page", "/good"]


def test_no_connection_goes_to_the_next_mirror(server: FileServer, target: Path) -> None:
    good = server.serve("/good", Reply(PHOTOS))
    assert fetch([f"http://127.0.0.1:{closed_port()}/a", good], target) == good
    assert_whole(target)


def test_mirror_that_keeps_breaking_off_goes_to_the_next(server: FileServer, target: Path) -> None:
    breaking = server.serve("/a", Reply(PHOTOS, headers=TAG, cut=0))
    assert fetch([breaking, server.serve("/b", Reply(PHOTOS))], target) == server.url("/b")
    assert_whole(target)
    assert len(server.asked("/a")) == 3


def test_failed_tls_is_not_tried_again(server: FileServer, target: Path) -> None:
    url = server.serve("/a", Reply(PHOTOS)).replace("http:", "https:")
    wait = RecordedWait()
    with pytest.raises(UserError, match="SSL"):
        fetch(url, target, wait=wait)
    assert wait.seconds == []


def test_unanswered_request_is_tried_again(server: FileServer, target: Path) -> None:
    fetch(server.serve("/a", Reply(dropped=True), Reply(PHOTOS)), target)
    assert_whole(target)


def test_error_names_every_mirror_and_its_reason(server: FileServer, target: Path) -> None:
    dead = f"http://127.0.0.1:{closed_port()}/a"
    gone = server.serve("/gone", Reply(status=404))
    cut = server.serve("/cut", Reply(PHOTOS, headers=TAG, cut=CUT, ranges=False))
    message = refused([dead, gone, cut], target)
    reasons = message.split("; ")
    assert reasons[-3].endswith(f"{dead}: [Errno 111] Connection refused")
    assert gone in reasons[-2] and "404" in reasons[-2]
    assert cut in reasons[-1] and str(len(PHOTOS) - CUT) in reasons[-1]


def test_mismatch_names_both_digests_and_leaves_nothing(server: FileServer, target: Path) -> None:
    message = refused(server.serve("/a", ERROR_PAGE), target)
    assert sha256(PHOTOS).digest in message
    assert sha256(ERROR_PAGE.body).digest in message
    assert names(target.parent) == []
    assert len(server.requests) == 1


def test_failure_leaves_an_earlier_file_alone(server: FileServer, target: Path) -> None:
    target.write_bytes(OTHER)
    with pytest.raises(UserError):
        fetch(server.serve("/a", ERROR_PAGE), target)
    assert_whole(target, OTHER)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a", "file:///etc/hostname", "photos.tgz", ""])
def test_other_schemes_are_refused(server: FileServer, target: Path, url: str) -> None:
    with pytest.raises(UserError, match="http or https"):
        fetch([server.serve("/a", Reply(PHOTOS)), url], target)
    assert server.requests == []


def test_redirect_to_a_local_file_is_refused(server: FileServer, target: Path) -> None:
    secret = target.with_name("secret")
    secret.write_bytes(PHOTOS)
    url = server.serve("/a", Reply(status=302, headers={"Location": secret.as_uri()}))
    assert url in refused(url, target)
    assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["http://", "http://[", "http://a b/", "http://.../x"])
def test_malformed_url(target: Path, url: str) -> None:
    assert url in refused(url, target)


def test_full_disk(server: FileServer, target: Path) -> None:
    part = target.with_name("photos.tgz.part")
    part.symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"\.part: .*No space left"):
        fetch(server.serve("/a", Reply(PHOTOS)), target)
    assert not target.exists()


def test_missing_folder(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent.*No such file"):
        fetch(server.serve("/a", Reply(PHOTOS)), tmp_path / "absent" / "photos.tgz")


def test_note_holds_url_and_validator(server: FileServer, target: Path) -> None:
    url = server.serve("/a", Reply(PHOTOS, headers=TAG, cut=CUT))
    interrupt(url, target)
    note = json.loads(target.with_name("photos.tgz.part.json").read_text())
    assert note == {"url": url, "validator": '"v1"'}
