"""Public weights of the full-size encoders: lists them, fetches them, verifies what is here.

python -m jobs.weights list | fetch names=NAME… | verify [names=NAME…]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.cli import EventLog, run_job
from spatialcode.config import checked, setting
from spatialcode.encoder.weights.local import verify
from spatialcode.encoder.weights.pins import read_pin
from spatialcode.encoder.weights.registry import SETS, WEIGHTS, expanded
from spatialcode.encoder.weights.store import WeightsStore
from spatialcode.errors import WeightsError

_VERBS = ("list", "fetch", "verify")


@dataclass(frozen=True)
@checked
class WeightsConfig(WeightsStore):
    """All settings of ``python -m jobs.weights``."""

    do: str = setting("what to do; may stand alone as the first word", "list", one_of=_VERBS)
    names: tuple[str, ...] = setting(
        f"names of `list`, or sets: {', '.join(SETS)}; empty: all (verify: all that are here)", ()
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; the exit code is 0 only if all that was asked for is there and sound."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in _VERBS:
        arguments[0] = f"do={arguments[0]}"
    return run_job("weights", WeightsConfig, _work, __doc__ or "", arguments)


def _work(config: WeightsConfig, log: EventLog) -> bool:
    return {"list": _list, "fetch": _fetch, "verify": _verify}[config.do](config, log)


def _list(config: WeightsConfig, log: EventLog) -> bool:
    print(
        f"{'name':31}{'size':>8}  {'licence':14}{'commercial':11}{'input px':10}{'here':9}"
        "repository@revision"
    )
    for name in expanded(config.names or WEIGHTS):
        known, pin = WEIGHTS[name], read_pin(config.path, name)
        size = "?" if known.about_bytes is None else f"{known.about_bytes / 1e6:.0f} MB"
        commercial = {True: "yes", False: "no", None: "unknown"}[known.licence.commercial]
        pixels = "x".join(map(str, known.input_px)) or "?"
        here = "-" if pin is None else ("yes" if (config.path / name).is_dir() else "pinned")
        revision = pin.identity.revision if pin else known.revision
        gated = "  (gated)" if known.gated else ""
        print(
            f"{name:31}{size:>8}  {known.licence.name:14}{commercial:11}{pixels:10}{here:9}"
            f"{known.repository}@{revision[:12]}{gated}"
        )
        log.event("listed", weights=name, licence=known.licence.name, here=here)
    for name, members in SETS.items():
        print(f"{name} = {' + '.join(members)}")
    print(
        "Sizes are of the tensors, about; loaded, a network needs that much memory and more while"
        " it runs.\nHashes are not known before the first fetch, which pins them"
        f" in {config.path}."
    )
    return True


def _fetch(config: WeightsConfig, log: EventLog) -> bool:
    from spatialcode.encoder.weights.fetching import fetch

    if not config.names:
        raise WeightsError("names: say which weights to fetch, for example names=prompted")
    names = expanded(config.names)
    for name in names:  # before the first byte is fetched
        config.check_licence(name, read_pin(config.path, name))
    for name in names:
        folder = fetch(name, config)
        log.event("fetched", weights=name, folder=str(folder))
        print(f"{name}: {folder}")
    return True


def _verify(config: WeightsConfig, log: EventLog) -> bool:
    here = [name for name in WEIGHTS if read_pin(config.path, name) is not None]
    names = expanded(config.names) if config.names else here
    sound = True
    for name in names:
        wrong = verify(name, config)
        log.event("verified", weights=name, problems=wrong)
        print(f"{name}: {'; '.join(wrong) if wrong else 'sound'}")
        sound = sound and not wrong
    if not names:
        print(f"no weights in {config.path}")
    return sound


if __name__ == "__main__":
    sys.exit(main())
