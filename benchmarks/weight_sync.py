"""Seconds of one weight sync to rollout actors, of a Qwen3 of about 30 M parameters.

python benchmarks/weight_sync.py [num_actors=2] [num_runs=7] [bucket_mib=64]

From the trainer's tensors to engines that write with them: packing and checksums, Ray's object
store, checking everything, copying into the model. Through Ray, and without it.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cluster.connect import connect
from pipelines.train_reasoner.rollouts.actors import RolloutActors, RolloutPoolConfig
from pipelines.train_reasoner.rollouts.engines import EngineSpec, hf_engine
from pipelines.train_reasoner.rollouts.weights import (
    apply_buckets,
    layout_of,
    packed,
)

#: 512 × 8000 embeddings, 12 layers of 2.1 M: 29.7 M parameters.
MODEL = {
    "model_type": "qwen3", "vocab_size": 8000, "hidden_size": 512, "intermediate_size": 896,
    "num_hidden_layers": 12, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64,
    "tie_word_embeddings": True, "eos_token_id": 0,
}  # fmt: skip


def plain_seconds(model: Any, bucket_bytes: int, version: int) -> dict[str, float]:
    """One sync within this process, by its parts."""
    engine = hf_engine(MODEL)
    start_s = time.perf_counter()
    buckets = list(packed(model.named_parameters(), version, bucket_bytes))
    packed_s = time.perf_counter()
    layout_of(buckets, version)
    checked_s = time.perf_counter()
    apply_buckets(engine, buckets, version)
    applied_s = time.perf_counter() - checked_s  # it checks them once more
    check_s = checked_s - packed_s
    return {
        "pack": packed_s - start_s, "check": check_s, "apply": applied_s - check_s,
        "total": packed_s - start_s + applied_s,
    }  # fmt: skip


def ray_seconds(model: Any, pool: RolloutActors, version: int) -> dict[str, float]:
    """One sync through the object store: sent, and taken over by every actor."""
    start_s = time.perf_counter()
    pool.send_weights(model.named_parameters(), version)
    sent_s = time.perf_counter()
    versions = pool.wait_for_weights()
    end_s = time.perf_counter()
    assert versions == [version] * pool.config.num_actors
    return {"send": sent_s - start_s, "receive": end_s - sent_s, "total": end_s - start_s}


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """Median of every part over the runs; least and spread of the total."""
    found = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
    totals = [run["total"] for run in runs]
    return {**found, "least": min(totals), "spread": max(totals) - min(totals)}


def main() -> None:
    """Print a table, then one JSON line."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    num_actors, num_runs = int(given.get("num_actors", 2)), int(given.get("num_runs", 7))
    bucket_bytes = int(float(given.get("bucket_mib", 64)) * 2**20)
    engine: Any = hf_engine(MODEL)
    model = engine.model
    num_parameters = sum(tensor.numel() for _, tensor in model.named_parameters())
    connect(num_cpus=2, object_store_memory=2**30)
    rows: dict[str, dict[str, float]] = {}
    pool = RolloutActors(
        EngineSpec("hf", {"model": MODEL}),
        RolloutPoolConfig(num_actors, num_cpus=0.5, bucket_bytes=bucket_bytes),
    )
    pool.pids()
    ray_seconds(model, pool, 0)  # the first one fills the object store's pages
    versions = range(1, num_runs + 1)
    rows["ray"] = medians([ray_seconds(model, pool, version) for version in versions])
    pool.close()
    rows["plain"] = medians([plain_seconds(model, bucket_bytes, version) for version in versions])
    num_bytes = sum(tensor.nbytes for _, tensor in model.named_parameters())
    print(f"{num_parameters / 1e6:.1f} M parameters, {num_bytes / 2**20:.0f} MiB, float32;")
    print(f"{num_actors} actors, buckets of {bucket_bytes / 2**20:g} MiB; medians of {num_runs}")
    print(f"{'':16} {'seconds':>8} {'least':>7} {'spread':>7}   parts")
    for name, row in rows.items():
        whole = {"total", "least", "spread"}
        parts = ", ".join(f"{part} {row[part]:.3f}" for part in row if part not in whole)
        print(f"{name:16} {row['total']:8.3f} {row['least']:7.3f} {row['spread']:7.3f}   {parts}")
    result = {
        "parameters": num_parameters, "bytes": num_bytes, "actors": num_actors,
        "bucket_bytes": bucket_bytes, "runs": num_runs, "seconds": rows,
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
