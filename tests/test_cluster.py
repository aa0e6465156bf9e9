from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def validate(config: dict[str, Any]) -> dict[str, Any]:
    """What `ray up` does with the file before it asks the cloud."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


def test_ray_accepts_the_cluster_file(cluster: dict[str, Any]) -> None:
    prepared = validate(cluster)
    workers = {
        name: (kind["min_workers"], kind["max_workers"])
        for name, kind in prepared["available_node_types"].items()
        if name != prepared["head_node_type"]
    }
    assert workers == {"decode_worker": (0, 32), "encode_worker": (0, 8)}
    assert prepared["max_workers"] == 40


@pytest.mark.parametrize("change", [{"head_node_type": "nobody"}, {"max_worker": 3}])
def test_the_check_finds_mistakes(cluster: dict[str, Any], change: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"head_node_type|max_worker"):
        validate({**cluster, **change})


def test_no_node_starts_without_token_authentication(cluster: dict[str, Any]) -> None:
    for kind in ("head", "worker"):
        starts = [c for c in cluster[f"{kind}_start_ray_commands"] if "ray start" in c]
        assert starts
        assert all("RAY_AUTH_MODE=token" in command for command in starts)
    assert cluster["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"


def test_nothing_runs_on_the_head(cluster: dict[str, Any]) -> None:
    head = cluster["available_node_types"][cluster["head_node_type"]]
    assert head["resources"]["CPU"] == 0


def test_nodes_install_the_torch_of_the_project(cluster: dict[str, Any]) -> None:
    pinned = next(
        line.split('"')[1]
        for line in (ROOT / "pyproject.toml").read_text().splitlines()
        if '"torch==' in line
    )
    assert any(pinned in command for command in cluster["setup_commands"])
