"""A Kubernetes for tests: an API server on loopback whose Jobs run as processes on this machine.

It speaks what snakemake-executor-plugin-kubernetes calls, allows what the role in deploy/kubernetes
allows, and reproduces what a pod is: a folder of its own as working directory, the environment of
the image and nothing of the test's, pip without a network.
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from threading import RLock, Thread
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.runs import ROOT

NAMESPACE = "meanface"
TOKEN = "token-of-the-controller"  # noqa: S105
PLUGINS = ("snakemake-storage-plugin-fs", "snakemake-storage-plugin-s3")


@dataclass
class Fault:
    """What becomes of a pod instead of its end: `kind` is one of these.

    unschedulable: it fits on no node, says the scheduler as `reason`; killed: its process ends;
    evicted: its node wants it gone; deleted: by somebody; forgotten: the whole Job is deleted.
    """

    kind: str
    reason: str = "Error"


@dataclass
class Cluster:
    """What there is in the namespace, and what happened."""

    folder: Path
    url: str = ""
    controller: int = 0
    fault: Callable[[str], Fault | None] = lambda command: None
    # What a quota says of every pod, such as "exceeded quota: ...".
    quota: str = ""
    # Requests, such as "create jobs", that fail once: before or after they are done.
    away: dict[str, Literal["before", "after"]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    leases: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    submitted: list[dict[str, Any]] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    # Rights that the role gives and this cluster does not, such as "list pods".
    taken_away: set[str] = field(default_factory=set)
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    lock: Any = field(default_factory=RLock)

    @property
    def left_behind(self) -> list[str]:
        """The names of all objects that there are."""
        return [*self.jobs, *self.pods, *self.secrets, *self.leases]

    @property
    def rules(self) -> list[str]:
        """The rules of the pods that there were, in order."""
        commands = [" ".join(pod["containers"][0]["args"]) for pod in self.submitted]
        return [re.findall(r"--target-jobs '?(\w+):", one)[0] for one in commands]

    # --- Jobs and pods ----------------------------------------------------------------------------

    def start(self, job: dict[str, Any]) -> None:
        name = job["metadata"]["name"]
        spec = job["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        assert container["workingDir"] == "/workdir"
        assert (
            container["resources"]["limits"]["memory"]
            == container["resources"]["requests"]["memory"]
        )
        command = " ".join(container["args"])
        self.submitted.append(spec)
        self.jobs[name] = job | {"status": {"active": 1}}
        if refusal := self.refuse(spec):
            self.jobs[name]["status"] = {}
            self.events[f"{name}.17"] = {
                "metadata": {"name": f"{name}.17"},
                "involvedObject": {"kind": "Job", "name": name},
                "reason": "FailedCreate",
                "type": "Warning",
                "message": f'Error creating: pods "{name}-5x2k9" is forbidden: {refusal}',
            }
            return
        pod = {
            "metadata": {"name": f"{name}-x", "labels": {"job-name": name}},
            "spec": spec,
            "status": {"phase": "Running", "containerStatuses": [self.status({"running": {}})]},
        }
        self.pods[f"{name}-x"] = pod
        fault = self.fault(command)
        if fault and fault.kind == "unschedulable":
            pod["status"] = {
                "phase": "Pending",
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": fault.reason,
                    }
                ],
            }
            return
        if fault and fault.kind == "forgotten":
            self.delete_job(name)
            return
        if fault and fault.kind in ("evicted", "deleted"):
            self.jobs[name]["status"] = {"failed": 1}
            pod["status"] = {
                "phase": "Failed",
                "reason": "Evicted",
                "message": "The node was low on resource: memory.",
            }
            if fault.kind == "deleted":
                del self.pods[f"{name}-x"]
            return
        place = self.folder / "pods" / name
        (place / "workdir").mkdir(parents=True)
        environment = {
            **image_environment(self.folder),
            "HOME": str(place),
            **dict(self.environment(container)),
        }
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [*container["command"], *container["args"]],
                cwd=place / "workdir",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[name] = process
        if fault:
            os.killpg(process.pid, signal.SIGKILL)
        Thread(target=self.wait, args=(name, process, fault), daemon=True).start()

    def refuse(self, spec: dict[str, Any]) -> str:
        """Why admission refuses a pod: the pod security standard "restricted", or a quota."""
        pod = spec.get("securityContext") or {}
        (container,) = spec["containers"]
        own = container.get("securityContext") or {}
        checks = {
            "allowPrivilegeEscalation != false": own.get("allowPrivilegeEscalation") is False,
            "unrestricted capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "runAsNonRoot != true": pod.get("runAsNonRoot") is True,
            "seccompProfile": pod.get("seccompProfile") == {"type": "RuntimeDefault"},
        }
        if violated := ", ".join(check for check, met in checks.items() if not met):
            return f'violates PodSecurity "restricted:latest": {violated}'
        return self.quota

    def environment(self, container: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for one in container.get("env") or []:
            reference = one["valueFrom"]["secretKeyRef"]
            value = self.secrets[reference["name"]]["data"][reference["key"]]
            yield one["name"], base64.b64decode(value).decode()

    @staticmethod
    def status(state: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": "snakemake",
            "image": "x",
            "imageID": "x",
            "ready": False,
            "restartCount": 0,
            "state": state,
        }

    def wait(self, name: str, process: "subprocess.Popen[bytes]", fault: Fault | None) -> None:
        code = process.wait()
        with self.lock:
            if name not in self.jobs:
                return
            code = 128 - code if code < 0 else code
            reason = fault.reason if fault else "Error" if code else "Completed"
            ended = {"terminated": {"exitCode": code, "reason": reason}}
            self.jobs[name]["status"] = {"failed": 1} if code else {"succeeded": 1}
            if f"{name}-x" in self.pods:
                self.pods[f"{name}-x"]["status"] = {
                    "phase": "Failed" if code else "Succeeded",
                    "containerStatuses": [self.status(ended)],
                }

    def stop(self, name: str) -> None:
        if process := self.processes.get(name):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def end_orphans(self) -> None:
        """Let the pods of a killed controller finish, then remove what it left."""
        for process in self.processes.values():
            process.wait()
        with self.lock:
            for name in list(self.jobs):
                self.delete_job(name)
            self.secrets.clear()
            for lease in self.leases.values():  # as time goes by
                lease["spec"]["leaseDurationSeconds"] = 1

    def delete_job(self, name: str) -> None:
        del self.jobs[name]
        self.pods.pop(f"{name}-x", None)
        self.stop(name)

    def delete_pod(self, name: str) -> None:
        del self.pods[name]
        job = name.removesuffix("-x")
        self.stop(job)
        if not {"succeeded", "failed"} & set(self.jobs[job]["status"]):
            self.jobs[job]["status"] = {"failed": 1}

    # --- the API ----------------------------------------------------------------------------------

    def answer(self, method: str, url: str, body: dict[str, Any]) -> tuple[int, Any]:
        """The status and the object (or the text of a log) for a request."""
        parts = urlsplit(url)
        group, _, rest = parts.path.partition(f"/namespaces/{NAMESPACE}/")
        resource, *below = rest.split("/")
        name = below[0] if below else ""
        verbs = {"POST": "create", "PUT": "update", "DELETE": "delete"}
        verb = verbs.get(method, "get" if name else "list")
        kind = "/".join([resource, *below[1:]])
        if f"{verb} {kind}" in self.taken_away or not allowed(group_of(group), kind, verb):
            self.forbidden.append(f"{verb} {kind}")
            account = f"system:serviceaccount:{NAMESPACE}:meanface"
            return 403, {
                "kind": "Status",
                "message": f'{kind} is forbidden: User "{account}" cannot {verb} resource "{kind}"',
            }
        fails = self.away.pop(f"{verb} {kind}", None)
        if fails == "before":
            return 503, None
        answer = self.act(verb, kind, name, parse_qs(parts.query), body)
        return (504, None) if fails else answer

    def act(
        self, verb: str, kind: str, name: str, query: dict[str, list[str]], body: dict[str, Any]
    ) -> tuple[int, Any]:
        """Do what is asked for; as `answer`."""
        resource = kind.partition("/")[0]
        table: dict[str, dict[str, Any]] = getattr(self, resource)
        if name and name not in table:
            return 404, None
        if verb == "create" and body["metadata"]["name"] in table:
            return 409, None
        if kind == "pods" and verb == "list":
            label = query["labelSelector"][0].partition("=")[2]
            found = [
                one for one in table.values() if one["metadata"]["labels"]["job-name"] == label
            ]
            return 200, {"kind": "PodList", "items": found}
        if kind == "events":
            wanted = dict(one.split("=") for one in query["fieldSelector"][0].split(","))
            found = [
                one
                for one in table.values()
                if one["involvedObject"]["name"] == wanted["involvedObject.name"]
                and one["reason"] == wanted["reason"]
            ]
            return 200, {"kind": "EventList", "items": found}
        if resource == "leases" and verb != "delete":
            return self.lease(verb, name, body)
        if kind == "pods/log":
            if "previous" in query:  # as of a container that has not been started again
                return 400, None
            log = self.folder / "pods" / name.removesuffix("-x") / "log"
            return 200, log.read_text()
        if (kind, verb) == ("jobs/status", "get"):
            return 200, table[name]
        if (kind, verb) == ("jobs", "create"):
            self.start(body)
            return 201, body
        if (kind, verb) == ("secrets", "create"):
            table[body["metadata"]["name"]] = body
            return 201, body
        if (kind, verb) == ("jobs", "delete"):
            self.delete_job(name)
        elif (kind, verb) == ("pods", "delete"):
            self.delete_pod(name)
        else:
            del table[name]
        # A deleted pod is answered with itself, all else with a status.
        return 200, {"kind": "Status", "metadata": {}, "status": {} if resource == "pods" else None}

    def lease(self, verb: str, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Read or write a Lease. A write that follows another reader's write is refused."""
        if verb == "get":
            return 200, self.leases[name]
        for time in ("acquireTime", "renewTime"):
            assert re.fullmatch(
                r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}(Z|[+-]\d\d:\d\d)", body["spec"][time]
            )
        version = 0
        if verb == "update":
            version = int(self.leases[name]["metadata"]["resourceVersion"])
            if body["metadata"].get("resourceVersion") != str(version):
                return 409, None
        body["metadata"]["resourceVersion"] = str(version + 1)
        self.leases[body["metadata"]["name"]] = body
        return (200 if verb == "update" else 201), body


