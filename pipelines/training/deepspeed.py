"""A model under DeepSpeed as the training step sees it: backward, step, and its whole weights.

ZeRO 0 to 3, float32 or bfloat16 with float32 master weights, on CPUs (gloo) and on GPUs (nccl).
Knows nothing of rewards or prompts. The process group exists before (Ray Train makes it).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.training.config import AdamConfig, LoraConfig, ZeroConfig

#: Sums over shared memory for inference, which DeepSpeed would compile with a C++ compiler on first
#: use and set up in every process on CPUs. Training never calls it.
_UNUSED_OPERATOR = "deepspeed_shm_comm"
_LORA_LAYER = ".base_layer."
#: Muon's rate as a multiple of AdamW's, and the key of a parameter group that holds it.
_MUON_RATE, _RATE_FACTOR = 2.5, "rate_factor"


def with_adapters(model: Any, config: LoraConfig) -> Any:
    """The model with trainable adapters on every linear layer and all else frozen (peft)."""
    if config.rank == 0:
        return model
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    peft_config = PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, peft_config)


def load_deepspeed(use_gpu: bool) -> Any:
    """The deepspeed module for this process's accelerator; call it before any other import."""
    if not use_gpu:
        os.environ["DS_ACCELERATOR"] = "cpu"  # read when deepspeed is imported
    import deepspeed

    deepspeed.ops.__compatible_ops__[_UNUSED_OPERATOR] = False
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    return deepspeed


def engine_config(zero: ZeroConfig, adam: AdamConfig, load_universal: bool) -> dict[str, Any]:
    """DeepSpeed's own configuration of an engine."""
    optimization: dict[str, Any] = {"stage": zero.stage}
    if zero.stage == 3:
        # small layers stay whole: gathering them costs more than it saves
        optimization |= {"stage3_param_persistence_threshold": 10_000}
    if zero.offload_optimizer:
        optimization["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    return {
        "train_micro_batch_size_per_gpu": 1,  # not used: micro-batches are packed by tokens
        "gradient_accumulation_steps": 1,
        # a step ends where step() is called: their number differs from step to step
        "managed_gradient_accumulation": False,
        "zero_optimization": optimization,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "gradient_clipping": adam.max_grad_norm if zero.stage else 0.0,  # see _clip
        "bf16": {"enabled": zero.bfloat16},
        "checkpoint": {"load_universal": load_universal},
        "steps_per_print": 10**9,
    }


def make_adamw(parameters: Any, adam: AdamConfig) -> torch.optim.AdamW:
    """AdamW over parameters, or over parameter groups with a weight decay of their own."""
    betas = (adam.beta1, adam.beta2)
    return torch.optim.AdamW(
        parameters, lr=adam.learning_rate, betas=betas, weight_decay=adam.weight_decay, fused=True
    )


