"""Seconds and memory of one GRPO step: this library's loop against TRL's GRPOTrainer.

Same model (random Qwen3 of 2 M parameters), weights, prompts, group size, limit of new tokens,
loss, optimizer, threads and reward (of constant time: the parity of a completion's first token).
"ours" is one plain process; "ray" the same in a worker of Ray Train under DeepSpeed, as the job
trains. Each run is a process of its own; systems take turns, so that all meet the same load. TRL
runs from an environment of its own, with this one's torch and transformers: it is made on first
use, or given as trl_python=PATH (`pip install trl==1.16.0` beside torch and transformers).

Memory is the largest resident set of the process that trains; of "ray" also all of its processes
together: driver, worker, and Ray's own.

    python benchmarks/grpo.py [threads=2] [num_runs=3] [num_steps=6] [num_prompts=24]
        [num_samples=8] [max_new_tokens=16] [trl_python=PATH] [venv=out/trl_venv]
        [systems=ours,ray,trl]
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[1]
TRL = "trl==1.16.0"
VOCABULARY, END, PAD = 1000, 1, 0
LEARNING_RATE = 3e-4
PHASES = ("generate", "reward", "update", "sync", "rest")
DEFAULTS = {
    "threads": 2, "num_runs": 3, "num_steps": 6, "num_warmup": 2, "num_prompts": 24,
    "num_samples": 8, "max_new_tokens": 16,
}  # fmt: skip
Row = dict[str, Any]


def reward(completion_ids: Any) -> float:
    """1 for an odd first token: constant time, and groups that vary."""
    return float(completion_ids[0] % 2)


def prompts_of(num_prompts: int) -> list[list[int]]:
    """Prompts of 40 to 60 tokens, the length of a roster of labels and a question."""
    rng = random.Random(0)
    return [
        [rng.randrange(2, VOCABULARY) for _ in range(rng.randint(40, 60))]
        for _ in range(num_prompts)
    ]


def save_model(folder: Path) -> int:
    """A random Qwen3 of 2 M parameters, with a tokenizer of words w0 to w999; its size."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=576,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=48,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=PAD,
    )
    model = Qwen3ForCausalLM(config)
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(VOCABULARY)}, unk_token="w2"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token=f"w{END}", pad_token=f"w{PAD}", unk_token="w2"
    )
    wrapped.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


class Clock:
    """Seconds by phase of one step, and the steps that were timed."""

    def __init__(self) -> None:
        self.phases: dict[str, float] = defaultdict(float)
        self.steps: list[Row] = []
        self.begin()

    def begin(self) -> None:
        """The first step begins now."""
        self.start, self.cpu_start = time.perf_counter(), time.process_time()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.phases[name] += time.perf_counter() - start

    def timed(self, name: str, function: Callable) -> Callable:
        """The function, its time counted to the phase."""

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return function(*args, **kwargs)

        return call

    def end_step(self, num_tokens: float) -> None:
        whole, cpu = time.perf_counter() - self.start, time.process_time() - self.cpu_start
        known = sum(self.phases.values())
        step = {"s": whole, "cpu_s": cpu, "tokens": num_tokens, "rest": whole - known}
        self.steps.append({**step, **self.phases})
        self.phases.clear()
        self.begin()


def peak_mb() -> float:
    """Largest resident memory of this process, MiB; not of the one that started it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM: Linux is needed")


class Watch:
    """The largest memory of this process and all that it started, a page shared counted once, MiB:
    looked at five times a second.
    """

    def __enter__(self) -> Self:
        self.peak_mb = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        import psutil

        me = psutil.Process()
        while not self._over.wait(0.2):
            held = 0
            for one in [me, *me.children(recursive=True)]:
                with suppress(psutil.Error):
                    held += one.memory_full_info().pss
            self.peak_mb = max(self.peak_mb, held / 2**20)


def run_ours(folder: Path, given: Row) -> Row:
    """One plain process; weights are copied into a model of the sampler's own."""
    import torch
    from transformers import Qwen3ForCausalLM

    sys.path.insert(0, str(ROOT))
    from spatialcode.grpo.engine import HFEngine
    from tests.grpo.torch_stepper import TorchStepper

    torch.set_num_threads(given["threads"])
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    engine = HFEngine(Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32))
    stepper = TorchStepper(model, torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE))

    def follow(version: int) -> None:
        engine.load_weights(model.named_parameters(), version)

    return timed_steps(stepper, engine, given, follow)


