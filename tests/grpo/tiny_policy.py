"""Random language models of a few thousand weights, and oracles that know no cache and no batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spatialcode.grpo.batch import RolloutBatch, rollout_batch
from spatialcode.grpo.engine import HFEngine
from spatialcode.grpo.types import Sample, SamplerSettings

VOCABULARY, END = 24, 1
PROMPTS = ((3, 4, 5, 6, 7), (8,), (9, 10, 11), (3, 4, 5), (12, 13, 14, 15, 16, 17, 18, 19, 20))
SIZES = {"vocab_size": VOCABULARY, "bos_token_id": None, "eos_token_id": END, "pad_token_id": 0}
LAYERS = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def policy(kind: str = "qwen3", seed: int = 0, scale: float = 12.0) -> Any:
    """A random model in float32; ``scale`` sharpens its head, so that tokens differ in likelihood.

    "mistral" has a sliding window of 6 tokens, "gpt2" learned positions, "mamba" no attention.
    """
    import transformers as hf

    torch.manual_seed(seed)
    if kind == "qwen3":
        config = hf.Qwen3Config(**SIZES, **LAYERS, head_dim=8, tie_word_embeddings=False)
        model = hf.Qwen3ForCausalLM(config)
    elif kind == "mistral":
        config = hf.MistralConfig(**SIZES, **LAYERS, sliding_window=6)
        model = hf.MistralForCausalLM(config)
    elif kind == "gpt2":
        sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
        config = hf.GPT2Config(**SIZES, **sizes, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
        model = hf.GPT2LMHeadModel(config)
    else:
        config = hf.MambaConfig(**SIZES, hidden_size=16, num_hidden_layers=1, state_size=4)
        model = hf.MambaForCausalLM(config)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(scale)
    return model.eval()


def full_logits(model: Any, ids: Sequence[int]) -> Tensor:
    """(length, vocabulary) logits of one sequence alone: no cache, no padding, no mask."""
    return model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].float()


def full_logprobs(model: Any, prompt: Sequence[int], completion: Sequence[int]) -> Tensor:
    """Log-probability of each completion token at temperature 1, with its gradient."""
    logits = full_logits(model, [*prompt, *completion])
    found = [
        torch.log_softmax(logits[len(prompt) + place - 1], -1)[token]
        for place, token in enumerate(completion)
    ]
    return torch.stack(found)


def sample(
    model: Any,
    prompts: Sequence[Sequence[int]],
    num_samples: int,
    settings: SamplerSettings,
    **given: Any,
) -> list[list[Sample]]:
    """What an engine draws that is made for this call."""
    return HFEngine(model, **given).generate(prompts, num_samples, settings)


def drawn(model: Any, num_samples: int = 3, max_new_tokens: int = 7, seed: int = 5) -> list[Sample]:
    """Samples of `PROMPTS`, in one list."""
    settings = SamplerSettings(max_new_tokens=max_new_tokens, seed=seed)
    groups = sample(model, PROMPTS, num_samples, settings, end_ids=(END,))
    return [one for group in groups for one in group]


def batch_of(samples: Sequence[Sample], seed: int = 1) -> RolloutBatch:
    """With random advantages."""
    advantages = torch.randn(len(samples), generator=torch.Generator().manual_seed(seed))
    return rollout_batch(samples, advantages)


def gradients(model: Any) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
