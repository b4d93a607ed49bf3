"""The workflow on a SLURM cluster of two nodes that runs on this machine."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import yaml

from meanface.engine.settings import EngineSettings
from meanface.shards.plan import outcome_key
from meanface.workflow.config import with_defaults
from tests.cluster.slurm_cluster import NODES, SlurmCluster, slurm_cluster
from tests.lfw import lfw_archive, needs_lfw
from tests.runs import ROOT, Run, outcome, snakemake

pytestmark = pytest.mark.needs("slurm")

RESULTS = ("mean.npy", "faces.csv", "failures.csv")
QUESTIONS = ("people", "verify", "audit", "find", "compare")
# What these targets submit to the cluster.
SUBMITTED = (
    *("group_faces", "compare_all_pairs", "audit_faces", "compare_sets"),
    *("encode_query", "index_faces", "find_faces"),
)
SECONDS = 900
SAMPLE = {"shards": 2}
# How SLURM knows jobs that encode.
ENCODE = "rule_encode_encode"


def one_shard(local: Run, **config: object) -> tuple[str, ...]:
    """Arguments of a run that encodes a shard as one job."""
    config = with_defaults({"device": "cpu"} | config, ROOT / "config/config.schema.yaml")
    engine = EngineSettings.of(config).fingerprint()
    contents = outcome(local.results, "photos-0000").name.split("-")[2].split(".")[0]
    file = f"results/encoded/photos-0000.{outcome_key(engine, contents)}.npy"
    return file, "--group-components", "encode=1"


def encoded_alike(done: Run, local: Run) -> bool:
    """Whether the shard has the bytes of the local run."""
    files = (outcome(local.results, "photos-0000", kind) for kind in ("npy", "csv"))
    return same_bytes(done, local, *(f"encoded/{file.name}" for file in files))


class ClusterRun:
    """A `snakemake` on the cluster, started as a user starts it."""

    def __init__(
        self,
        cluster: SlurmCluster,
        directory: Path,
        arguments: Sequence[str],
        config: Mapping[str, object],
        environment: Mapping[str, str] | None,
    ) -> None:
        directory.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--workflow-profile", "slurm", "--nocolor"]
        # Jobs are short here.
        command += ["--slurm-init-seconds-before-status-checks", "4"]
        command += ["--max-status-checks-per-second", "1"]
        command += ["--directory", str(directory), *arguments]
        if config:
            command += ["--config", *(f"{key}={value}" for key, value in config.items())]
        self._directory = directory
        self._output = directory / "snakemake.out"
        self._cluster = cluster
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env={**cluster.environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def jobs(self) -> list[dict[str, str]]:
        """The jobs that this run gave to SLURM, oldest first."""
        return [job for job in self._cluster.jobs() if job["WorkDir"] == str(self._directory)]

    def attempts(self, comment: str) -> list[dict[str, str]]:
        return [job for job in self.jobs if job["Comment"].startswith(comment)]

    def hold(self, comment: str) -> dict[str, str]:
        """Wait until the first job with this comment is at work and stop it there; give the job."""

        def held() -> dict[str, str] | None:
            if self._process.poll() is not None:
                pytest.fail(self.output)
            for job in self.attempts(comment):
                for process in self._cluster.processes(SLURM_JOB_ID=job["JobId"]):
                    with suppress(psutil.Error):
                        if any(word.endswith("encode.py") for word in process.cmdline()):
                            process.suspend()
                            return job
            return None

        return self._cluster.wait_until(f"{comment} is at work", held, SECONDS)

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text()

    def finish(self) -> Run:
        code = self._process.wait(SECONDS)
        return Run(code, self.output, self._directory / "results")

    def stop(self) -> None:
        """End what a failed test left behind."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            self._cluster.call("scancel", *(job["JobId"] for job in self.jobs))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


Start = Callable[..., ClusterRun]


@contextmanager
def starting(cluster: SlurmCluster) -> Iterator[Start]:
    """Give what starts runs; those that are still at work in the end are stopped."""
    runs = []

    def begin(
        directory: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        **config: object,
    ) -> ClusterRun:
        runs.append(ClusterRun(cluster, directory, arguments, config, environment))
        return runs[-1]

    try:
        yield begin
    finally:
        for run in runs:
            run.stop()