def run_ray(folder: Path, given: Row) -> Row:
    """A worker of Ray Train; the model in DeepSpeed's engine, ZeRO 1, writes completions itself."""
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = str(ROOT)  # for the worker
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from cluster.connect import connect

    connect(min_cpus=given["threads"] + 1)
    found = folder / "ray.json"
    with Watch() as watch:
        TorchTrainer(
            ray_worker,
            train_loop_config={"folder": str(folder), "given": given, "found": str(found)},
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=ScalingConfig(
                num_workers=1, resources_per_worker={"CPU": given["threads"]}
            ),
            run_config=RunConfig(name="steps", storage_path=str(folder / "ray")),
        ).fit()
    return {**json.loads(found.read_text()), "all_peak_mb": watch.peak_mb}


def ray_worker(told: Row) -> None:
    """What the worker of `run_ray` does."""
    import torch
    from transformers import Qwen3ForCausalLM

    from pipelines.training.config import AdamConfig, ZeroConfig
    from pipelines.training.deepspeed import DeepSpeedStepper
    from spatialcode.grpo.engine import HFEngine

    given = told["given"]
    torch.set_num_threads(given["threads"])
    model = Qwen3ForCausalLM.from_pretrained(told["folder"], dtype=torch.float32)
    adam = AdamConfig(learning_rate=LEARNING_RATE, beta2=0.999, weight_decay=0.01)
    stepper = DeepSpeedStepper(model, ZeroConfig(stage=1), adam)
    engine = HFEngine(stepper.engine.module)
    run = timed_steps(stepper, engine, given, partial(setattr, engine, "weight_version"))
    Path(told["found"]).write_text(json.dumps(run))


def timed_steps(stepper: Any, engine: Any, given: Row, follow: Callable[[int], None]) -> Row:
    """Own sampler, advantages, packed update; ``follow`` hands the weights on."""
    import torch

    from spatialcode.grpo.advantages import mean_std_advantages
    from spatialcode.grpo.batch import rollout_batch
    from spatialcode.grpo.losses import LossSettings
    from spatialcode.grpo.types import SamplerSettings
    from spatialcode.grpo.update import UpdateConfig, update

    prompts, num = prompts_of(given["num_prompts"]), given["num_samples"]
    config = UpdateConfig(loss="dapo", settings=LossSettings(0.2, 0.2))
    groups = torch.arange(len(prompts)).repeat_interleave(num)
    clock = Clock()
    for step in range(given["num_warmup"] + given["num_steps"]):
        settings = SamplerSettings(max_new_tokens=given["max_new_tokens"], seed=step)
        with clock.phase("generate"):
            samples = [s for group in engine.generate(prompts, num, settings) for s in group]
        with clock.phase("reward"):
            rewards = torch.tensor([reward(one.completion_ids) for one in samples])
        with clock.phase("update"):
            advantages = mean_std_advantages(rewards, groups)
            update(stepper, rollout_batch(samples, advantages), config)
        with clock.phase("sync"):
            follow(step + 1)
        clock.end_step(sum(len(one.completion_ids) for one in samples))
    return {"steps": clock.steps[given["num_warmup"] :], "peak_mb": peak_mb()}