class MuonBesideAdamW(torch.optim.Optimizer):
    """Muon over the matrices inside the layers, AdamW over the rest, as one optimizer.

    Muon (Jordan et al., 2024) takes a gradient's nearest orthogonal matrix; its rate is scaled to
    AdamW's usual size of a step (Liu et al., arXiv 2502.16982). Embeddings decay by
    ``adam.weight_decay``, matrices and vectors do not.
    """

    def __init__(self, model: nn.Module, adam: AdamConfig) -> None:
        matrices = {n: p for n, p in model.named_parameters() if p.ndim == 2 and ".layers." in n}
        others = [p for n, p in model.named_parameters() if n not in matrices]
        self._adamw = make_adamw(
            [{"params": [p for p in others if p.ndim >= 2]},
             {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0}], adam,
        )  # fmt: skip
        self._muon = torch.optim.Muon(
            list(matrices.values()), lr=_MUON_RATE * adam.learning_rate, momentum=0.95,
            weight_decay=0.0, adjust_lr_fn="match_rms_adamw",
        )  # fmt: skip
        self._muon.param_groups[0][_RATE_FACTOR] = _MUON_RATE
        super().__init__([*self._adamw.param_groups, *self._muon.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Both parts work on this optimizer's own groups and state, which checkpoints hold."""
        self._adamw.param_groups, self._muon.param_groups = (
            self.param_groups[:-1], self.param_groups[-1:],
        )  # fmt: skip
        self._adamw.state = self._muon.state = self.state

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # noqa: ARG002
        self._adamw.step()
        self._muon.step()

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        self._share()


class DeepSpeedStepper:
    """A model in a DeepSpeed engine: ``backward`` as often as wanted, then one ``step``.

    Every rank calls ``backward`` equally often in a step (`largest` of the wanted numbers; a rank
    with less to do passes a loss of zero), since ZeRO reduces gradients in it. Losses are sums
    over a rank's tokens divided by the tokens of all ranks (`total`): `backward` takes back the
    mean over ranks that DeepSpeed forms, so that gradients are those of one process with the
    whole batch. ``groups``: AdamW's, where not all parameters are updated alike; a group's
    ``rate_factor`` is its rate over the one set.
    """

    def __init__(
        self,
        model: nn.Module,
        zero: ZeroConfig,
        adam: AdamConfig,
        *,
        groups: list[dict[str, Any]] | None = None,
        use_gpu: bool = False,
        load_universal: bool = False,
    ) -> None:
        deepspeed = load_deepspeed(use_gpu)
        backend = "nccl" if use_gpu else "gloo"
        deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False)
        self.zero, self.adam = zero, adam
        self.load_universal = load_universal
        if zero.activation_checkpointing:
            _checkpoint_activations(model)
        trainable = [p for p in model.parameters() if p.requires_grad]
        optimizer = (
            MuonBesideAdamW(model, adam) if adam.muon else make_adamw(groups or trainable, adam)
        )
        self._norm = float("nan")
        if zero.stage == 0:
            optimizer.register_step_pre_hook(self._clip)
        self.engine, *_ = deepspeed.initialize(
            model=model,
            model_parameters=groups or trainable,
            optimizer=optimizer,
            config=engine_config(zero, adam, load_universal),
        )
        self.world_size = torch.distributed.get_world_size()
        self.rank = torch.distributed.get_rank()

    @property
    def model(self) -> Any:
        """What to call for a forward pass."""
        return self.engine

    @property
    def device(self) -> torch.device:
        return torch.device(self.engine.device)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of this rank's share of the loss, a scalar."""
        self.engine.backward(loss * self.world_size, scale_wrt_gas=False)

    def step(self) -> float:
        """Update the weights from the gradients added since the last step; their norm before
        clipping.
        """
        self.engine.step()
        return float(self.engine.get_global_grad_norm()) if self.zero.stage else self._norm

    def _clip(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Without ZeRO the engine clips but does not tell the norm: done here, on reduced
        gradients.
        """
        held = [p for group in optimizer.param_groups for p in group["params"]]
        limit = self.adam.max_grad_norm or float("inf")
        self._norm = float(torch.nn.utils.clip_grad_norm_(held, limit))

    def set_learning_rate(self, learning_rate: float) -> None:
        """The rate of the next steps; that of Muon's matrices in proportion."""
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate * group.get(_RATE_FACTOR, 1.0)

    def total(self, value: float) -> float:
        """The sum of the ranks' values."""
        return float(self._reduced(value, torch.distributed.ReduceOp.SUM))

    def largest(self, value: float) -> float:
        """The largest of the ranks' values."""
        return float(self._reduced(value, torch.distributed.ReduceOp.MAX))

    def totals(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sums over ranks by name; a name that a rank does not have counts as 0 there."""
        every: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(every, dict(values))
        names = sorted({name for held in every for name in held})
        return {name: sum(held.get(name, 0.0) for held in every) for name in names}

    def _reduced(self, value: float, operation: Any) -> float:
        held = torch.tensor([value], dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(held, op=operation)
        return held.item()

    def full_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Names and whole weights, adapters merged, as the plain model's ``named_parameters``.

        All ranks iterate together and to the end. Under ZeRO 3 a bucket is gathered at a time, and
        a tensor is whole only until the next is asked for: copy it.
        """
        import deepspeed

        limit = self.zero.bucket_mb * 2**20
        for bucket in _buckets(_weights(self.engine.module), limit):
            held = [p for weight in bucket for p in weight.parameters]
            whole = self.zero.stage == 3
            with deepspeed.zero.GatheredParameters(held, enabled=whole), torch.no_grad():
                for weight in bucket:
                    yield weight.name, weight.merged()


@dataclass(frozen=True)
class _Weight:
    """One weight of the plain model and the layer whose adapters change it."""

    name: str
    parameter: nn.Parameter
    layer: Any = None

    @property
    def parameters(self) -> list[nn.Parameter]:
        if self.layer is None:
            return [self.parameter]
        return list(self.layer.parameters())

    @property
    def num_bytes(self) -> int:
        # ZeRO 3 leaves an empty tensor and keeps the true count beside it
        count = getattr(self.parameter, "ds_numel", self.parameter.numel())
        return int(count) * self.parameter.element_size()

    def merged(self) -> Tensor:
        """The weight with its adapters' product added."""
        weight = self.parameter.detach()
        if self.layer is None:
            return weight
        delta = self.layer.get_delta_weight(self.layer.active_adapters[0])
        return weight + delta.to(weight.dtype)


def _weights(model: nn.Module) -> Iterator[_Weight]:
    adapted = {n: m for n, m in model.named_modules() if hasattr(m, "get_delta_weight")}
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            continue
        owner, found, kind = name.partition(_LORA_LAYER)
        plain = name.replace(_LORA_LAYER, ".")
        if adapted:
            plain = plain.removeprefix("base_model.model.")
        layer = adapted.get(owner) if found and kind == "weight" else None
        yield _Weight(plain, parameter, layer)


def _buckets(weights: Iterable[_Weight], limit_bytes: float) -> Iterator[list[_Weight]]:
    bucket: list[_Weight] = []
    filled = 0
    for weight in weights:
        if bucket and filled + weight.num_bytes > limit_bytes:
            yield bucket
            bucket, filled = [], 0
        bucket.append(weight)
        filled += weight.num_bytes
    if bucket:
        yield bucket


def _checkpoint_activations(model: Any) -> None:
    """Recompute each block in the backward pass; caches of keys make no sense with it."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if hasattr(model, "enable_input_require_grads"):
        model.enable_input_require_grads()  # frozen embeddings would end the graph otherwise
    model.config.use_cache = False
