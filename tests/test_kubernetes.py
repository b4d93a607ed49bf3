"""The workflow on Kubernetes: the real executor, an API server and S3 on loopback."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from conftest import ROOT, Run, snakemake
from kubernetes_cluster import NAMESPACE, Cluster, Fault, cluster, write_kubeconfig
from lfw import lfw_archive, needs_lfw
from moto.server import ThreadedMotoServer
from test_deploy import arguments, build, configured, controller

SAMPLE = ROOT / "sample/sample.tar.gz"
RESULTS = ("mean.npy", "embeddings.npy", "faces.csv", "failures.csv")
FAST = {"detectors": ["hog@0"], "shards": 2}


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
    def objects(self) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.resource("s3", endpoint_url=self.url, region_name="us-east-1", **keys).Bucket(
            self.name
        )

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
    """Run what the controller's Job runs, in a folder laid out as its init container does."""
    folder = here.folder / "workdir"
    shutil.copytree(here.folder / "image", folder, dirs_exist_ok=True)
    (folder / "config/cluster.yaml").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "snakemake",
            "--nocolor",
            *options,
            "--seconds-between-status-checks=1",
            *extra,
        ],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=folder,
        env={"KUBECONFIG": str(here.folder / "kubeconfig"), **os.environ, **environment},
    )
    return Run(done.returncode, done.stdout + done.stderr, folder / "results")


def given(overlay: str, values: dict[str, str]) -> list[str]:
    """The arguments of the controller in an overlay, with these values put in."""
    objects = build(ROOT / "deploy/kubernetes/overlays" / overlay)
    text = "\n".join(controller(objects)["args"])
    for old, new in values.items():
        text = text.replace(old, new)
    return text.split("\n")


def run_s3(here: Cluster, bucket: Bucket, *extra: str, key: str = "test", **config: object) -> Run:
    prefix = f"s3://{bucket.name}/meanface"
    environment = {}
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
    options = given(
        "cloud", {"$(MEANFACE_S3_PREFIX)": prefix, "$(MEANFACE_IMAGE)": "meanface:test"}
    )
    extra = (*extra,)
    config = {"photos": str(SAMPLE), "cache": f"{prefix}/cache"} | config
    return run(here, *extra, environment=environment, options=options, **config)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's results on this machine alone."""
    done = snakemake(tmp_path_factory.mktemp("local"), shards=2, detectors="[hog@0]")
    assert done.code == 0, done.output
    return done.results


def test_the_sample_with_s3(here: Cluster, bucket: Bucket, local: Path) -> None:
    """The same bytes as on one machine; two pods die on the way."""
    faults = [Fault("killed", "OOMKilled"), Fault("deleted")]
    here.fault = lambda command: faults.pop() if faults and "encode:" in command else None
    done = run_s3(here, bucket, **FAST)
    assert done.code == 0, done.output
    assert not here.forbidden
    assert here.rules_of() == ["encode"] * 4 + ["merge", "statistics"]
    assert "OOMKilled" in done.output
    assert "its pod was deleted" in done.output
    assert "encoded  " in done.output, "the summary"
    for name in RESULTS:
        assert bucket.read(f"results/{name}") == (local / name).read_bytes()
    assert not here.left_behind

    # Nothing is to be done again.
    again = run_s3(here, bucket, **FAST)
    assert again.code == 0, again.output
    assert len(here.commands) == 6
    assert "encoded  " in again.output

    # One photo is another: one shard is encoded.
    photos = here.folder / "photos"
    with tarfile.open(SAMPLE) as archive:
        archive.extractall(photos, filter="data")
    people = photos / "sample"
    changed = people / "Grace_Hopper/Grace_Hopper_0001.jpg"
    shutil.copy(people / "Grace_Hopper/Grace_Hopper_0002.jpg", changed)
    archive = here.folder / "changed.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(people, arcname="sample")
    shutil.copy(archive, here.folder / "sample.tar.gz")