def run_trl(folder: Path, given: Row) -> Row:
    """TRL's trainer with its own generation; float32, no checkpointing of activations."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(given["threads"])
    num_steps = given["num_warmup"] + given["num_steps"]
    texts = [" ".join(f"w{n}" for n in ids) for ids in prompts_of(given["num_prompts"])]
    config = GRPOConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=given["num_prompts"] * given["num_samples"],
        num_generations=given["num_samples"],
        max_completion_length=given["max_new_tokens"],
        max_steps=num_steps,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        beta=0.0,
        loss_type="dapo",
        temperature=1.0,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        save_strategy="no",
        logging_steps=num_steps,
        disable_tqdm=True,
        seed=0,
    )
    clock = Clock()
    counted = [0]

    def scored(completion_ids: list, **_columns: Any) -> list[float]:
        counted[0] = sum(len(ids) for ids in completion_ids)
        return [reward(ids) for ids in completion_ids]

    class Ends(TrainerCallback):
        def on_train_begin(self, *_args: Any, **_kwargs: Any) -> None:
            clock.begin()

        def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
            clock.end_step(counted[0])

    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(folder),
        reward_funcs=scored,
        train_dataset=Dataset.from_dict({"prompt": texts}),
        args=config,
        callbacks=[Ends()],
    )
    for name, phase in (("_generate", "generate"), ("_calculate_rewards", "reward")):
        setattr(trainer, name, clock.timed(phase, getattr(trainer, name)))
    trainer.compute_loss = clock.timed("update", trainer.compute_loss)  # its forward pass
    trainer.accelerator.backward = clock.timed("update", trainer.accelerator.backward)
    trainer.train()
    return {"steps": clock.steps[given["num_warmup"] :], "peak_mb": peak_mb()}


def has_trl(python: str) -> bool:
    """Whether that Python imports trl and what it needs."""
    check = [python, "-c", "import trl, datasets"]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


def trl_python(given: dict[str, str]) -> str:
    """A Python that imports trl; makes an environment that sees this one's packages if need be."""
    if "trl_python" in given:
        if not has_trl(given["trl_python"]):
            raise SystemExit(
                f"{given['trl_python']} cannot import trl: run `{given['trl_python']} -m pip "
                f"install {TRL}` (it needs torch and transformers too), or leave trl_python out"
            )
        return given["trl_python"]
    if has_trl(sys.executable):
        return sys.executable
    folder = Path(given.get("venv", ROOT / "out" / "trl_venv"))
    python = str(folder / "bin" / "python")
    if Path(python).exists() and has_trl(python):
        return python
    import sysconfig

    print(f"making {folder} with {TRL}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    Path(packages, "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run([python, "-m", "pip", "install", "--quiet", TRL], check=True)
    if not has_trl(python):
        raise SystemExit(f"trl was installed into {folder} but cannot be imported")
    return python


def child(python: str, role: str, folder: Path, given: Row) -> Row:
    """One run in a process of its own."""
    threads = str(given["threads"])
    environment = {
        **os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads,
        # waiting threads sleep: those that spin make every step of a busy machine many times longer
        "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    command = [
        python,
        __file__,
        f"role={role}",
        f"folder={folder}",
        f"settings={json.dumps(given)}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{role} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def summary(runs: list[Row]) -> Row:
    """Medians over runs of each run's median step; spread: of runs' seconds, max - min."""
    seconds = [statistics.median(step["s"] for step in run["steps"]) for run in runs]
    steps = [step for run in runs for step in run["steps"]]
    spent = sum(step["s"] for step in steps)
    return {
        "s_per_step": statistics.median(seconds),
        "s_per_step_spread": max(seconds) - min(seconds),
        "s_per_step_runs": seconds,
        "cpu_s_per_step": statistics.median(step["cpu_s"] for step in steps),
        "tokens_per_s": sum(step["tokens"] for step in steps) / spent,
        "tokens_per_step": sum(step["tokens"] for step in steps) / len(steps),
        "peak_mb": statistics.median(run["peak_mb"] for run in runs),
        "peak_mb_spread": max(r["peak_mb"] for r in runs) - min(r["peak_mb"] for r in runs),
        "all_peak_mb": max(run.get("all_peak_mb", run["peak_mb"]) for run in runs),
        "shares": {p: sum(step.get(p, 0.0) for step in steps) / spent for p in PHASES},
    }


def table(found: dict[str, Row]) -> None:
    """Print what was measured."""
    titles = f"{'':6} {'s a step':>18} {'CPU s':>7} {'tokens/s':>9} {'peak MiB':>9}"
    print(titles + "".join(f"{phase:>10}" for phase in PHASES))
    for name, row in found.items():
        seconds = f"{row['s_per_step']:.3f} (± {row['s_per_step_spread'] / 2:.3f})"
        numbers = f"{name:6} {seconds:>18} {row['cpu_s_per_step']:7.3f} "
        numbers += f"{row['tokens_per_s']:9.0f} {row['peak_mb']:9.0f}"
        print(numbers + "".join(f"{row['shares'][phase]:10.1%}" for phase in PHASES))


def main() -> None:
    """Print a table, then one JSON line."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    if "role" in given:
        run = {"ours": run_ours, "ray": run_ray, "trl": run_trl}[given["role"]]
        print(json.dumps(run(Path(given["folder"]), json.loads(given["settings"]))))
        return
    settings = {key: int(given.get(key, value)) for key, value in DEFAULTS.items()}
    systems = given.get("systems", "ours,ray,trl").split(",")
    pythons = {s: trl_python(given) if s == "trl" else sys.executable for s in systems}
    runs: dict[str, list[Row]] = {system: [] for system in systems}
    with tempfile.TemporaryDirectory() as folder:
        num_parameters = save_model(Path(folder))
        for _ in range(settings["num_runs"]):
            for system in systems:
                runs[system].append(child(pythons[system], system, Path(folder), settings))
    found = {system: summary(rows) for system, rows in runs.items()}
    table(found)
    result = {"parameters": num_parameters, **settings, "load": os.getloadavg()[0], **found}
    for name in found if "trl" in found else ():
        ratios = {
            key: found[name][key] / found["trl"][key]
            for key in ("s_per_step", "cpu_s_per_step", "peak_mb", "all_peak_mb")
        }
        result[f"{name}_over_trl"] = ratios
        print(f"{name} over TRL: " + ", ".join(f"{v:.3f} {k}" for k, v in ratios.items()))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
