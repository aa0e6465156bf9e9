"""The service on Ray Serve: ``python -m serve.app [config=FILE.yaml] [key=value …]``,
``make serve``, or, on a cluster that runs already,
``serve run serve.app:build_app config=configs/serve.yaml``.

Started again, it goes on where it stopped, also after a crash. Videos that were being encoded when
it died are taken up when their leases run out.
"""

from __future__ import annotations

import dataclasses
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serve.access.keys import load_keys
from serve.config import DeploymentConfig, ServeConfig
from serve.http.proxy import configure_proxies
from spatialcode.config import describe, load_config
from spatialcode.errors import ConfigError, SpatialCodeError

APP_NAME = "spatialcode"
_SQLITE = "sqlite:///"


def build_app(arguments: ServeConfig | Mapping[str, Any]) -> Any:
    """The application, from settings or from a mapping of keys to texts (``config``: a YAML file).

    Raises ConfigError for invalid settings, and where other machines could reach the service
    without an API key.
    """
    from serve.on_ray.deployments import build

    config = arguments if isinstance(arguments, ServeConfig) else read_arguments(arguments)
    return build(anchored(config), load_keys(config))


def read_arguments(arguments: Mapping[str, Any]) -> ServeConfig:
    """The settings that the arguments of ``serve run`` give."""
    values = dict(arguments)
    path = values.pop("config", None)
    return load_config(ServeConfig, path, [f"{key}={value}" for key, value in values.items()])


def anchored(config: ServeConfig) -> ServeConfig:
    """The settings with absolute paths, because a replica may have another working folder."""
    store = config.store
    url, database = store.url, store.database_url
    if "://" not in url:
        url = str(Path(url).absolute())
    if database.startswith(_SQLITE) and not database.startswith(f"{_SQLITE}/"):
        path = Path(database.removeprefix(_SQLITE)).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        database = f"{_SQLITE}{path}"
    store = dataclasses.replace(store, url=url, database_url=database)
    return dataclasses.replace(config, store=store)


def start(config: ServeConfig) -> None:
    """Deploy on the cluster of RAY_ADDRESS, or on a local Ray; returns when ready."""
    from ray import serve

    from cluster.connect import connect

    is_measured = config.encoder.num_gpus is None  # which needs a cluster
    app = None if is_measured else build_app(config)  # what is wrong is said before Ray starts
    configure_proxies(config.limits)
    connect(min_cpus=_num_cpus(config), _metrics_export_port=config.metrics_port)
    app = app or build_app(config)
    serve.start(http_options={"host": config.host, "port": config.port})
    serve.run(app, name=APP_NAME, route_prefix="/")


def stop() -> None:
    """Drain and end the application, and the local Ray with it."""
    import ray
    from ray import serve

    serve.shutdown()
    ray.shutdown()


def main(argv: Sequence[str] | None = None) -> int:
    """Start, wait for Ctrl-C or SIGTERM, drain. Exit code 2: wrong settings; 1: it cannot start."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help", "help"} & set(arguments):
        print(f"python -m serve.app [config=FILE.yaml] [key=value …]\n\n{describe(ServeConfig)}")
        return 0
    ended = threading.Event()
    try:
        config = _config_of(arguments)
        print(f"starting on http://{config.host}:{config.port} …", flush=True)
        start(config)
    except ConfigError as error:
        print(f"serve.app: {error}\n(python -m serve.app --help lists keys)", file=sys.stderr)
        return 2
    except (SpatialCodeError, RuntimeError, KeyboardInterrupt) as error:
        print(f"serve.app: {error or 'interrupted'}", file=sys.stderr)
        stop()
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):  # only now, because Ray has set its own before
        signal.signal(number, lambda *_: ended.set())
    print(f"ready: http://{config.host}:{config.port}   (Ctrl-C ends it)", flush=True)
    ended.wait()
    print("draining …", flush=True)
    stop()
    return 0


def _config_of(arguments: Sequence[str]) -> ServeConfig:
    path = next((a.partition("=")[2] for a in arguments if a.startswith("config=")), None)
    rest = [a for a in arguments if not a.startswith("config=")]
    return load_config(ServeConfig, path, rest)


def _num_cpus(config: ServeConfig) -> int:
    """Logical cores for all replicas: reservations, which a smaller machine may offer as well."""
    parts: list[DeploymentConfig] = [config.encoder, config.ingress]
    if config.reasoner.has_model:
        parts.append(config.reasoner)
    return int(sum(part.num_cpus * part.max_replicas for part in parts)) + 1


if __name__ == "__main__":
    sys.exit(main())
