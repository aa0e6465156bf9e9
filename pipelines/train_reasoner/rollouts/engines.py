"""The engines that write completions, by the name that `rollouts.engine` gives.

An engine that is not in `ENGINES` is named as ``module:factory``; see `EngineFactory`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from spatialcode.errors import ModelError, WeightsError
from spatialcode.grpo.types import Engine, Sample, SamplerSettings
from spatialcode.loading import load

_WORKER_EXTENSION = "pipelines.train_reasoner.rollouts.engines.FileLoader"
_FILE_BYTES = 2**30


class EngineFactory(Protocol):
    """What `ENGINES` holds, and what ``module:factory`` names.

    ``model``: folder or hub name of the model that a stage starts from, at a ``revision`` of the
    hub; the trained weights follow through `Engine.load_weights` before anything is written.
    ``dtype``: as torch names it. ``end_ids``: tokens that end a completion; None takes those that
    the model names. ``max_rows``: completions written at once.
    """

    def __call__(
        self,
        model: str,
        *,
        dtype: str,
        device: str,
        end_ids: tuple[int, ...] | None,
        max_rows: int,
        revision: str | None,
    ) -> Engine: ...


@dataclass(frozen=True)
class EngineSpec:
    """How a process makes its engine: ``name`` is a key of `ENGINES` or ``module:factory``, which
    is called with ``settings``, the arguments of an `EngineFactory`.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def load_engine(spec: EngineSpec) -> Engine:
    """The engine that a spec names. ConfigError where there is none of that name."""
    factory: Any = ENGINES.get(spec.name) or load(spec.name, "rollouts.engine")
    engine: Engine = factory(**spec.settings)
    return engine


