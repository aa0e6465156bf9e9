"""What a causal language model's forward pass takes: masks of its own, positions, fewer logits.

Own masks (rows, 1, queries, keys) let several completions share one prompt in a row. Models with
sliding windows, recurrent layers or fused kernels take only a (rows, keys) padding mask.
"""

from __future__ import annotations

import inspect
import weakref
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_MASKED_IMPLEMENTATIONS = ("eager", "sdpa")
#: Of logits of a model in float32 or better; coarser types get their rounding.
_PROBE_TOLERANCE = 1e-3
_probed: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()


def plain_model(model: Any) -> Any:
    """The transformers model inside wrappers of DeepSpeed, DDP and peft."""
    while isinstance(getattr(model, "module", None), torch.nn.Module):
        model = model.module
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def accepts(model: Any, name: str) -> bool:
    """Whether the model's forward names this argument."""
    return name in inspect.signature(plain_model(model).forward).parameters


def cache_argument(model: Any) -> str | None:
    """What the model's forward calls its cache of keys and values; None where it has none.

    transformers calls it ``cache`` from 5.24 on, and ``past_key_values`` before. Models without
    attention keep recurrent states under that name, which padded rows would spoil: they have none.
    """
    if not getattr(plain_model(model).config.get_text_config(), "num_attention_heads", 0):
        return None
    return next((name for name in ("cache", "past_key_values") if accepts(model, name)), None)


def additive(visible: Bool[Tensor, "*shape"], dtype: torch.dtype) -> Float[Tensor, "*shape"]:
    """0 where visible, the type's least number elsewhere: what eager and fused attention add."""
    zeros = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return zeros.masked_fill_(~visible, torch.finfo(dtype).min)


def takes_own_masks(model: Any) -> bool:
    """Whether attention follows a four-dimensional mask and explicit positions.

    Decided by the configuration and, where that allows it, by a forward pass of two branches over
    one prefix against each branch alone; remembered for the model. Workers that share a model
    must ask together, as for any forward pass.
    """
    plain = plain_model(model)
    if plain not in _probed:
        _probed[plain] = _configured_for_masks(plain) and _follows_masks(model)
    return _probed[plain]


def _configured_for_masks(plain: Any) -> bool:
    config = plain.config
    if getattr(config, "_attn_implementation", None) not in _MASKED_IMPLEMENTATIONS:
        return False
    kinds = set(getattr(config, "layer_types", None) or ("full_attention",))
    if kinds != {"full_attention"}:
        return False
    windowed = getattr(config, "sliding_window", None) and getattr(
        config, "use_sliding_window", True
    )
    named = all(accepts(plain, name) for name in ("attention_mask", "position_ids"))
    return not windowed and named and cache_argument(plain) is not None


def _follows_masks(model: Any) -> bool:
    """Tokens a b, then c d and e f as two branches: logits of each as without the other."""
    plain = plain_model(model)
    weight = next(plain.parameters())
    size = plain.config.get_text_config().vocab_size
    ids = torch.arange(1, 7, device=weight.device) % size
    segment = torch.tensor([0, 0, 1, 1, 2, 2], device=weight.device)
    order = torch.arange(6, device=weight.device)
    visible = (order <= order[:, None]) & ((segment == 0) | (segment == segment[:, None]))
    positions = torch.tensor([[0, 1, 2, 3, 2, 3]], device=weight.device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            mask = additive(visible[None, None], weight.dtype)
            both = model(
                input_ids=ids[None], attention_mask=mask, position_ids=positions, use_cache=False
            ).logits[0]
            first = model(input_ids=ids[None, :4], use_cache=False).logits[0]
            second = model(input_ids=ids[None, [0, 1, 4, 5]], use_cache=False).logits[0]
    finally:
        model.train(was_training)
    alone = torch.cat([first, second[2:]]).float()
    bound = max(_PROBE_TOLERANCE, 8 * torch.finfo(weight.dtype).eps)
    scale = max(1.0, alone.abs().max().item())
    return bool(((both.float() - alone).abs() <= bound * scale).all())
