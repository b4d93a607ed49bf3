"""A SLURM cluster of two nodes on this machine, in a folder of its own.

`python tests/cluster/slurm_cluster.py COMMAND ...` runs a command (`bash`, say) on a fresh cluster
and then stops the cluster. `python tests/cluster/slurm_cluster.py --install` installs SLURM (Debian
and Ubuntu, as root). Tests use `slurm_cluster(folder)`. Nothing outside the folder is written, and
a SLURM that this machine belongs to is left alone.
"""

import getpass
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil

Result = TypeVar("Result")

NODES = ("n1", "n2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "srun")
PACKAGES = ("munge", "slurm-client", "slurmctld", "slurmd")

# Memory is enforced by polling (OverMemoryKill), since cgroups need rights that a test seldom has.
# Made short for tests: the seconds that a job which lost its node waits (cred_expire, else 120),
# after which a silent node is given up (SlurmdTimeout, 300), and that a job gets to end (KillWait,
# 30).
SLURM_CONF = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
ReturnToService=2
SlurmdTimeout=10
KillWait=2
GresTypes=gpu
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=6000
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=6000 \
Gres=gpu:1
PartitionName=main Nodes=n1,n2 Default=YES DefaultTime=10 MaxTime=120 State=UP
"""
# A GPU in name only: jobs that ask for one go to n2.
GRES_CONF = "NodeName=n2 Name=gpu File=/dev/null\n"

# The executor plugin takes SLURM_CONF away from the `srun` inside a job.
SRUN = """\
#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""


class SlurmError(Exception):
    """The cluster did not come to the state that was waited for; the message says which."""


def missing_programs() -> list[str]:
    """The programs of SLURM that are not installed here."""
    return [name for name in PROGRAMS if shutil.which(name, path=_search_path()) is None]


def install() -> None:
    """Install SLURM's packages; SystemExit with the reason where that is not possible."""
    if not missing_programs():
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        sys.exit(f"SLURM is not installed: needs {', '.join(PACKAGES)} and root on Debian, Ubuntu")
    apt = ["apt-get", "--quiet", "--yes", "--option", "DPkg::Lock::Timeout=300"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*apt, "update"], env=environment, check=True)
    subprocess.run(
        [*apt, "install", "--no-install-recommends", *PACKAGES], env=environment, check=True
    )