def group_of(path: str) -> str:
    """The API group in the path of a request; that of Pods and Secrets is empty."""
    parts = path.strip("/").split("/")
    return parts[1] if parts[0] == "apis" else ""


@cache
def allowed(group: str, resource: str, verb: str) -> bool:
    """Whether the controller's role allows it."""
    text = (ROOT / "deploy/kubernetes/base/rbac.yaml").read_text(encoding="utf-8")
    (role,) = [one for one in yaml.safe_load_all(text) if one["kind"] == "Role"]
    return any(
        group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"]
        for rule in role["rules"]
    )


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Run an API server; its pods' folders, the image and a kubeconfig are below `folder`."""
    here = Cluster(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, answer = 401, None
            else:
                with here.lock:
                    status, answer = here.answer(self.command, self.path, body)
            text = answer if isinstance(answer, str) else json.dumps(answer or {"kind": "Status"})
            data = text.encode()
            self.send_response(status)
            is_text = isinstance(answer, str)
            self.send_header("Content-Type", "text/plain" if is_text else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = respond  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    make_image(folder)
    write_kubeconfig(folder / "kubeconfig", here.url, TOKEN)
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        for name in list(here.processes):
            here.stop(name)


def write_kubeconfig(path: Path, url: str, token: str) -> None:
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "test", "cluster": {"server": url}}],
                "users": [{"name": "test", "user": {"token": token}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "current-context": "test",
            }
        )
    )


