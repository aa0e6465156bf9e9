"""Which engine a rollout actor runs: any factory by name; here is that of transformers models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spatialcode.errors import ModelError
from spatialcode.grpo.types import Engine
from spatialcode.loading import load

HF = "pipelines.train_reasoner.rollouts.engines:hf_engine"


@dataclass(frozen=True)
class EngineSpec:
    """How an actor makes its engine: ``factory`` is ``module:callable``, called with
    ``settings``. See `hf_engine`.
    """

    factory: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def load_engine(spec: EngineSpec) -> Engine:
    """The engine that a spec names. ConfigError where there is no such factory."""
    engine: Engine = load(spec.factory, "engine")(**spec.settings)
    return engine


def hf_engine(
    model: str | Mapping[str, Any],
    *,
    dtype: str = "float32",
    device: str = "cpu",
    end_ids: tuple[int, ...] | None = None,
    max_rows: int = 256,
) -> Engine:
    """An `HFEngine` of a model's folder, or of its configuration (``model.config.to_dict()``).

    One made of a configuration has no weights, and version -1, until they are sent. Raises
    ModelError where there is no such folder, or transformers knows no such model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from spatialcode.grpo.engine import HFEngine

    torch_dtype = getattr(torch, dtype)
    try:
        if isinstance(model, str):
            if not Path(model).is_dir():
                raise ModelError(f"{model}: no such folder")
            made: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch_dtype)
        else:
            config = AutoConfig.for_model(**model)
            made = AutoModelForCausalLM.from_config(config, dtype=torch_dtype)
    except (OSError, KeyError, ValueError) as error:
        raise ModelError(f"a rollout engine cannot be made: {error}") from error
    version = 0 if isinstance(model, str) else -1
    return HFEngine(
        made.to(device).eval(), end_ids=end_ids, weight_version=version, max_rows=max_rows
    )