@pytest.fixture
def start(cluster: SlurmCluster) -> Iterator[Start]:
    with starting(cluster) as begin:
        yield begin


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The bundled sample, run without SLURM. Shared: do not change it."""
    run = snakemake(tmp_path_factory.mktemp("local"), **SAMPLE)
    assert run.code == 0, run.output
    return run


def unfinished(folder: Path, local: Run) -> Path:
    """Make the folder of a run that lacks what shard photos-0000 gives: one job brings it back."""
    shutil.copytree(local.results.parent, folder)
    for file in (folder / "results/encoded").glob("photos-0000.*"):
        file.unlink()
    return folder


class Runs(NamedTuple):
    """Runs that do not disturb each other."""

    sample: ClusterRun
    over_its_time: ClusterRun
    over_its_memory: ClusterRun
    silent_queue: ClusterRun
    for_a_gpu: ClusterRun


@pytest.fixture(scope="session")
def runs(
    cluster: SlurmCluster, local: Run, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runs]:
    """Started side by side, as each spends most of its time waiting."""
    folder = tmp_path_factory.mktemp("runs")

    with starting(cluster) as start:

        def one_job(
            name: str, *arguments: str, environment: dict[str, str] | None = None, **config: object
        ) -> ClusterRun:
            return start(
                unfinished(folder / name, local),
                *one_shard(local, **config),
                *arguments,
                environment=environment,
                **SAMPLE | config,
            )

        over_its_time = one_job("time")
        runs = Runs(
            sample=start(folder / "sample", *(f"results/{name}" for name in RESULTS), **SAMPLE),
            over_its_time=over_its_time,
            over_its_memory=one_job(
                "memory", "--set-resources", "encode:mem_mb=60*20**(attempt-1)"
            ),
            silent_queue=one_job("queue", environment=silent_queue(folder / "queue_bin", cluster)),
            for_a_gpu=one_job(
                *("gpu", "--retries", "0", "--set-resources", "encode:mem_mb=1000"),
                device="cuda",
                detectors=["cnn@0"],
            ),
        )
        held = over_its_time.hold(ENCODE)
        cluster.call("scontrol", "update", f"jobid={held['JobId']}", "endtime=now")
        yield runs


def silent_queue(folder: Path, cluster: SlurmCluster) -> dict[str, str]:
    """Give the environment in which squeue fails seven times before it answers."""
    folder.mkdir()
    squeue, answers = folder / "squeue", folder / "answers"
    squeue.write_text(f"""#!/bin/sh
