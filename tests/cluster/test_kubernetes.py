"""The workflow on Kubernetes: the real executor, an API server and S3 on loopback."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
import yaml
from moto.server import ThreadedMotoServer

from tests.cluster.kubernetes_cluster import Cluster, Fault, cluster, write_kubeconfig
from tests.cluster.test_deploy import build, controller
from tests.lfw import lfw_archive, needs_lfw
from tests.runs import ROOT, Run, snakemake

SAMPLE = ROOT / "sample/sample.tar.gz"
MERGED = "results/mean.npy"  # a target that spares the statistics
RESULTS = ("mean.npy", "embeddings.npy", "faces.csv", "failures.csv")
FAST: dict[str, Any] = {"detectors": ["hog@0"], "shards": 2}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as one:
        yield one


@dataclass
class Bucket:
    """A bucket of an S3 service."""

    url: str
    name: str

    @property
    def service(self) -> Any:  # noqa: ANN401
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.resource("s3", endpoint_url=self.url, region_name="us-east-1", **keys)

    @property
    def objects(self) -> Any:  # noqa: ANN401
        return self.service.Bucket(self.name)

    def read(self, name: str) -> bytes:
        content: bytes = self.objects.Object(f"meanface/{name}").get()["Body"].read()
        return content


@pytest.fixture
def bucket(s3: str, tmp_path: Path) -> Bucket:
    one = Bucket(s3, re.sub("[^a-z0-9]+", "-", tmp_path.name.lower()).strip("-"))
    one.objects.create()
    return one


def run(
    here: Cluster, *extra: str, environment: dict[str, str], options: list[str], **config: object
) -> Run:
    """Run Snakemake in a folder laid out as the init container of the controller's Job does."""
    folder = here.folder / "workdir"
    shutil.copytree(here.folder / "image", folder, dirs_exist_ok=True)
    (folder / "config/cluster.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--nocolor", *options]
    with subprocess.Popen(
        [*command, "--seconds-between-status-checks=1", *extra],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={"KUBECONFIG": str(here.folder / "kubeconfig"), **os.environ, **environment},
        start_new_session=True,
        # Where the tests run in the background, it would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        here.controller = process.pid
        output, _ = process.communicate()
    return Run(process.returncode, output, folder / "results")


def deployed(overlay: str) -> list[str]:
    """The arguments of the controller's Job in an overlay."""
    arguments = controller(build(ROOT / "deploy/kubernetes/overlays" / overlay))["args"]
    return replaced(arguments, {"$(MEANFACE_IMAGE)": "meanface:test"})


def documented(provider: str) -> list[str]:
    """The arguments with which docs/kubernetes.md has a run started from one's own machine."""
    text = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = re.findall(rf"^    snakemake (.*-provider {provider} .*)$", text, re.M)
    return [*shlex.split(line), "--configfile", "config/cluster.yaml"]


def replaced(arguments: list[str], values: dict[str, str]) -> list[str]:
    """The arguments with these values put in."""
    text = "\n".join(arguments)
    for old, new in values.items():
        text = text.replace(old, new)
    return text.split("\n")


def run_s3(
    here: Cluster,
    bucket: Bucket,
    *extra: str,
    key: str = "test",
    arguments: list[str] | None = None,
    **config: object,
) -> Run:
    prefix = f"s3://{bucket.name}/meanface"
    environment: dict[str, str] = {}
    for name in ("AWS_", "SNAKEMAKE_STORAGE_S3_"):
        environment |= {f"{name}ENDPOINT_URL": bucket.url}
    environment |= {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": key,
        "SNAKEMAKE_STORAGE_S3_REGION": "us-east-1",
        "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": key,
        "SNAKEMAKE_STORAGE_S3_SECRET_KEY": key,
    }
    values = {"$(MEANFACE_S3_PREFIX)": prefix, "s3://my-bucket/meanface": prefix}
    options = replaced(arguments or deployed("cloud"), values)
    config = {"photos": str(SAMPLE), "cache": f"{prefix}/cache"} | config
    return run(here, *extra, environment=environment, options=options, **config)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's results on this machine alone."""
    done = snakemake(tmp_path_factory.mktemp("local"), MERGED, **FAST)
    assert done.code == 0, done.output
    return done.results


def photo(photos: Path, name: str) -> Path:
    (found,) = photos.rglob(name)
    return found


def pack(photos: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(photos / "sample", arcname="sample")


def run_volume(
    here: Cluster, *extra: str, arguments: list[str] | None = None, **config: object
) -> Run:
    """Run with the volume as storage."""
    data = here.folder / "data"
    data.mkdir(exist_ok=True)
    options = replaced(arguments or deployed("one-node"), {"/data": str(data)})
    config = {"photos": str(SAMPLE), "cache": str(data / "cache")} | FAST | config
    return run(here, *extra, environment={}, options=options, **config)


def test_the_sample_with_s3(here: Cluster, bucket: Bucket, local: Path) -> None:
    """The same bytes as on one machine; two pods die on the way."""
    faults = [Fault("killed", "OOMKilled"), Fault("deleted")]
    photos, archive = here.folder / "photos", here.folder / "photos.tar.gz"
    with tarfile.open(SAMPLE) as tar:
        tar.extractall(photos, filter="data")
    pack(photos, archive)
    here.fault = lambda command: faults.pop() if faults and "encode:" in command else None
    done = run_s3(here, bucket, photos=str(archive), **FAST)
    assert done.code == 0, done.output
    assert not here.forbidden
    assert here.rules == ["encode"] * 4 + ["merge", "statistics"]
    assert "OOMKilled" in done.output
    assert "its pod was deleted" in done.output
    assert f" results  s3://{bucket.name}/meanface/results/ (mean.npy" in done.output, "the summary"
    for name in RESULTS:
        assert bucket.read(f"results/{name}") == (local / name).read_bytes()
    assert not here.left_behind

    # One photo is another: its shard alone is encoded.
    shutil.copy(photo(photos, "Grace_Hopper_0002.jpg"), photo(photos, "Grace_Hopper_0001.jpg"))
    pack(photos, archive)
    changed = run_s3(here, bucket, MERGED, photos=str(archive), **FAST)
    assert changed.code == 0, changed.output
    assert here.rules[6:] == ["encode", "merge"]
    assert not here.left_behind

    # Nothing is to be done again, although the plan is newer than what was encoded before.
    again = run_s3(here, bucket, MERGED, photos=str(archive), **FAST)
    assert again.code == 0, again.output
    assert len(here.submitted) == 8
    assert "encoded  " in again.output
    assert not here.left_behind

    # Merge takes no fewer photos than the manifests name, and the pod's words reach the user.
    of_shard = bucket.objects.objects.filter(Prefix="meanface/results/encoded/photos-0001.")
    tables = [one for one in of_shard if one.key.endswith(".csv")]  # of each plan
    table = max(tables, key=lambda one: one.last_modified).Object()
    faces = table.get()["Body"].read()
    table.put(Body=faces[: faces.rindex(b"\n", 0, -1) + 1])
    options = ("--forcerun=merge", "--retries=0")
    few = run_s3(here, bucket, MERGED, *options, photos=str(archive), **FAST)
    assert few.code != 0
    assert re.search(r"message: its pod ended with 1: meanface: .*photos-0001", few.output)
    assert here.rules[8:] == ["merge"]
    assert not here.left_behind
    assert not here.forbidden


@pytest.mark.needs("rsync")
def test_the_sample_with_a_volume(here: Cluster, local: Path) -> None:
    """The same bytes; a pod is evicted, the Job of another deleted, the API server away twice."""
    here.away = {"create secrets": "before", "create jobs": "after"}
    faults = [Fault("forgotten"), Fault("evicted")]
    here.fault = lambda command: faults.pop() if faults and "encode:" in command else None
    done = run_volume(here, MERGED)
    assert done.code == 0, done.output
    assert here.rules == ["encode"] * 4 + ["merge"]
    assert "its pod failed: Evicted: The node was low on resource: memory." in done.output
    assert "its Job was deleted" in done.output
    assert "kubernetes: asked again later: 503 " in done.output
    assert "kubernetes: asked again later: 504 " in done.output
    for pod in here.submitted:
        assert pod["serviceAccountName"] == "meanface-worker"
        assert pod["containers"][0]["image"] == "meanface:test"
        assert "tolerations" not in pod
        limits = pod["containers"][0]["resources"]["limits"]
        assert set(limits) == {"cpu", "memory", "ephemeral-storage"}
    for name in RESULTS:
        found = here.folder / "data/results" / name
        assert found.read_bytes() == (local / name).read_bytes()
    assert not here.left_behind
    assert not here.forbidden


@pytest.mark.needs("rsync")
def test_nothing_is_left_of_a_run_that_is_stopped(here: Cluster) -> None:
    """Started by the documentation's command; and with device: cuda, a pod asks for a GPU."""
    here.fault = lambda command: os.kill(here.controller, signal.SIGINT)
    values = {"/data/party.zip": str(SAMPLE), "shards=64": "shards=2"}
    on_gpu = {"device": "cuda", "detectors": ["cnn@0"]}
    done = run_volume(here, arguments=replaced(documented("fs"), values), **on_gpu)
    assert done.code != 0
    assert "encode" in here.rules
    pod = here.submitted[0]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert [one["key"] for one in pod["tolerations"]] == ["nvidia.com/gpu"]
    assert not here.left_behind
    assert not here.forbidden


@pytest.mark.needs("rsync")
def test_a_cluster_that_refuses_is_one_line(here: Cluster) -> None:
    write_kubeconfig(here.folder / "kubeconfig", here.url, "wrong")
    done = run_volume(here)
    assert done.code != 0
    assert "kubernetes: cannot be used: 401 Unauthorized" in done.output
    assert "Traceback" not in done.output


def test_wrong_credentials_for_s3_are_one_line(here: Cluster, bucket: Bucket) -> None:
    requests.post(f"{bucket.url}/moto-api/reset-auth", data=b"0", timeout=10).raise_for_status()
    try:
        done = run_s3(here, bucket, **FAST)
    finally:
        requests.post(f"{bucket.url}/moto-api/reset-auth", data=b"inf", timeout=10)
    assert done.code != 0
    (line,) = [one for one in done.output.splitlines() if one.startswith("meanface: ")]
    assert line.startswith(f"meanface: s3://{bucket.name}/meanface: cannot be used")
    assert "403" in line
    assert "Traceback" not in done.output
    assert not here.submitted


def test_the_number_of_shards_must_be_given(here: Cluster) -> None:
    done = run_volume(here, shards="auto")
    assert done.code != 0
    assert "meanface: config: shards: write a number" in done.output


def test_the_cache_must_be_where_all_pods_reach_it(here: Cluster) -> None:
    done = run_volume(here, cache="results/cache")
    assert done.code != 0
    assert "meanface: config: cache: write an address" in done.output
    assert not here.submitted


@pytest.mark.slow
@needs_lfw
def test_photos_of_lfw_give_the_same_bytes(
    here: Cluster, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> None:
    alone = snakemake(tmp_path_factory.mktemp("alone"), photos=lfw_archive(), shards=4)
    assert alone.code == 0, alone.output
    values = {"/data/party.zip": str(lfw_archive()), "shards=64": "shards=4"}
    arguments = replaced(documented("s3"), values)
    done = run_s3(here, bucket, arguments=arguments)
    assert done.code == 0, done.output
    for name in RESULTS:
        assert bucket.read(f"results/{name}") == (alone.results / name).read_bytes()
    assert not here.left_behind

    # The pictures are drawn by the controller, which need not have any of the files.
    shutil.rmtree(here.folder / "workdir/.snakemake/storage")
    pictures = run_s3(here, bucket, "pictures", arguments=arguments)
    assert pictures.code == 0, pictures.output
    assert bucket.read("results/pictures/mean_face.png").startswith(b"\x89PNG")
    assert here.rules == ["encode"] * 4 + ["merge", "statistics"]
