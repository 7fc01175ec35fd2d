#!/usr/bin/env python3
"""deploy/ holds what it promises: manifests the API server takes, nothing run as root, settings that exist.

Usage: deploy.py [root of the tree]; prints one line a violation, exit code 1 if there is any. Needs what requirements.txt
lists, hadolint among it; the unit is verified where there is systemd-analyze.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import kubernetes_validate
import yaml

KUBERNETES = "1.30"


def known_settings(root: Path) -> tuple[set[str], dict]:
    """Names of environment variables that are settings, and the sections of the default."""
    default = tomllib.loads((root / "ingestor/strata.toml").read_text())
    names = {"STRATA_WORKER", "STRATA_STREAM", "STRATA_RELATION", "STRATA_CONFIG"}
    for section, keys in default.items():
        if isinstance(keys, dict):
            names |= {f"STRATA_{section}_{key}".upper() for key in keys}
    return names, default


def unknown_keys(text: str, default: dict) -> list[str]:
    faults = []
    for section, keys in tomllib.loads(text).items():
        known = default.get(section)
        for table in keys if isinstance(keys, list) else [keys]:
            template = known[0] if isinstance(known, list) else known
            if template is None:
                faults.append(f"there is no section [{section}]")
            elif isinstance(table, dict):
                faults += [f"there is no setting {section}.{key}" for key in table if key not in template]
    return faults


def check_pod(template: dict, names: set[str]) -> list[str]:
    faults = []
    spec = template["spec"]
    if not spec.get("securityContext", {}).get("runAsNonRoot"):
        faults.append("a pod may run as root")
    for container in spec["containers"]:
        context = container.get("securityContext", {})
        for key, wanted in (("readOnlyRootFilesystem", True), ("allowPrivilegeEscalation", False)):
            if context.get(key) is not wanted:
                faults.append(f"{container['name']}: {key} must be {wanted}")
        if context.get("capabilities", {}).get("drop") != ["ALL"]:
            faults.append(f"{container['name']}: capabilities are not dropped")
        faults += [f"{container['name']}: no {probe}" for probe in ("livenessProbe", "readinessProbe") if probe not in container]
        if "memory" not in container.get("resources", {}).get("limits", {}):
            faults.append(f"{container['name']}: memory has no limit")
        if container["image"].endswith(":latest") or ":" not in container["image"].rsplit("/", 1)[-1]:
            faults.append(f"{container['name']}: {container['image']} names no version")
        faults += [f"{container['name']}: {one['name']} is no setting" for one in container.get("env", [])
                   if one["name"].startswith("STRATA_") and one["name"] not in names]
    return faults


def check_manifests(text: str, root: Path) -> list[str]:
    names, default = known_settings(root)
    documents = [document for document in yaml.safe_load_all(text) if document]
    faults = []
    for document in documents:
        what = f"{document['kind']} {document['metadata']['name']}"
        try:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            faults.append(f"{what}: {error.message}")
        if document["kind"] == "Deployment":
            faults += [f"{what}: {fault}" for fault in check_pod(document["spec"]["template"], names)]
        if document["kind"] == "ConfigMap":
            for file, body in document["data"].items():
                faults += [f"{what}: {file}: {fault}" for fault in unknown_keys(body, default)]
    labels = [d["spec"]["template"]["metadata"]["labels"] for d in documents if d["kind"] == "Deployment"]
    budgets = [d["spec"]["selector"]["matchLabels"] for d in documents if d["kind"] == "PodDisruptionBudget"]
    for wanted in labels:
        if not any(budget.items() <= wanted.items() for budget in budgets):
            faults.append("a Deployment has no PodDisruptionBudget")
    return faults


def check_containerfile(text: str) -> list[str]:
    faults = []
    if len(re.findall(r"^FROM ", text, re.M)) < 2:
        faults.append("what builds must not be what runs")
    users = re.findall(r"^USER (\S+)", text, re.M)
    if not users or users[-1].split(":")[0] in ("root", "0"):
        faults.append("it runs as root")
    return faults


def run(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True)
    said = (done.stdout + done.stderr).strip()
    return said.splitlines() if done.returncode or said else []


def check(root: Path) -> list[str]:
    faults = [f"deploy/kubernetes.yaml: {f}" for f in check_manifests((root / "deploy/kubernetes.yaml").read_text(), root)]
    container = root / "deploy/Containerfile"
    faults += [f"deploy/Containerfile: {fault}" for fault in check_containerfile(container.read_text())]
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}")
    if hadolint:
        faults += run(hadolint, str(container))
    else:
        faults.append("hadolint is not installed")
    unit = (root / "deploy/strata.service").read_text()
    names, _ = known_settings(root)
    faults += [f"deploy/strata.service: {name} is no setting" for name in re.findall(r"STRATA_\w+", unit) if name not in names]
    if shutil.which("systemd-analyze"):
        # The program it starts is not installed here.
        said = run("systemd-analyze", "verify", "--man=no", "--generators=no", str(root / "deploy/strata.service"))
        faults += [line for line in said if "strata" in line and "is not executable" not in line]
    return faults


if __name__ == "__main__":
    faults = check(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    print("\n".join(faults) or "deploy: clean")
    sys.exit(1 if faults else 0)
