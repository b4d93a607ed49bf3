"""The image, the Kubernetes manifests and the GitHub workflows, as far as no cluster is needed."""

import fnmatch
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from meanface import __version__
from tests.runs import ROOT

DEPLOY = ROOT / "deploy" / "kubernetes"
# Each is what `kubectl apply -k` gets, and where it lays the data.
BUILDS = {"default": DEPLOY, **{path.name: path for path in sorted(DEPLOY.glob("overlays/*"))}}
ALONE = [DEPLOY / "files.yaml", DEPLOY / "overlays/cloud/s3-secret.yaml"]
IMAGE = f"ghcr.io/meanface/meanface:{__version__}"
PROFILE = ROOT / "profiles/kubernetes/config.yaml"
BIN = Path(sys.executable).parent

Manifest = dict[str, Any]


def build(folder: Path) -> list[Manifest]:
    """The objects that `kubectl apply -k folder` would send, by the real kubectl."""
    done = subprocess.run(
        [BIN / "kubectl", "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "kustomize warns of what it will not take much longer"
    return list(yaml.safe_load_all(done.stdout))


COMMANDS = re.findall(
    r"^ +(kubectl (?:[^\n]*\\\n)*[^\n]*)", (ROOT / "docs/kubernetes.md").read_text("utf-8"), re.M
)


@pytest.mark.parametrize("command", [*dict.fromkeys(COMMANDS)])
def test_kubectl_knows_each_command_of_the_docs(command: str, tmp_path: Path) -> None:
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text(
        "{apiVersion: v1, kind: Config, current-context: nowhere, contexts: [{name: nowhere,"
        " context: {cluster: nowhere, user: ''}}], clusters: [{name: nowhere, cluster: {server:"
        " 'http://127.0.0.1:1'}}]}"
    )
    words = shlex.split(command.replace("\\\n", ""), comments=True)
    done = subprocess.run(
        [BIN / "kubectl", *words[1:]],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "KUBECONFIG": str(nowhere)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    # The command was understood if all that is missing is a cluster.
    assert done.returncode != 0
    assert "127.0.0.1:1" in done.stderr.splitlines()[-1], done.stderr


def test_the_docs_wait_for_the_pod_before_they_show_its_log() -> None:
    shown = [command for command in COMMANDS if " logs " in command]
    assert shown
    for command in shown:
        assert "--pod-running-timeout=" in command


@pytest.fixture(scope="module")
def built() -> dict[str, list[Manifest]]:
    """The objects of each way to deploy."""
    return {name: build(folder) for name, folder in BUILDS.items()}


@pytest.fixture(params=BUILDS)
def objects(request: pytest.FixtureRequest, built: dict[str, list[Manifest]]) -> list[Manifest]:
    """The objects of one way to deploy."""
    return built[request.param]


@pytest.fixture
def everything(built: dict[str, list[Manifest]]) -> list[Manifest]:
    """All objects, those that are applied by themselves too."""
    alone = [one for path in ALONE for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
    return [one for objects in built.values() for one in objects] + alone


def find(objects: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def pods(objects: list[Manifest]) -> Iterator[Manifest]:
    """The pod template of every object that makes pods."""
    for one in objects:
        if one["kind"] == "Pod":
            yield one
        elif "template" in one.get("spec", {}):
            yield one["spec"]["template"]


def containers(objects: list[Manifest]) -> list[Manifest]:
    found = [
        container
        for pod in pods(objects)
        for kind in ("initContainers", "containers")
        for container in pod["spec"].get(kind, [])
    ]
    assert found
    return found


def controller(objects: list[Manifest]) -> Manifest:
    """The container that runs Snakemake."""
    (found,) = [one for one in containers(objects) if one["name"] == "snakemake"]
    return found


def arguments(objects: list[Manifest]) -> dict[str, str]:
    """The controller's options, where they are of the form --option=value."""
    given = [one for one in controller(objects)["args"] if one.startswith("--")]
    pairs = (one.removeprefix("--").partition("=") for one in given)
    return {name: value for name, _, value in pairs}


# --- the manifests --------------------------------------------------------------------------------


def test_what_is_applied_by_default_is_the_overlay_for_one_node(
    built: dict[str, list[Manifest]],
) -> None:
    assert set(built) == {"default", "one-node", "cloud"}
    assert built["default"] == built["one-node"]


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_kubernetes_knows_every_field(everything: list[Manifest], version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    for one in everything:
        assert validate(one, version, strict=True) == version


def test_everything_lies_in_one_namespace(objects: list[Manifest]) -> None:
    kinds = {one["kind"] for one in objects}
    assert kinds == {
        *("Namespace", "ServiceAccount", "Role", "RoleBinding", "ConfigMap"),
        *("PersistentVolumeClaim", "NetworkPolicy", "Job"),
    }
    assert find(objects, "Namespace", "meanface")
    for one in objects:
        if one["kind"] != "Namespace":
            assert one["metadata"]["namespace"] == "meanface", one["metadata"]["name"]


def test_no_secret_is_applied_with_the_rest(everything: list[Manifest]) -> None:
    (secret,) = [one for one in everything if one["kind"] == "Secret"]
    assert set(secret["stringData"].values()) == {"REPLACE-ME"}


def test_every_image_is_that_of_this_version(everything: list[Manifest]) -> None:
    assert {one["image"] for one in containers(everything)} == {IMAGE}
    for one in everything:
        assert ":latest" not in json.dumps(one)


def test_the_workers_run_the_controllers_image(objects: list[Manifest]) -> None:
    (image,) = [one for one in controller(objects)["env"] if one["name"] == "MEANFACE_IMAGE"]
    assert image["value"] == controller(objects)["image"] == IMAGE
    assert arguments(objects)["container-image"] == "$(MEANFACE_IMAGE)"


def test_another_image_is_named_in_one_place(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "kubernetes")
    kustomization = tmp_path / "kubernetes/base/kustomization.yaml"
    text = kustomization.read_text(encoding="utf-8")
    (line,) = re.findall(r"^ +newTag: .*$", text, re.M)
    kustomization.write_text(text.replace(line, "    newName: mine.test/meanface\n    newTag: x"))
    objects = build(tmp_path / "kubernetes")
    assert {one["image"] for one in containers(objects)} == {"mine.test/meanface:x"}
    assert controller(objects)["env"][0]["value"] == "mine.test/meanface:x"


def test_the_pods_are_restricted(everything: list[Manifest]) -> None:
    """What the pod security standard "restricted" asks for, and a root folder that is read-only."""
    for pod in pods(everything):
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == 10001
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])
        kinds = {kind for volume in pod["spec"]["volumes"] for kind in volume} - {"name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim"}
    for container in containers(everything):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_every_container_has_requests_and_limits(everything: list[Manifest]) -> None:
    wanted = {"cpu", "memory", "ephemeral-storage"}
    for container in containers(everything):
        assert set(container["resources"]["requests"]) == wanted
        assert set(container["resources"]["limits"]) == wanted
    for pod in pods(everything):
        for volume in pod["spec"]["volumes"]:
            assert volume.get("emptyDir", {"sizeLimit": "none needed"})["sizeLimit"]


def test_every_name_that_a_pod_uses_is_there(built: dict[str, list[Manifest]]) -> None:
    for name, objects in built.items():
        kinds = ("ConfigMap", "PersistentVolumeClaim", "ServiceAccount")
        names: dict[str, set[str]] = {kind: set() for kind in kinds}
        for one in objects:
            names.setdefault(one["kind"], set()).add(one["metadata"]["name"])
        for pod in pods([*objects, *yaml.safe_load_all((DEPLOY / "files.yaml").read_text())]):
            assert pod["spec"]["serviceAccountName"] in names["ServiceAccount"]
            for volume in pod["spec"]["volumes"]:
                if "configMap" in volume:
                    assert volume["configMap"]["name"] in names["ConfigMap"], name
                if claim := volume.get("persistentVolumeClaim"):
                    assert claim["claimName"] in names["PersistentVolumeClaim"], name


def test_nobody_reaches_a_pod_and_a_pod_reaches_names_alone_by_default(
    objects: list[Manifest],
) -> None:
    policies = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]
    assert not any(policy.get("ingress") for policy in policies)
    (everybody,) = [one for one in policies if set(one["policyTypes"]) == {"Ingress", "Egress"}]
    assert everybody["podSelector"] == {}
    assert {port["port"] for rule in everybody["egress"] for port in rule["ports"]} == {53}
    for policy in policies:
        for rule in policy["egress"]:
            for peer in rule.get("to", []):  # a cloud's metadata service hands out credentials
                spared = set(peer["ipBlock"]["except"])
                assert spared & {"169.254.0.0/16", "fd00:ec2::254/128", "fc00::/7"}


def test_the_policy_for_the_controller_selects_it(objects: list[Manifest]) -> None:
    selected = find(objects, "NetworkPolicy", "controller")["spec"]["podSelector"]["matchLabels"]
    (pod,) = pods(objects)
    assert selected.items() <= pod["metadata"]["labels"].items()


def test_s3_is_outside_of_the_cluster(built: dict[str, list[Manifest]]) -> None:
    """Workers reach one port of public addresses, and neither the nodes nor the other services."""
    (rule,) = find(built["cloud"], "NetworkPolicy", "s3")["spec"]["egress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]
    spared = {network for peer in rule["to"] for network in peer["ipBlock"]["except"]}
    assert spared >= {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7"}


def test_the_overlay_for_one_node_fits_two_cpus(built: dict[str, list[Manifest]]) -> None:
    """Beside the pods of minikube itself, which request 850m."""
    requested = controller(built["one-node"])["resources"]["requests"]["cpu"]
    worker = 1000 * float(arguments(built["one-node"])["kubernetes-cpu-scalar"])
    assert 850 + int(requested.removesuffix("m")) + worker <= 2000


# --- the executor plugin --------------------------------------------------------------------------


def rights_that_the_executor_needs() -> set[tuple[str, str, str]]:
    """(API group, resource, verb) of each call in our sources, and of those by the plugin."""
    import kubernetes.client
    import snakemake_executor_plugin_kubernetes as plugin

    from meanface.workflow import kubernetes_executor, lease

    apis = {
        "batchapi": ("batch", kubernetes.client.BatchV1Api),
        "kubeapi": ("", kubernetes.client.CoreV1Api),
        "_api": ("coordination.k8s.io", kubernetes.client.CoordinationV1Api),
    }
    ours = inspect.getsource(kubernetes_executor) + inspect.getsource(lease)
    unused = {"safe_delete_job", *vars(kubernetes_executor.KubernetesExecutor)}
    theirs = "".join(
        inspect.getsource(method)
        for name, method in inspect.getmembers(plugin.Executor, inspect.isfunction)
        if name in vars(plugin.Executor) and (name not in unused or f"super().{name}" in ours)
    )
    needed = set()
    for api, method in re.findall(r"self\.(batchapi|kubeapi|_api)\.(\w+)\(", ours + theirs):
        group, client = apis[api]
        source = inspect.getsource(getattr(client, f"{method}_with_http_info"))
        match = re.search(r"call_api\(\s*'(\S+)', '([A-Z]+)'", source)
        assert match, method
        _, _, rest = match[1].partition("/namespaces/{namespace}/")
        resource, *below = rest.split("/")
        named = below[:1] == ["{name}"]
        resource = "/".join([resource, *below[1:]])
        verbs = {"POST": "create", "PUT": "update", "DELETE": "delete"}
        needed.add((group, resource, verbs.get(match[2], "get" if named else "list")))
    assert len(needed) > 5
    return needed


def test_the_controller_may_do_what_the_executor_does_and_nothing_else(
    objects: list[Manifest],
) -> None:
    role = find(objects, "Role", "meanface")
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == rights_that_the_executor_needs()
    binding = find(objects, "RoleBinding", "meanface")
    assert binding["roleRef"]["name"] == "meanface"
    (account,) = [one["name"] for one in binding["subjects"]]
    (pod,) = pods(objects)
    assert pod["spec"]["serviceAccountName"] == account == "meanface"


def test_the_workers_may_do_nothing(objects: list[Manifest]) -> None:
    worker = arguments(objects)["kubernetes-service-account-name"]
    assert find(objects, "ServiceAccount", worker)["automountServiceAccountToken"] is False
    for binding in (one for one in objects if one["kind"] == "RoleBinding"):
        assert worker not in {one["name"] for one in binding["subjects"]}


def test_the_namespace_enforces_what_all_pods_meet(objects: list[Manifest]) -> None:
    """That the workers' pods meet it, tests/cluster/kubernetes_cluster.py looks at."""
    labels = find(objects, "Namespace", "meanface")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_snakemake_knows_the_controllers_options(objects: list[Manifest]) -> None:
    from snakemake.cli import get_argument_parser

    container = controller(objects)
    assert container["command"] == ["snakemake"]
    parser = get_argument_parser()
    # The profile is not beside the tests; it is laid down in the pod.
    given = [one for one in container["args"] if not one.startswith("--workflow-profile=")]
    parsed = parser.parse_args(["--executor=kubernetes", *given])
    assert parsed.kubernetes_namespace == "meanface"
    assert parsed.default_storage_provider in ("fs", "s3")


# --- what they must agree on ----------------------------------------------------------------------


def configured(objects: list[Manifest]) -> Manifest:
    text = find(objects, "ConfigMap", "meanface-config")["data"]["config.yaml"]
    found: Manifest = yaml.safe_load(text)
    return found


def test_the_config_map_names_keys_of_the_workflow(objects: list[Manifest]) -> None:
    from meanface.workflow.config import check_config

    differing = configured(objects)
    defaults = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    assert set(differing) <= set(defaults)
    check_config({**defaults, **differing}, ROOT / "config/config.schema.yaml")
    # A worker's own folder ends with it: what it keeps there for later runs is lost.
    assert differing["cache"].startswith(("/data/", "s3://"))


def test_s3_is_told_to_snakemake_and_to_the_cache(built: dict[str, list[Manifest]]) -> None:
    from dataclasses import fields

    from snakemake_storage_plugin_s3 import StorageProviderSettings

    read = {}
    for one in controller(built["cloud"])["env"]:
        for source in one.get("valueFrom", {}).values():
            if "fieldPath" in source:
                continue
            assert source["name"] == "meanface-s3"
            read[one["name"]] = source["key"]
    assert read == {
        "MEANFACE_S3_PREFIX": "prefix",
        "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": "endpoint-url",
        "SNAKEMAKE_STORAGE_S3_REGION": "region",
        "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "access-key-id",
        "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "secret-access-key",
        "AWS_ENDPOINT_URL": "endpoint-url",
        "AWS_DEFAULT_REGION": "region",
        "AWS_ACCESS_KEY_ID": "access-key-id",
        "AWS_SECRET_ACCESS_KEY": "secret-access-key",
    }
    settings = find(built["cloud"], "ConfigMap", "meanface-s3")["data"]
    template = yaml.safe_load((DEPLOY / "overlays/cloud/s3-secret.yaml").read_text())
    assert template["metadata"]["name"] == "meanface-s3"
    assert set(read.values()) == set(settings) | set(template["stringData"])
    # Snakemake hands its own to the workers, the others it is told to.
    known = {
        f"SNAKEMAKE_STORAGE_S3_{field.name.upper()}"
        for field in fields(StorageProviderSettings)
        if field.metadata.get("env_var")
    }
    assert {name for name in read if name.startswith("SNAKEMAKE_")} <= known
    given = controller(built["cloud"])["args"]
    handed_on = given[given.index("--envvars") + 1 :]
    assert set(handed_on) == {name for name in read if name.startswith("AWS_")}
    assert arguments(built["cloud"])["default-storage-prefix"] == "$(MEANFACE_S3_PREFIX)"
    assert configured(built["cloud"])["cache"].startswith(settings["prefix"] + "/")


def test_the_volume_is_mounted_where_the_storage_lies(built: dict[str, list[Manifest]]) -> None:
    options = arguments(built["one-node"])
    claim, _, path = options["kubernetes-persistent-volumes"].partition(":")
    assert find(built["one-node"], "PersistentVolumeClaim", claim)
    mounts = {one["mountPath"]: one for one in controller(built["one-node"])["volumeMounts"]}
    assert options["default-storage-prefix"] == path in mounts


def test_the_profile_says_the_same(objects: list[Manifest]) -> None:
    profile = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    options = arguments(objects)
    assert options["workflow-profile"] == "profiles/kubernetes"
    assert profile["executor"] == "kubernetes"
    assert profile.get("kubernetes-namespace", "meanface") == options["kubernetes-namespace"]
    assert profile.get("container-image", IMAGE) == IMAGE
    account = profile.get("kubernetes-service-account-name", "meanface-worker")
    assert find(objects, "ServiceAccount", account)
    # The plugin sets limits for a worker only where the resource `scale` is 0.
    assert "scale=0" in [str(one).replace(" ", "") for one in resources(profile)]


def resources(profile: Manifest) -> list[str]:
    given = profile.get("default-resources", [])
    return [f"{k}={v}" for k, v in given.items()] if isinstance(given, dict) else given


# --- the image ------------------------------------------------------------------------------------

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")


def test_the_dockerfile_is_clean() -> None:
    done = subprocess.run(
        [BIN / "hadolint", ROOT / "deploy/Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_pinned_and_not_root() -> None:
    bases = [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")]
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", bases[0])
    assert set(bases[1:]) == {"base"}
    user = re.findall(r"^USER (.*)$", DOCKERFILE, re.M)[-1]
    assert user == "10001:10001"
    assert f"FROM {bases[0]} AS base" in DOCKERFILE
    assert "--require-hashes --only-binary :all:" in DOCKERFILE
    assert "PYTHONPATH" not in DOCKERFILE, "the library is installed"
    assert "requirements-cluster.lock" in DOCKERFILE
    assert f"meanface:{__version__} " in DOCKERFILE


def in_the_image(path: str) -> bool:
    """Whether .dockerignore lets a file through; the last line that fits counts."""
    lets_through = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        candidates = parts if line.startswith("**/") else [parts[0], path]
        if any(fnmatch.fnmatch(part, pattern) for part in candidates):
            lets_through = line.startswith("!")
    return lets_through


def test_the_image_has_what_the_workflow_reads_and_nothing_private() -> None:
    for text in [ROOT / "Snakefile", *ROOT.glob("rules/*.smk")]:
        assert in_the_image(str(text.relative_to(ROOT)))
        for found in re.findall(r'"(?:\.\./)([\w./-]+)"', text.read_text(encoding="utf-8")):
            assert in_the_image(found), f"{text.name} reads {found}"
    (moved,) = re.findall(r"&& mv (Snakefile .*) /opt/meanface/", DOCKERFILE)
    for part in moved.split():
        assert in_the_image(part)
    for needed in (
        "pyproject.toml",
        "meanface/models.py",
        "config/config.schema.yaml",
        "sample/sample.tar.gz",
    ):
        assert in_the_image(needed)
    for kept_out in (".git/config", ".venv/bin/python", "results/mean.npy", "tests/lfw.py", ".env"):
        assert not in_the_image(kept_out)
    assert not in_the_image("meanface/__pycache__/face.cpython-311.pyc")


def test_the_image_has_the_storage_plugins_that_are_asked_for(
    built: dict[str, list[Manifest]],
) -> None:
    """Every worker installs them when it starts, without a network."""
    lock = (ROOT / "requirements-cluster.lock").read_text(encoding="utf-8")
    for objects in built.values():
        provider = arguments(objects)["default-storage-provider"]
        assert f"\nsnakemake-storage-plugin-{provider}==" in lock
    for setting in ("PIP_FIND_LINKS=/opt/wheels", "PIP_NO_INDEX=1", "PIP_NO_DEPS=1"):
        assert setting in DOCKERFILE
    assert "wheels/snakemake_storage_plugin_*.whl /opt/wheels/" in DOCKERFILE


# --- GitHub ---------------------------------------------------------------------------------------

WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.dependabot", [ROOT / ".github/dependabot.yml"]),
    ],
    ids=["workflows", "timeouts", "dependabot"],
)
def test_github_knows_every_field(schema: str, files: list[Path]) -> None:
    assert files
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", schema, *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def jobs(path: Path) -> dict[str, Manifest]:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {}, "each job asks for what it needs"
    found: dict[str, Manifest] = workflow["jobs"]
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_workflows_trust_nobody(path: Path) -> None:
    assert "pull_request_target" not in path.read_text(encoding="utf-8")
    for name, job in jobs(path).items():
        assert job["permissions"].get("contents") in ("read", "write"), name
        for step in job.get("steps", []):
            # An expression in a script is pasted in as code: a title of a pull request could be it.
            assert "${{" not in re.sub(r"'{{ json .\w+ }}'", "", step.get("run", "")), name
            if "uses" in step:
                assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_a_commit_of_an_action_has_its_version_beside_it() -> None:
    """By that Dependabot knows what is newer; one commit, one version."""
    versions: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.search(r"uses: \S+@", line):
                match = re.search(r"uses: (\S+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$", line)
                assert match, line
                versions.setdefault(match[1], set()).add(f"{match[2]} {match[3]}")
    assert all(len(one) == 1 for one in versions.values()), versions


def test_only_a_release_writes_packages() -> None:
    for path in WORKFLOWS:
        for name, job in jobs(path).items():
            writes = {right for right, level in job["permissions"].items() if level == "write"}
            allowed = {
                ("release.yml", "image"): {"packages"},
                ("release.yml", "publish"): {"id-token"},
                ("release.yml", "release"): {"contents"},
                ("pins.yml", "propose"): {"contents", "pull-requests"},
            }
            assert writes == allowed.get((path.name, name), set()), f"{path.name}: {name}"


def test_a_release_is_tested_and_says_what_is_in_it() -> None:
    release = jobs(ROOT / ".github/workflows/release.yml")
    assert release["image"]["needs"] == "test"
    assert release["release"]["needs"] == ["image", "publish"]
    assert release["publish"]["needs"] == ["test", "packages"]
    assert release["publish"]["environment"] == "release", "a person may have to consent"
    (step,) = release["publish"]["steps"][1:]
    assert step["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert "with" not in step, "trusted publishing needs no password"
    (push,) = [
        step["with"]
        for step in release["image"]["steps"]
        if step.get("uses", "").startswith("docker/build-push-action@")
    ]
    assert push["platforms"] == "linux/amd64,linux/arm64"
    assert (push["push"], push["sbom"], push["provenance"]) == (True, True, "mode=max")
    assert "latest" not in push["tags"]


def test_what_ci_runs_is_what_a_user_runs() -> None:
    steps = jobs(ROOT / ".github/workflows/ci.yml")["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
