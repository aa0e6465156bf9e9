"""The settings of the reasoner's training job. Light: ``--help`` loads neither Ray nor torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pipelines.training.config import AdamConfig, LoraConfig, ZeroConfig
from spatialcode.config import checked, require, setting
from spatialcode.reasoning.families.registry import family_names
from spatialcode.reasoning.rubric.scoring import RubricConfig
from spatialcode.tiny.copying import CopySettings

#: All stages of a run, in their order.
STAGES = ("copying", "sft", "grpo", "control")
RUBRIC = "pipelines.train_reasoner.rewards.scorers:RubricScorer"
DRAWN = "pipelines.train_reasoner.rewards.scorers:DrawnScorer"


@dataclass(frozen=True)
@checked
class RewardPoolConfig:
    """Settings of the pool. It reserves CPU cores, fractions too, and never a GPU."""

    num_actors: int = setting("reward actors", 2, at_least=1)
    num_cpus: float = setting(
        "CPU cores that a reward actor reserves (a fraction will do)", 1.0, above=0
    )
    scorer: str = setting("what scores, as module:Class", RUBRIC)
    deadline_s: float = setting(
        "seconds for one completion, after which it is masked", 10.0, above=0
    )
    start_s: float = setting("seconds for a scoring process to come up", 120.0, above=0)
    samples_per_call: int = setting("completions that travel to an actor together", 8, at_least=1)
    max_replaced: int = setting("actors replaced in one run before giving up", 20, at_least=0)


@dataclass(frozen=True)
@checked
class CopyingConfig(CopySettings):
    """Random words to be repeated, before the first program: for small models from nothing."""

    num_steps: int = setting("optimiser steps at most; 0: no such stage", 0, at_least=0)
    learning_rate: float = setting("peak learning rate", 2e-3, above=0)
    min_longest: int = setting("words of a run to get to, or the run fails", 4)

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = self.min_longest <= self.longest
        require(fits, "min_longest", f"at most longest, {self.longest}", self.min_longest)


@dataclass(frozen=True)
@checked
class ReasonerModelConfig:
    """Which language model is trained."""

    source: str | None = setting(
        "folder or hub name of weights and tokenizer; null: a small Qwen3 from nothing", None
    )
    revision: str | None = setting("revision of the hub's weights", None)
    architecture: str = setting("transformers class of source, for dry runs", "Qwen3ForCausalLM")
    hidden_size: int = setting("width, from nothing", 192, at_least=1)
    num_layers: int = setting("blocks, from nothing", 4, at_least=1)
    num_heads: int = setting("attention heads, from nothing", 4, at_least=1)
    num_kv_heads: int = setting("key and value heads, from nothing", 2, at_least=1)
    vocabulary_size: int = setting(
        "tokens of the tokenizer trained here, from nothing", 1024, at_least=400
    )
    tokenizer_rooms: int = setting(
        "rooms whose questions the tokenizer is fitted to", 200, at_least=1
    )
    tokenizer_nonsense_share: float = setting(
        "share of nonsense labels in these rooms", 0.4, at_least=0, at_most=1
    )

    def __post_init__(self) -> None:
        fits = self.hidden_size % (2 * self.num_heads) == 0
        require(fits, "hidden_size", "a multiple of twice num_heads", self.hidden_size)
        fits = self.num_heads % self.num_kv_heads == 0
        require(fits, "num_kv_heads", "a divisor of num_heads", self.num_kv_heads)


@dataclass(frozen=True)
@checked
class PromptDataConfig:
    """Where prompts come from."""

    questions: str | None = setting(
        "output of jobs.questions; null: rooms made up on the fly", None
    )
    codes: str | None = setting("the codes that the questions are about", None)
    mode: Literal["program", "text"] = setting("what the model writes", "program")
    max_prompt_tokens: int = setting("longer prompts are left out", 256, at_least=1)
    rooms_per_block: int = setting("rooms whose questions are mixed", 32, at_least=1)
    first_room: int = setting("first made-up room", 0, at_least=0)
    nonsense_share: float = setting(
        "share of nonsense labels in made-up rooms", 0.4, at_least=0, at_most=1
    )
    stream: bool = setting("make prompts in Ray Data tasks; false: in the training worker", False)
    num_tasks: int = setting("Ray Data tasks at once that make prompts", 1, at_least=1)

    def __post_init__(self) -> None:
        both = (self.questions is None) == (self.codes is None)
        require(both, "codes", "given together with questions", self.codes)


@dataclass(frozen=True)
@checked
class SftConfig:
    """Supervised warm start on reasoning that the solver wrote."""

    num_steps: int = setting("optimiser steps at most", 1000, at_least=0)
    max_seconds: float | None = setting("seconds after which the stage ends", None)
    batch_size: int = setting("prompts a step, of all workers together", 64, at_least=1)
    standard_sentences: bool = setting("teach VSI-Bench's own sentences only", False)
    learning_rate: float = setting("peak learning rate", 2e-3, above=0)
    warmup_steps: int = setting("steps in which the learning rate rises", 20, at_least=0)
    repeat_weight: float = setting(
        "what a repeated word of the prompt counts in the loss", 0.0, at_least=0
    )
    copied_share: float = setting(
        "random words to be repeated, as a share of the prompts", 0.0, at_least=0, at_most=1
    )
    stop_at_accuracy: float = setting("ends the stage: it leaves room for GRPO (0 to 100)", 100.0)
    min_accuracy: float = setting("below it the run fails after the stage (0 to 100)", 0.0)


@dataclass(frozen=True)
@checked
class GrpoConfig:
    """Group-relative policy optimisation."""

    num_steps: int = setting("optimiser steps at most", 300, at_least=0)
    max_seconds: float | None = setting("seconds after which the stage ends", None)
    prompts_per_step: int = setting(
        "prompts with variance a step, of all workers together", 32, at_least=1
    )
    samples_per_prompt: int = setting("completions of a prompt", 8, at_least=2)
    max_new_tokens: int = setting("tokens of a completion at most", 48, at_least=1)
    temperature: float = setting(
        "sampling temperature; top_p 1 and no top_k while training", 1.0, above=0
    )
    learning_rate: float = setting("peak learning rate", 3e-4, above=0)
    warmup_steps: int = setting("steps in which the learning rate rises", 5, at_least=0)
    loss: Literal["grpo", "dr_grpo", "dapo", "gspo"] = setting("policy loss", "dapo")
    advantages: Literal["mean_std", "mean", "leave_one_out"] = setting("of a group", "mean_std")
    aggregation: Literal["weighted_sum", "normalise_then_sum"] = setting(
        "the rubric's total, or each term normalised in its group, then summed (GDPO)",
        "weighted_sum",
    )
    clip_low: float | None = setting("lower clip of the ratio; null: the loss's own", None, above=0)
    clip_high: float | None = setting(
        "upper clip of the ratio; null: the loss's own", None, above=0
    )
    mask_truncated: bool = setting("completions cut by max_new_tokens do not count", False)
    kl_coefficient: float = setting(
        "weight of the divergence from the stage's start; 0: off", 0.0, at_least=0
    )
    kl_estimator: Literal["k2", "k3"] = setting("estimate of that divergence", "k3")
    entropy_coefficient: float = setting("bonus for entropy", 0.0, at_least=0)
    updates_per_batch: int = setting("passes over a rollout batch", 1, at_least=1)
    max_refills: int = setting("rounds that replace groups without variance", 2, at_least=0)
    micro_batch_tokens: int = setting("tokens of a forward pass at most", 8192, at_least=1)
    min_gain: float = setting("accuracy points over the start below which the run fails", 0.0)
    named_family: str | None = setting("family of questions whose gain is asked for too", None)
    min_family_gain: float = setting("its accuracy points over the start, or the run fails", 0.0)
    parity_tolerance: float = setting(
        "log-probability difference allowed at the first step", 1e-3, above=0
    )

    def __post_init__(self) -> None:
        alone = self.aggregation == "weighted_sum" or self.advantages == "mean_std"
        require(alone, "advantages", "mean_std with normalise_then_sum", self.advantages)
        known = self.named_family is None or self.named_family in family_names()
        families = ", ".join(family_names())
        require(known, "named_family", f"one of {families}", self.named_family)
        named = self.min_family_gain == 0 or self.named_family is not None
        require(named, "named_family", "given with min_family_gain", self.named_family)


@dataclass(frozen=True)
@checked
class RolloutsConfig:
    """Who writes completions."""

    engine: str = setting("what writes: hf, vllm, or module:factory", "hf")
    num_actors: int = setting(
        "rollout actors, of all workers together; 0: the training workers", 0, at_least=0
    )
    num_cpus: float = setting("cores of an actor", 1.0)
    use_gpu: bool = setting("one GPU for each actor", False)
    prompts_per_call: int = setting("prompts that travel to an actor together", 8, at_least=1)
    call_timeout_s: float = setting(
        "seconds an actor has for these, then it is replaced", 1800.0, above=0
    )
    max_replaced: int = setting("actors replaced in one run before giving up", 20, at_least=0)
    one_step_off: bool = setting("write the next batch while one is trained on", False)
    max_rows: int = setting("completions written at once by an engine", 256, at_least=1)

    def __post_init__(self) -> None:
        fits = self.num_actors > 0 or not self.one_step_off
        require(fits, "one_step_off", "false without rollout actors", self.one_step_off)


@dataclass(frozen=True)
@checked
class EvaluationConfig:
    """Held-out greedy accuracy, and the watch on what the reward does not show."""

    every_steps: int = setting("steps between evaluations; 0: only between stages", 50, at_least=0)
    num_rooms: int = setting("made-up rooms never trained on", 12, at_least=1)
    words: Literal["trained", "standard", "heldout"] = setting(
        "sentences of the questions: as in GRPO, VSI-Bench's own, or never trained on", "trained"
    )
    heldout_term: str = setting("rubric term that is measured and never rewarded", "counterfactual")
    alarm_fall: float = setting(
        "fall of the held-out term or accuracy that raises the alarm", 0.05, above=0
    )
    vsibench: str | None = setting("folder of the VSI-Bench files", None)
    vsibench_questions: int = setting(
        "questions of it in each evaluation; all of them at the end", 200, at_least=0
    )


@dataclass(frozen=True)
@checked
class ShipConfig:
    """A folder with the trained model in half precision, and a card of its making and measures."""

    folder: str | None = setting("folder for weights, tokenizer and card; null: none", None)
    num_rooms: int = setting(
        "held-out rooms of each kind that the card's accuracies are of", 20, at_least=1
    )


@dataclass(frozen=True)
@checked
class TrainReasonerConfig:
    """All settings of ``python -m jobs.train_reasoner``."""

    output: str = setting("folder (shared by all workers) for checkpoints, metrics, report, model")
    launcher: Literal["ray", "process"] = setting("Ray Train, or this process alone", "ray")
    dry_run: bool = setting("random tiny weights of the same classes, two steps a stage", False)
    seed: int = setting("decides weights, prompts and sampling", 0, at_least=0)
    num_workers: int = setting("training workers", 1, at_least=1)
    num_threads: int = setting("torch threads a worker, where it trains on the CPU", 1, at_least=1)
    use_gpu: bool = setting("train on GPUs, one a worker", False)
    max_failures: int = setting("restarts from the last checkpoint before giving up", 3, at_least=0)
    checkpoint_every_steps: int = setting("steps between checkpoints", 50, at_least=1)
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
    ship: ShipConfig = setting("", default_factory=ShipConfig)
    ray_address: str | None = setting("cluster to join; null: RAY_ADDRESS or a local one", None)

    def __post_init__(self) -> None:
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
        plain = self.zero.stage == 0 and self.lora.rank == 0
        require(plain or not self.adam.muon, "adam.muon", "false with ZeRO or adapters", True)
        own = self.model.source is None or self.ship.folder is None
        require(own, "ship.folder", "null with a model.source", self.ship.folder)
        unpaid = self.rubric.weights().get(self.evaluation.heldout_term)
        require(unpaid == 0, "evaluation.heldout_term", "a rubric term of weight 0", unpaid)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that are run, in their order."""
        wanted = {"copying": self.copying.num_steps > 0, "sft": self.sft.num_steps > 0}
        wanted["grpo"] = self.grpo.num_steps > 0
        wanted["control"] = self.control and wanted["grpo"]
        return tuple(name for name in STAGES if wanted[name])