# --- the image ------------------------------------------------------------------------------------


def make_image(folder: Path) -> None:
    """What deploy/Dockerfile puts into the image, as folders: the workflow, the plugins' wheels."""
    image = folder / "image"
    image.mkdir(parents=True)
    dockerfile = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
    (moved,) = re.findall(r"&& mv (Snakefile .*) /opt/meanface/", dockerfile)
    for name in moved.split():
        if (ROOT / name).is_dir():
            hidden = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, image / name, ignore=hidden)
        else:
            shutil.copy(ROOT / name, image / name)
    for arguments in ("init --quiet", "add ."):
        subprocess.run(["git", "-C", str(image), *arguments.split()], check=True)
    (folder / "wheels").mkdir()
    for name in PLUGINS:
        make_wheel(name, folder / "wheels")


def make_wheel(name: str, folder: Path) -> None:
    """Pack an installed package as the wheel that it came from."""
    package = distribution(name)
    file = f"{name.replace('-', '_')}-{package.version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / file, "w") as wheel:
        for path in package.files or []:
            if path.suffix != ".pyc" and path.name not in ("INSTALLER", "REQUESTED"):
                wheel.write(str(path.locate()), str(path))


def image_environment(folder: Path) -> dict[str, str]:
    """Of the Dockerfile's ENV, what decides how a job runs here."""
    dockerfile = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
    pip = dict(re.findall(r"(PIP_NO_\w+)=(\w+)", dockerfile))
    assert pip == {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_CACHE_DIR": "1"}
    return pip | {
        "PIP_FIND_LINKS": str(folder / "wheels"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
        "USER": "meanface",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(folder),
    }