echo asked >> {answers}
test "$(wc -l < {answers})" -gt 7 && exec {shutil.which("squeue")} "$@"
echo "slurm_load_jobs error: Socket timed out on send/recv operation" >&2
exit 1
""")
    squeue.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{cluster.environment['PATH']}"}


def same_bytes(run: Run, reference: Run, *files: str) -> bool:
    return all(
        (run.results / file).read_bytes() == (reference.results / file).read_bytes()
        for file in files
    )


def minutes(job: dict[str, str]) -> int:
    """The time that a job may take."""
    hours, minutes, _ = job["TimeLimit"].split(":")
    return 60 * int(hours) + int(minutes)


def test_sample_gives_the_bytes_of_the_local_run(runs: Runs, local: Run) -> None:
    run = runs.sample
    done = run.finish()
    assert done.code == 0, done.output
    assert same_bytes(done, local, *RESULTS)

    # Both shards in one job.
    comments = {job["Comment"]: job for job in run.jobs}
    [encode] = run.attempts(ENCODE)
    assert "group_encode_encode" in encode["StdOut"]
    assert all(job["JobName"].startswith("meanface_") for job in run.jobs)
    # One after the other: a core and the memory of one, the time of both.
    assert encode["NumCPUs"] == "1"
    assert encode["MinMemoryNode"] == "2150M"
    assert minutes(encode) >= 2 * 6
    # Quick rules, and those that need the internet, are not submitted.
    assert not [comment for comment in comments if re.search("export_model|download", comment)]
    assert "No wall time information" not in done.output
    assert "No job memory information" not in done.output


@pytest.mark.slow
def test_all_questions_have_the_answers_of_a_local_run(
    start: Start, local: Run, sample_photos: Path, tmp_path: Path
) -> None:
    """The targets that build on the results, whose jobs the cluster runs; then one photo more."""
    photos = Path(shutil.copytree(sample_photos, tmp_path / "photos"))
    query = Path(shutil.move(photos / "Grace_Hopper/Grace_Hopper_0007.jpg", tmp_path / "query.jpg"))
    config = SAMPLE | {"photos": photos, "query": query, "other": local.results}
    done = start(tmp_path / "cluster", *QUESTIONS, **config).finish()
    assert done.code == 0, done.output
    alone = snakemake(tmp_path / "alone", *QUESTIONS, **config)
    assert alone.code == 0, alone.output
    names = ("people", "verification", "audit", "find", "comparison")
    assert same_bytes(done, alone, *(f"{name}.csv" for name in names))
    assert same_bytes(done, alone, *(f"{name}.json" for name in names))
    again = start(tmp_path / "cluster", *QUESTIONS, **config)
    assert not again.finish().jobs
    # The jobs of both runs: each of these rules once, and no job that draws.
    before = [job["Comment"] for job in again.jobs]
    for rule in SUBMITTED:
        assert sum(comment.startswith(f"rule_{rule}") for comment in before) == 1, before
    assert not [comment for comment in before if "plot" in comment]

    shutil.copy(query, photos / "Grace_Hopper")
    known = {job["JobId"] for job in again.jobs}
    more = start(tmp_path / "cluster", *QUESTIONS, **config)
    done = more.finish()
    assert done.code == 0, done.output
    after = [job["Comment"] for job in more.jobs if job["JobId"] not in known]
    alone = snakemake(tmp_path / "alone", *QUESTIONS, **config)
    assert alone.code == 0, alone.output
    assert same_bytes(done, alone, *RESULTS, *(f"{name}.csv" for name in names))
    assert json.loads((done.results / "summary.json").read_text())["newly_encoded"] == 1
    # Each of these rules once more, but the query is encoded already, and the photo in one shard.
    for rule in SUBMITTED:
        submitted = [comment for comment in after if comment.startswith(f"rule_{rule}")]
        assert len(submitted) == (rule != "encode_query"), after
    assert sum(comment.startswith(ENCODE) for comment in after) == 1, after


@needs_lfw
@pytest.mark.slow
def test_lfw_gives_the_bytes_of_the_local_run(start: Start, tmp_path: Path) -> None:
    config = {"photos": lfw_archive(), "shards": 8}
    run = start(tmp_path / "run", "--group-components", "encode=4", **config)
    done = run.finish()
    assert done.code == 0, done.output
    local = snakemake(tmp_path / "local", **config)
    assert local.code == 0, local.output
    assert same_bytes(done, local, *RESULTS)
    assert len((done.results / "faces.csv").read_text().splitlines()) > 1500
    groups = [job for job in run.jobs if "encode" in job["Comment"]]
    assert len(groups) == 2


def test_a_job_over_its_time_gets_more_time_and_memory(runs: Runs, local: Run) -> None:
    run = runs.over_its_time
    done = run.finish()
    assert done.code == 0, done.output
    assert encoded_alike(done, local)
    first, second = run.attempts(ENCODE)
    assert (first["JobState"], second["JobState"]) == ("TIMEOUT", "COMPLETED")
    [other] = runs.silent_queue.attempts(ENCODE)
    assert minutes(second) == 2 * minutes(other)
    assert (first["MinMemoryNode"], second["MinMemoryNode"]) == ("2150M", "4300M")


def test_a_job_over_its_memory_gets_more(runs: Runs, local: Run) -> None:
    run = runs.over_its_memory
    done = run.finish()
    assert done.code == 0, done.output
    assert encoded_alike(done, local)
    first, second = run.attempts(ENCODE)
    assert (first["MinMemoryNode"], second["MinMemoryNode"]) == ("60M", "1200M")
    assert first["JobState"] != "COMPLETED"
    assert "memory limit" in Path(first["StdOut"]).read_text()


def test_a_queue_that_does_not_answer_is_asked_again(runs: Runs, local: Run) -> None:
    done = runs.silent_queue.finish()
    assert done.code == 0, done.output
    answers = done.results.parents[1] / "queue_bin/answers"
    assert len(answers.read_text().splitlines()) > 7
    assert encoded_alike(done, local)


def test_a_job_for_a_gpu_goes_to_a_node_that_has_one_and_tells_why_it_fails(runs: Runs) -> None:
    run = runs.for_a_gpu
    done = run.finish()
    assert done.code == 1, "this GPU is one in name only"
    [job] = run.attempts(ENCODE)
    assert job["TresPerJob"] == "gres:gpu:1"
    assert job["BatchHost"] == "n2"
    [line] = [line for line in done.output.splitlines() if line.startswith("meanface: ")]
    assert "device: cuda" in line
    assert "results/logs/encode/photos-0000." in line
    assert job["StdOut"] in done.output


def test_a_lost_node_costs_a_restart_of_its_job(
    cluster: SlurmCluster, start: Start, runs: Runs, local: Run, tmp_path: Path
) -> None:
    for other in runs:
        other.finish()  # these would lose their jobs too
    # Its job takes longer than those that are asked for sooner.
    later = ("--slurm-init-seconds-before-status-checks", "20")
    run = start(unfinished(tmp_path / "run", local), *one_shard(local), *later, **SAMPLE)
    lost = run.hold(ENCODE)["BatchHost"]
    cluster.lose_node(lost)
    try:
        done = run.finish()
    finally:
        cluster.start_node(lost)
    assert done.code == 0, done.output
    assert encoded_alike(done, local)
    [job] = run.attempts(ENCODE)
    assert job["Restarts"] == "1"
    assert {job["BatchHost"], lost} == set(NODES)


def test_profile_keeps_what_the_default_profile_sets() -> None:
    default, slurm = (
        yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())
        for name in ("default", "slurm")
    )
    default.pop("resources")  # the one GPU of one machine: SLURM has many
    assert default.items() <= slurm.items()
