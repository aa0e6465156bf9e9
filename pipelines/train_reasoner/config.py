"""The settings of the reasoner's training job. Light: ``--help`` loads neither Ray nor torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.train_reasoner.deepspeed_config import AdamConfig, LoraConfig, ZeroConfig
from pipelines.train_reasoner.rewards.config import RewardPoolConfig
from spatialcode.config import require, setting
from spatialcode.reasoning.families.registry import family_names
from spatialcode.reasoning.rubric.config import RubricConfig
from spatialcode.tiny.copying import CopySettings

STAGES = ("copying", "sft", "grpo", "control")


@dataclass(frozen=True)
class CopyingConfig(CopySettings):
    """Random words to be repeated, before the first program: for small models from nothing."""

    num_steps: int = setting("optimiser steps at most; 0: no such stage", 0)
    learning_rate: float = setting("peak learning rate", 2e-3)
    min_longest: int = setting("words of a run to get to, or the run fails", 4)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.num_steps >= 0, "num_steps", "0 or more", self.num_steps)
        require(self.learning_rate > 0, "learning_rate", "above 0", self.learning_rate)
        fits = self.min_longest <= self.longest
        require(fits, "min_longest", f"at most longest, {self.longest}", self.min_longest)


@dataclass(frozen=True)
class ReasonerModelConfig:
    """Which language model is trained."""

    source: str | None = setting(
        "folder or hub name of weights and tokenizer; null: a small Qwen3 from nothing", None
    )
    revision: str | None = setting("revision of the hub's weights", None)
    architecture: str = setting("transformers class of source, for dry runs", "Qwen3ForCausalLM")
    hidden_size: int = setting("width, from nothing", 192)
    num_layers: int = setting("blocks, from nothing", 4)
    num_heads: int = setting("attention heads, from nothing", 4)
    num_kv_heads: int = setting("key and value heads, from nothing", 2)
    vocabulary_size: int = setting("tokens of the tokenizer trained here, from nothing", 1024)
    tokenizer_rooms: int = setting("rooms whose questions the tokenizer is fitted to", 200)

    def __post_init__(self) -> None:
        for key in ("hidden_size", "num_layers", "num_heads", "num_kv_heads", "tokenizer_rooms"):
            require(getattr(self, key) >= 1, key, "at least 1", getattr(self, key))
        fits = self.hidden_size % (2 * self.num_heads) == 0
        require(fits, "hidden_size", "a multiple of twice num_heads", self.hidden_size)
        fits = self.num_heads % self.num_kv_heads == 0
        require(fits, "num_kv_heads", "a divisor of num_heads", self.num_kv_heads)
        require(
            self.vocabulary_size >= 400, "vocabulary_size", "at least 400", self.vocabulary_size
        )


@dataclass(frozen=True)
class PromptDataConfig:
    """Where prompts come from."""

    questions: str | None = setting(
        "output of jobs.questions; null: rooms made up on the fly", None
    )
    codes: str | None = setting("the codes that the questions are about", None)
    mode: Literal["program", "text"] = setting("what the model writes", "program")
    max_prompt_tokens: int = setting("longer prompts are left out", 256)
    rooms_per_block: int = setting("rooms whose questions are mixed", 32)
    first_room: int = setting("first made-up room", 0)
    stream: bool = setting("make prompts in Ray Data tasks; false: in the training worker", False)
    num_tasks: int = setting("Ray Data tasks at once that make prompts", 1)

    def __post_init__(self) -> None:
        both = (self.questions is None) == (self.codes is None)
        require(both, "codes", "given together with questions", self.codes)
        for key in ("max_prompt_tokens", "rooms_per_block", "num_tasks"):
            require(getattr(self, key) >= 1, key, "at least 1", getattr(self, key))
        require(self.first_room >= 0, "first_room", "0 or more", self.first_room)


@dataclass(frozen=True)
class SftConfig:
    """Supervised warm start on reasoning that the solver wrote."""

    num_steps: int = setting("optimiser steps at most", 1000)
    max_seconds: float | None = setting("seconds after which the stage ends", None)
    batch_size: int = setting("prompts a step, of all workers together", 64)
    standard_sentences: bool = setting("teach VSI-Bench's own sentences only", False)
    learning_rate: float = setting("peak learning rate", 2e-3)
    stop_at_accuracy: float = setting("ends the stage: it leaves room for GRPO (0 to 100)", 100.0)
    min_accuracy: float = setting("below it the run fails after the stage (0 to 100)", 0.0)

    def __post_init__(self) -> None:
        require(self.num_steps >= 0, "num_steps", "0 or more", self.num_steps)
        require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        require(self.learning_rate > 0, "learning_rate", "above 0", self.learning_rate)


@dataclass(frozen=True)
class GrpoConfig:
    """Group-relative policy optimisation."""

    num_steps: int = setting("optimiser steps at most", 300)
    max_seconds: float | None = setting("seconds after which the stage ends", None)
    prompts_per_step: int = setting("prompts with variance a step, of all workers together", 32)
    samples_per_prompt: int = setting("completions of a prompt", 8)
    max_new_tokens: int = setting("tokens of a completion at most", 48)
    temperature: float = setting("sampling temperature; top_p 1 and no top_k while training", 1.0)
    learning_rate: float = setting("peak learning rate", 3e-4)
    warmup_steps: int = setting("steps in which the learning rate rises", 5)
    loss: Literal["grpo", "dr_grpo", "dapo", "gspo"] = setting("policy loss", "dapo")
    advantages: Literal["mean_std", "mean", "leave_one_out"] = setting("of a group", "mean_std")
    aggregation: Literal["weighted_sum", "normalise_then_sum"] = setting(
        "the rubric's total, or each term normalised in its group, then summed (GDPO)",
        "weighted_sum",
    )
    clip_low: float | None = setting("lower clip of the ratio; null: the loss's own", None)
    clip_high: float | None = setting("upper clip of the ratio; null: the loss's own", None)
    mask_truncated: bool = setting("completions cut by max_new_tokens do not count", False)
    kl_coefficient: float = setting("weight of the divergence from the stage's start; 0: off", 0.0)
    kl_estimator: Literal["k2", "k3"] = setting("estimate of that divergence", "k3")
    entropy_coefficient: float = setting("bonus for entropy", 0.0)
    updates_per_batch: int = setting("passes over a rollout batch", 1)
    max_refills: int = setting("rounds that replace groups without variance", 2)
    micro_batch_tokens: int = setting("tokens of a forward pass at most", 8192)
    min_gain: float = setting("accuracy points over the start below which the run fails", 0.0)
    named_family: str | None = setting("family of questions whose gain is asked for too", None)
    min_family_gain: float = setting("its accuracy points over the start, or the run fails", 0.0)
    parity_tolerance: float = setting("log-probability difference allowed at the first step", 1e-3)

    def __post_init__(self) -> None:
        for key in (
            "prompts_per_step",
            "max_new_tokens",
            "updates_per_batch",
            "micro_batch_tokens",
        ):
            require(getattr(self, key) >= 1, key, "at least 1", getattr(self, key))
        require(
            self.samples_per_prompt >= 2,
            "samples_per_prompt",
            "at least 2",
            self.samples_per_prompt,
        )
        for key in (
            "num_steps",
            "max_refills",
            "kl_coefficient",
            "entropy_coefficient",
            "warmup_steps",
        ):
            require(getattr(self, key) >= 0, key, "0 or more", getattr(self, key))
        for key in ("temperature", "learning_rate", "parity_tolerance"):
            require(getattr(self, key) > 0, key, "above 0", getattr(self, key))
        for key in ("clip_low", "clip_high"):
            clip = getattr(self, key)
            require(clip is None or clip > 0, key, "null or above 0", clip)
        families = family_names()
        known = self.named_family is None or self.named_family in families
        require(known, "named_family", f"one of {', '.join(families)}", self.named_family)
        named = self.min_family_gain == 0 or self.named_family is not None
        require(named, "named_family", "given with min_family_gain", self.named_family)


@dataclass(frozen=True)
class RolloutsConfig:
    """Who writes completions."""

    num_actors: int = setting("rollout actors, of all workers together; 0: the training workers", 0)
    num_cpus: float = setting("cores of an actor", 1.0)
    use_gpu: bool = setting("one GPU for each actor", False)
    one_step_off: bool = setting("write the next batch while one is trained on", False)
    max_rows: int = setting("completions written at once by an engine", 256)

    def __post_init__(self) -> None:
        require(self.num_actors >= 0, "num_actors", "0 or more", self.num_actors)
        require(self.max_rows >= 1, "max_rows", "at least 1", self.max_rows)
        fits = self.num_actors > 0 or not self.one_step_off
        require(fits, "one_step_off", "false without rollout actors", self.one_step_off)


@dataclass(frozen=True)
class EvaluationConfig:
    """Held-out greedy accuracy, and the watch on what the reward does not show."""

    every_steps: int = setting("steps between evaluations; 0: only between stages", 50)
    num_rooms: int = setting("made-up rooms never trained on", 12)
    words: Literal["trained", "standard", "heldout"] = setting(
        "sentences of the questions: as in GRPO, VSI-Bench's own, or never trained on", "trained"
    )
    heldout_term: str = setting("rubric term that is measured and never rewarded", "counterfactual")
    alarm_fall: float = setting("fall of the held-out term or accuracy that raises the alarm", 0.05)
    vsibench: str | None = setting("folder of the VSI-Bench files", None)
    vsibench_questions: int = setting(
        "of its questions in every evaluation; all of them at the end", 200
    )

    def __post_init__(self) -> None:
        for key in ("every_steps", "vsibench_questions"):
            require(getattr(self, key) >= 0, key, "0 or more", getattr(self, key))
        require(self.num_rooms >= 1, "num_rooms", "at least 1", self.num_rooms)
        require(self.alarm_fall > 0, "alarm_fall", "above 0", self.alarm_fall)


@dataclass(frozen=True)
class TrainReasonerConfig:
    """All settings of ``python -m jobs.train_reasoner``."""

    output: str = setting("folder (shared by all workers) for checkpoints, metrics, report, model")
    launcher: Literal["ray", "process"] = setting("Ray Train, or this process alone", "ray")
    dry_run: bool = setting("random tiny weights of the same classes, two steps a stage", False)
    seed: int = setting("decides weights, prompts and sampling", 0)
    num_workers: int = setting("training workers", 1)
    num_threads: int = setting("torch threads a worker, where it trains on the CPU", 1)
    use_gpu: bool = setting("train on GPUs, one a worker", False)
    max_failures: int = setting("restarts from the last checkpoint before giving up", 3)
    checkpoint_every_steps: int = setting("steps between checkpoints", 50)
    control: bool = setting("also replay SFT for GRPO's time from the same start", False)
    model: ReasonerModelConfig = setting("", default_factory=ReasonerModelConfig)
    data: PromptDataConfig = setting("", default_factory=PromptDataConfig)
    zero: ZeroConfig = setting("", default_factory=ZeroConfig)
    adam: AdamConfig = setting("", default_factory=AdamConfig)
    lora: LoraConfig = setting("", default_factory=LoraConfig)
    copying: CopyingConfig = setting("", default_factory=CopyingConfig)
    sft: SftConfig = setting("", default_factory=SftConfig)
    grpo: GrpoConfig = setting("", default_factory=GrpoConfig)
    rollouts: RolloutsConfig = setting("", default_factory=RolloutsConfig)
    rewards_in_process: bool = setting("score in the training worker; false: in CPU actors", False)
    rewards: RewardPoolConfig = setting("", default_factory=RewardPoolConfig)
    rubric: RubricConfig = setting("", default_factory=RubricConfig)
    evaluation: EvaluationConfig = setting("", default_factory=EvaluationConfig)
    ray_address: str | None = setting("cluster to join; null: RAY_ADDRESS or a local one", None)

    def __post_init__(self) -> None:
        for key in ("num_workers", "num_threads", "checkpoint_every_steps"):
            require(getattr(self, key) >= 1, key, "at least 1", getattr(self, key))
        for key in ("seed", "max_failures"):
            require(getattr(self, key) >= 0, key, "0 or more", getattr(self, key))
        alone = self.launcher == "ray" or self.num_workers == 1
        require(alone, "num_workers", "1 with launcher=process", self.num_workers)
        for key in ("rollouts.num_actors", "data.stream"):
            group, name = key.split(".")
            value = getattr(getattr(self, group), name)
            require(self.launcher == "ray" or not value, key, "off with launcher=process", value)
        shared = self.rollouts.num_actors % self.num_workers == 0
        expected = "a multiple of num_workers"
        require(shared, "rollouts.num_actors", expected, self.rollouts.num_actors)
        for name, count in (("sft.batch_size", self.sft.batch_size),
                            ("grpo.prompts_per_step", self.grpo.prompts_per_step)):  # fmt: skip
            require(count % self.num_workers == 0, name, expected, count)
        unpaid = getattr(self.rubric, f"weight_{self.evaluation.heldout_term}", None)
        require(unpaid == 0, "evaluation.heldout_term", "a rubric term of weight 0", unpaid)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that are run, in their order."""
        wanted = {"copying": self.copying.num_steps > 0, "sft": self.sft.num_steps > 0}
        wanted["grpo"] = self.grpo.num_steps > 0
        wanted["control"] = self.control and wanted["grpo"]
        return tuple(name for name in STAGES if wanted[name])
