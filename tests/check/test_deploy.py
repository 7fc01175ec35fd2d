#!/usr/bin/env python3
"""Shows what deploy.py finds: each fault put into what is good must be named."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import deploy  # noqa: E402

ROOT = Path(__file__).parent.parent.parent
GOOD = (ROOT / "deploy/kubernetes.yaml").read_text()


class Deploy(unittest.TestCase):
    def test_manifests(self):
        self.assertEqual([], deploy.check_manifests(GOOD, ROOT))
        for old, new, says in [
            ("periodSeconds: 10", "periodSeconds: often", "often"),
            ("livenessProbe", "livelinessProbe", "livelinessProbe"),
            ("readinessProbe:", "lifecycle:\n          x:", "readinessProbe"),
            ("runAsNonRoot: true", "runAsNonRoot: false", "root"),
            ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "readOnlyRootFilesystem"),
            ('drop: ["ALL"]', 'drop: []', "capabilities"),
            ("limits: {memory: 256Mi}", "limits: {}", "memory"),
            ("strata:0.1.0", "strata:latest", "version"),
            ("STRATA_WORKER", "STRATA_WORKR", "STRATA_WORKR"),
            ("listen =", "listens =", "http.listens"),
            ('relation = "public', 'table = "public', "feeds.table"),
            ("kind: PodDisruptionBudget", "kind: Nothing", ""),
            ("  maxUnavailable: 1\n  selector:\n    matchLabels: {app.kubernetes.io/name: strata}",
             "  maxUnavailable: 1\n  selector:\n    matchLabels: {app.kubernetes.io/name: other}", "PodDisruptionBudget"),
        ]:
            self.assertIn(old, GOOD)
            try:
                faults = deploy.check_manifests(GOOD.replace(old, new), ROOT)
            except Exception as error:  # a kind that does not exist has no schema
                faults = [str(error)]
            self.assertTrue(any(says in fault for fault in faults), f"{new}: {faults}")

    def test_containerfile(self):
        good = (ROOT / "deploy/Containerfile").read_text()
        self.assertEqual([], deploy.check_containerfile(good))
        self.assertEqual(1, len(deploy.check_containerfile(good.replace("USER 65532:65532", ""))))
        self.assertEqual(1, len(deploy.check_containerfile(good.replace("USER 65532:65532", "USER 0:0"))))
        self.assertEqual(1, len(deploy.check_containerfile("FROM x\nUSER nobody\n")))


if __name__ == "__main__":
    unittest.main()
