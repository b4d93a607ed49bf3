"""Watching a run: the page over snkmt's records in a real browser, Prometheus and its dashboard."""

import json
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tenacity import Retrying, stop_after_delay, wait_fixed

from tests.runs import ROOT, Run, snakemake

CHROMIUM = shutil.which("chromium")
MONITORING = ROOT / "deploy/monitoring"
# A folder of photos is named by its user; its name is shown in the messages of jobs.
HOSTILE = "<img src=x onerror=alert(1)>"

Found = TypeVar("Found")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def until(ask: Callable[[], Found], what: str) -> Found:
    """Ask again and again until the answer is true."""
    for attempt in Retrying(wait=wait_fixed(0.1), stop=stop_after_delay(300), reraise=True):
        with attempt:
            found = ask()
            assert found, what
    return found


def text(address: str) -> str:
    with urllib.request.urlopen(address) as answer:  # noqa: S310
        body: str = answer.read().decode()
        return body


def ask(page: str, query: str, **values: str) -> list[dict[str, Any]]:
    """A query of the page, by its REST API."""
    rows: list[dict[str, Any]] = json.loads(
        text(f"{page}/snkmt/{query}.json?{urllib.parse.urlencode(values | {'_shape': 'array'})}")
    )
    return rows


@contextmanager
def monitor(port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The page as `make monitor` serves it: its address, and its process."""
    command = [sys.executable, str(MONITORING / "serve.py"), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
        page = f"http://127.0.0.1:{port}"
        try:
            until(lambda: server.poll() is None and text(page), "the page does not come up")
            yield page, server
        finally:
            server.terminate()


@contextmanager
def in_background(*arguments: str, directory: Path, **config: object) -> Iterator[Future[Run]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(snakemake, directory, *arguments, **config)


@pytest.fixture(scope="module")
def own_records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs and pages of this module keep their records apart from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("records")))
        yield


@pytest.fixture(scope="module")
def few_photos(sample_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few") / HOSTILE
    folder.mkdir()
    for photo in sorted(sample_photos.rglob("*.jpg"))[:6]:
        shutil.copy(photo, folder)
    return folder


@pytest.fixture(scope="module")
def reported(
    own_records: None, few_photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Run, str]]:
    """A run whose monitor was killed halfway, and the page of a monitor started afterwards."""
    directory = tmp_path_factory.mktemp("reported")
    options = ("--logger", "snkmt")
    port = free_port()
    with monitor(port) as (page, server):
        assert ask(page, "runs") == []
        with in_background(*options, directory=directory, photos=few_photos, shards=2) as running:
            run_id = until(lambda: ask(page, "runs"), "the run does not report")[0]["run"]
            until(lambda: ask(page, "jobs", run=run_id, status=""), "no job is reported")
            assert not running.done()
            server.kill()
            run = running.result()
    with monitor(port) as (page, _):
        yield run, page


def test_a_run_goes_on_when_its_monitor_is_killed(reported: tuple[Run, str]) -> None:
    run, page = reported
    assert run.code == 0, run.output
    (shown,) = ask(page, "runs")
    assert shown["status"] == "SUCCESS"
    assert shown["folder"] == str(run.results.parent)
    assert shown["done"] == shown["jobs"] == sum(run.jobs.values())
    assert (shown["waiting"], shown["running"], shown["failed"]) == (0, 0, 0)


def test_the_monitor_tells_of_every_job_and_its_log(reported: tuple[Run, str]) -> None:
    run, page = reported
    run_id = ask(page, "runs")[0]["run"]
    jobs = ask(page, "jobs", run=run_id, status="")
    assert Counter(job["rule"] for job in jobs) == run.jobs
    rules = ask(page, "rules", run=run_id)
    assert {rule["rule"]: rule["done"] for rule in rules} == run.jobs
    encode = next(rule for rule in rules if rule["rule"] == "encode")
    assert encode["seconds_per_job"] >= 0  # jobs of less than half a second are there
    assert encode["jobs_per_minute"] > 0
    logs = [text(f"{page}/-/log/{job['log']}") for job in jobs if job["rule"] == "encode"]
    on_disk = [log.read_text() for log in (run.results / "logs/encode").glob("*.log")]
    assert sorted(logs) == sorted(on_disk)


def test_the_monitor_opens_only_logs_and_changes_nothing(reported: tuple[Run, str]) -> None:
    _, page = reported
    inputs = f"{page}/snkmt/files.json?file_type=INPUT&_shape=array"
    file = json.loads(text(inputs))[0]["id"]
    for address in (
        f"{page}/-/log/{file}",
        f"{page}/-/log/999999",
        f"{page}/snkmt.db",
        f"{page}/snkmt?sql=select+1",
    ):
        with pytest.raises(urllib.error.HTTPError, match=r"40[34]"):
            text(address)


def test_the_monitor_listens_on_loopback_alone(own_records: None) -> None:
    with monitor(free_port()) as (_, server):
        listening = [
            connection.laddr.ip
            for connection in psutil.Process(server.pid).net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        ]
    assert listening == ["127.0.0.1"]


@pytest.mark.needs("chromium")
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_the_page_shows_the_run_in_a_browser(
    reported: tuple[Run, str], width: int, scheme: str
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    run, address = reported
    asked, complaints = [], []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(address)
        page.wait_for_selector("#jobs td")
        assert str(run.results.parent) in page.inner_text("#run option")
        assert re.search(rf"\b{sum(run.jobs.values())}\s+done", page.inner_text("#counts"))
        rows = page.locator("#jobs tr").all_inner_texts()[1:]
        assert len(rows) == sum(run.jobs.values())
        assert sum("\tencode\t" in row and "SUCCESS" in row for row in rows) == run.jobs["encode"]
        # The name of the folder is shown as the text that it is.
        assert HOSTILE in page.inner_text("#jobs")
        # No wider than the window: wide tables scroll by themselves.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.select_option("#status", "ERROR")
        page.wait_for_selector("#jobs:not(:has(td))", state="attached")
        page.select_option("#status", "SUCCESS")
        page.locator("#jobs a").first.click()
        page.wait_for_url("**/-/log/*")
        assert page.inner_text("body")
        browser.close()
    assert {urllib.parse.urlsplit(url).hostname for url in asked if url[:5] != "data:"} == {
        "127.0.0.1"
    }
    assert complaints == []


def test_a_failed_job_is_shown_with_its_reason(own_records: None, tmp_path: Path) -> None:
    archive = tmp_path / "photos.tgz"
    archive.write_bytes((ROOT / "sample/sample.tar.gz").read_bytes()[:5000])
    run = snakemake(tmp_path / "run", "--logger", "snkmt", "--until", "shard", photos=archive)
    assert run.code == 1
    with monitor(free_port()) as (page, _):
        shown = next(one for one in ask(page, "runs") if one["folder"] == str(run.results.parent))
        assert (shown["status"], shown["failed"]) == ("ERROR", 1)
        (job,) = ask(page, "jobs", run=shown["run"], status="ERROR")
        assert str(archive) in text(f"{page}/-/log/{job['log']}")


# --- Prometheus ---------------------------------------------------------------------------------


def dashboard_expressions() -> list[str]:
    board = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_the_dashboard_asks_for_what_a_run_exports(few_photos: Path, tmp_path: Path) -> None:
    port = free_port()
    options = ["--logger", "prometheus", "--logger-prometheus-port", str(port)]
    options += ["--logger-prometheus-run-id", "sample"]
    scraped = ""
    with in_background(*options, directory=tmp_path, photos=few_photos, shards=2) as running:
        while not running.done():
            try:
                now = text(f"http://127.0.0.1:{port}/metrics")
            except (OSError, HTTPException):  # the run has not begun, or ends within the answer
                continue
            # What is left when the plugin has withdrawn its figures tells nothing.
            scraped = now if "snakemake_jobs_finished_total{" in now else scraped
        run = running.result()
    assert run.code == 0, run.output
    exported: dict[str, set[tuple[str, str]]] = {}
    for family in text_string_to_metric_families(scraped):
        for sample in family.samples:
            exported.setdefault(sample.name, set()).update(sample.labels.items())
    assert ("run_id", "sample") in exported["snakemake_workflow_progress"]

    expressions = dashboard_expressions()
    assert len(expressions) > 5
    for expression in expressions:
        for name, labels in re.findall(r"(snakemake_\w+)\{([^}]*)\}", expression):
            assert name in exported, expression
            for label, value in re.findall(r'(\w+)="(\w+)"', labels):
                # No job failed here; that status is the plugin's own word.
                assert value == "failed" or (label, value) in exported[name], expression
            assert {"run_id"} == {label for label, _ in re.findall(r'(\w+)=~"(\$run)"', labels)}


def test_a_port_that_is_taken_costs_the_metrics_alone(sample_photos: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))  # noqa: S104
        taken.listen()
        options = ["--logger", "prometheus", "--logger-prometheus-port"]
        options += [str(taken.getsockname()[1])]
        run = snakemake(tmp_path, *options, "--until", "acquire", photos=sample_photos)
    assert run.code == 0, run.output
    assert "Could not start server" in run.output


def test_prometheus_scrapes_the_documented_port() -> None:
    scrape = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    ((target,),) = [one["static_configs"][0]["targets"] for one in scrape["scrape_configs"]]
    documented = (ROOT / "docs/monitoring.md").read_text()
    assert f"--logger-prometheus-port {target.split(':')[1]}" in documented