def hf_engine(
    model: str | Mapping[str, Any],
    *,
    dtype: str = "float32",
    device: str = "cpu",
    end_ids: tuple[int, ...] | None = None,
    max_rows: int = 256,
    revision: str | None = None,
) -> Engine:
    """An `HFEngine` over a model's folder or hub name, or its configuration as a mapping
    (``model.config.to_dict()``).

    One made of a configuration has no weights, and version -1, until they are sent. Raises
    ModelError where there is no such model, or transformers does not know its kind.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from spatialcode.grpo.engine import HFEngine

    torch_dtype = getattr(torch, dtype)
    try:
        if isinstance(model, str):
            made: Any = AutoModelForCausalLM.from_pretrained(
                model, dtype=torch_dtype, attn_implementation="sdpa", revision=revision
            )
        else:
            config = AutoConfig.for_model(**model)
            made = AutoModelForCausalLM.from_config(config, dtype=torch_dtype)
    except (OSError, KeyError, ValueError) as error:
        raise ModelError(f"a rollout engine cannot be made of {model}: {error}") from error
    version = 0 if isinstance(model, str) else -1
    return HFEngine(
        made.to(device).eval(), end_ids=end_ids, weight_version=version, max_rows=max_rows
    )


class FileLoader:
    """What vLLM mixes into its own workers: it reads weights from files.

    Files, because vLLM passes tensors between its processes only as pickles, which it refuses by
    default.
    """

    model_runner: Any

    def load_files(self, paths: list[str]) -> int:
        """Load safetensors files into the model; returns how many tensors they held."""
        from safetensors import safe_open

        count = 0

        def tensors() -> Iterable[tuple[str, Tensor]]:
            nonlocal count
            for path in paths:
                with safe_open(path, framework="pt", device="cpu") as held:
                    for name in held.keys():  # noqa: SIM118
                        count += 1
                        yield name, held.get_tensor(name)

        self.model_runner.model.load_weights(tensors())
        return count


class VllmEngine:
    """An engine over vLLM, for large models on GPUs. NOT EXERCISED BY THE TESTS of this repository.

    The trainer's parity check at its first step tells whether vLLM's log-probabilities are the
    trainer's. Arguments as for `EngineFactory`; vLLM chooses its device itself. Further
    ``options`` go to ``vllm.LLM``. Raises ModelError where vLLM is not installed or does not start.
    """

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "bfloat16",
        device: str = "cuda",
        end_ids: tuple[int, ...] | None = None,
        max_rows: int = 256,
        revision: str | None = None,
        **options: Any,
    ) -> None:
        try:
            from vllm import LLM  # type: ignore[import-not-found]
        except ImportError as error:
            raise ModelError(
                "rollouts.engine=vllm: vLLM is not installed here: install the extra "
                f"spatialcode[vllm], or take rollouts.engine=hf ({error})"
            ) from error
        if not device.startswith("cuda"):
            raise ModelError(f"rollouts.engine=vllm: expected GPUs, got device {device!r}")
        self._end_ids = list(end_ids or ())
        try:
            self._llm: Any = LLM(
                model=model,
                dtype=dtype,
                # of the distribution that is sampled, temperature included, as `Sample` promises
                logprobs_mode="processed_logprobs",
                generation_config="vllm",  # not the model's own top_p and top_k
                worker_extension_cls=_WORKER_EXTENSION,
                revision=revision,
                max_num_seqs=max_rows,
                **options,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"vLLM did not start: {error}") from error
        self.weight_version = 0

    def generate(
        self, prompts: Sequence[Sequence[int]], num_samples: int, settings: SamplerSettings
    ) -> list[list[Sample]]:
        """See `Engine`. Every sample is a request with a seed of its own; prefixes are cached."""
        from vllm import SamplingParams  # type: ignore[import-not-found]

        requests, parameters = [], []
        seen: dict[tuple[int, ...], int] = {}
        for prompt in map(tuple, prompts):
            first = seen.get(prompt, 0)
            seen[prompt] = first + num_samples
            for number in range(first, first + num_samples):
                requests.append({"prompt_token_ids": list(prompt)})
                parameters.append(
                    SamplingParams(
                        temperature=settings.temperature,
                        top_p=settings.top_p,
                        top_k=settings.top_k or -1,
                        max_tokens=settings.max_new_tokens,
                        seed=_seed(settings.seed, prompt, number),
                        logprobs=0,  # that of the token drawn, no others
                        stop_token_ids=self._end_ids,
                        detokenize=False,
                    )
                )
        results = self._llm.generate(requests, parameters, use_tqdm=False)
        samples = [self._sample(result) for result in results]
        return [samples[i : i + num_samples] for i in range(0, len(samples), num_samples)]

    def load_weights(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        """See `Engine`. Raises WeightsError where vLLM's workers read another number of tensors."""
        from safetensors.torch import save_file

        memory = Path("/dev/shm")  # noqa: S108
        folder = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
        paths: list[str] = []
        held: dict[str, Tensor] = {}
        count = 0

        def write() -> None:
            paths.append(str(folder / f"{len(paths)}.safetensors"))
            save_file(held, paths[-1])
            held.clear()

        try:
            for name, tensor in tensors:
                held[name] = tensor.detach().cpu().contiguous()
                count += 1
                if sum(part.nbytes for part in held.values()) >= _FILE_BYTES:
                    write()
            if held:
                write()
            counts = self._llm.collective_rpc("load_files", args=(paths,))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if any(found != count for found in counts):
            raise WeightsError(f"vLLM's workers read {counts} of {count} tensors")
        self._llm.reset_prefix_cache()  # keys and values of the old weights
        self.weight_version = version

    def _sample(self, result: Any) -> Sample:
        (output,) = result.outputs
        tokens = tuple(output.token_ids)
        logprobs = tuple(
            float(row[token].logprob) for row, token in zip(output.logprobs, tokens, strict=True)
        )
        prompt, finished = tuple(result.prompt_token_ids), output.finish_reason == "stop"
        return Sample(prompt, tokens, logprobs, finished, self.weight_version)


def _seed(seed: int, prompt: tuple[int, ...], number: int) -> int:
    """The seed of one sample: of the settings' seed, the prompt and the sample's number alone."""
    told = np.array([seed, number, *prompt], dtype="<i8").tobytes()
    return int.from_bytes(hashlib.blake2b(told, digest_size=4).digest(), "little")


#: Engines by the name that a configuration gives.
ENGINES: Mapping[str, EngineFactory] = {"hf": hf_engine, "vllm": VllmEngine}