def dry_run(config: TrainReasonerConfig, has_gpu: bool) -> TrainReasonerConfig:
    """The settings of a run of the same classes and the same ways through the code, in seconds.

    At most two workers and two steps a stage, and rewards drawn from a completion's hash: a random
    model earns nothing from the rubric, and without variance no update would be tried. Model
    classes, ZeRO stage, precision, adapters and who writes completions stay; but vLLM, which needs
    GPUs and real weights, gives way to the engine ``hf``.
    """
    workers = min(2, config.num_workers)
    rollouts = replace(
        config.rollouts,
        engine="hf" if config.rollouts.engine == "vllm" else config.rollouts.engine,
        num_actors=min(workers, config.rollouts.num_actors),
        use_gpu=config.rollouts.use_gpu and config.use_gpu and has_gpu,
        num_cpus=1.0,
    )
    return replace(
        config,
        num_workers=workers,
        use_gpu=config.use_gpu and has_gpu,
        num_threads=1,
        checkpoint_every_steps=2,
        data=replace(config.data, rooms_per_block=1, num_tasks=1),
        model=replace(config.model, hidden_size=32, num_layers=2, num_heads=4, num_kv_heads=2),
        copying=replace(config.copying, num_steps=min(2, config.copying.num_steps)),
        sft=replace(
            config.sft, num_steps=min(2, config.sft.num_steps), max_seconds=None,
            batch_size=2 * workers,
        ),
        grpo=replace(
            config.grpo, num_steps=min(2, config.grpo.num_steps), max_seconds=None,
            prompts_per_step=2 * workers, samples_per_prompt=4, max_new_tokens=8, max_refills=1,
        ),
        rewards=replace(config.rewards, num_actors=workers, num_cpus=0.5, scorer=DRAWN),
        rollouts=rollouts,
        evaluation=replace(config.evaluation, num_rooms=1, every_steps=0, vsibench=None),
        ship=replace(config.ship, folder=None),  # random weights must not replace real ones
    )  # fmt: skip