@dataclass
class SlurmCluster:
    """A cluster; `environment` is what a program needs to use it."""

    folder: Path
    environment: dict[str, str]
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def call(self, *command: str) -> str:
        """What a command of SLURM prints; subprocess.CalledProcessError where it fails."""
        return subprocess.run(
            command,
            env=self.environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
        ).stdout

    def jobs(self) -> list[dict[str, str]]:
        """All jobs that the cluster remembers, oldest first, with the keys of `scontrol show`."""
        lines = self.call("scontrol", "--oneliner", "show", "jobs").splitlines()
        jobs = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if "JobId=" in line]
        return sorted(jobs, key=lambda job: int(job["JobId"]))

    def wait_until(
        self, what: str, condition: Callable[[], Result | None], seconds: float = 60
    ) -> Result:
        """Ask until `condition` gives something and return that; SlurmError after `seconds`."""
        deadline = time.monotonic() + seconds
        while not (result := condition()):
            for name, daemon in self.daemons.items():
                if daemon.poll() is not None:
                    raise SlurmError(f"{name} ended with {daemon.returncode}: {self._log(name)}")
            if time.monotonic() > deadline:
                raise SlurmError(f"{what}: not within {seconds} s: {self._log('slurmctld')}")
            time.sleep(0.1)
        return result

    def processes(self, **environment: str) -> list[psutil.Process]:
        """The processes of this cluster's jobs that have these variables in their environment."""
        wanted = environment | {"SLURM_CONF": self.environment["SLURM_CONF"]}
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if wanted.items() <= process.environ().items():
                    found.append(process)
        return found

    def start_munge(self) -> None:
        socket, key = self.folder / "munge.socket", self.folder / "munge.key"
        paths = [f"--{use}-file={self.folder}/munge.{use}" for use in ("pid", "log", "seed")]
        command = ["munged", "--foreground", "--force", f"--socket={socket}", f"--key-file={key}"]
        self._start("munged", *command, *paths)
        self.wait_until("munge has its socket", socket.exists)

    def start_controller(self) -> None:
        self._start("slurmctld", "slurmctld", "-D")
        self.wait_until("the controller answers", self._answers)

    def stop_controller(self) -> None:
        self._stop("slurmctld")

    def start_node(self, node: str) -> None:
        """Start a node, new or lost, and wait until it takes jobs."""
        self._start(node, "slurmd", "-D", "-N", node)
        self.wait_until(f"{node} takes jobs", lambda: self._state_of(node) in ("idle", "mixed"))

    def lose_node(self, node: str) -> None:
        """Take a node away as a power cut would, with all that runs on it."""
        daemon = self.daemons.pop(node)
        daemon.kill()
        daemon.wait()
        self._kill_jobs_on(node)
        self.call("scontrol", "update", f"nodename={node}", "state=down", "reason=lost")

    def stop(self) -> None:
        """End the jobs, then the daemons."""
        with suppress(subprocess.CalledProcessError, SlurmError):
            self.call("scancel", "--user", getpass.getuser())
            self.wait_until("no job runs", lambda: not self.call("squeue", "--noheader"), 20)
        for name in reversed(list(self.daemons)):
            self._stop(name)
        for node in NODES:
            self._kill_jobs_on(node)

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("wb") as out:
            self.daemons[name] = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the command that uses the cluster
            )

    def _stop(self, name: str) -> None:
        daemon = self.daemons.pop(name)
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _answers(self) -> bool:
        ping = ["scontrol", "ping"]
        return subprocess.run(ping, env=self.environment, capture_output=True).returncode == 0

    def _state_of(self, node: str) -> str:
        return self.call("sinfo", "--noheader", "--nodes", node, "--format", "%T").strip()

    def _kill_jobs_on(self, node: str) -> None:
        """End the processes of a node's jobs, and those of SLURM that look after them."""
        tasks = self.processes(SLURMD_NODENAME=node)
        keepers = set()
        for task in tasks:
            with suppress(psutil.Error):
                keepers |= {parent for parent in task.parents() if parent.name() == "slurmstepd"}
        for process in [*keepers, *tasks]:
            with suppress(psutil.Error):
                process.kill()

    def _log(self, name: str) -> str:
        logs = [self.folder / f"{name}.{suffix}" for suffix in ("out", "log")]
        return "\n".join(log.read_text()[-1500:] for log in logs if log.exists())


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[SlurmCluster]:
    """Run a cluster with all its files in `folder`; SlurmError where it does not start."""
    outside = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
    environment = {
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PATH": os.pathsep.join([str(folder / "bin"), _search_path()]),
    }
    cluster = SlurmCluster(folder, outside | environment)
    _configure(folder)
    with ExitStack() as stack:
        stack.callback(cluster.stop)
        cluster.start_munge()
        cluster.start_controller()
        for node in NODES:
            cluster.start_node(node)
        yield cluster


def _configure(folder: Path) -> None:
    for name in ("state", "bin"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    (folder / "gres.conf").write_text(GRES_CONF)
    (folder / "slurm.conf").write_text(
        SLURM_CONF.format(folder=folder, ports=_free_ports(3), user=getpass.getuser())
    )
    srun = folder / "bin" / "srun"
    srun.write_text(SRUN.format(folder=folder, srun=shutil.which("srun")))
    srun.chmod(0o755)


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _search_path() -> str:
    """Where programs are looked for: the daemons are not on everybody's PATH."""
    return os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


def main(arguments: list[str]) -> int:
    if arguments == ["--install"]:
        install()
        return 0
    if not arguments:
        sys.exit("usage: slurm_cluster.py --install | COMMAND [ARGUMENT ...]")
    if missing := missing_programs():
        sys.exit(f"not installed: {', '.join(missing)}; python {sys.argv[0]} --install")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops the cluster on the way out
    with (
        tempfile.TemporaryDirectory(prefix="slurm-") as folder,
        slurm_cluster(Path(folder)) as cluster,
    ):
        return subprocess.run(arguments, env=cluster.environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
