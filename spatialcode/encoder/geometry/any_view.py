"""Depth Anything 3: depth and poses of many frames at once, and metric depth of each beside it.

The any-view network's unit is arbitrary; the metric network (output times focal length / 300)
gives it metres, by our own alignment. Frames pass in chunks whose overlap chains them, so that
memory is bounded. The network's extrinsics lead from world to camera; ours from camera to world.

Source: Lin et al., "Depth Anything 3", arXiv 2511.10647, and its package's code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from spatialcode.encoder.geometry.any_view_weights import (
    is_nested,
    load_any_view,
    load_nested,
)
from spatialcode.encoder.geometry.audited import audited
from spatialcode.encoder.geometry.chaining import WindowChain, depth_log_ratios
from spatialcode.encoder.geometry.cuts import find_cuts
from spatialcode.encoder.geometry.grounding import grounded
from spatialcode.encoder.geometry.nested import metric_scale
from spatialcode.encoder.geometry.pathed import (
    believable_intrinsics,
    known_depth,
    path_pictures,
    recorded_poses,
)
from spatialcode.encoder.geometry.protocol import GeometrySession, WindowGeometry
from spatialcode.encoder.geometry.settings import AnyViewSettings
from spatialcode.encoder.geometry.windows import joined, rows_of, stretches
from spatialcode.encoder.parsing.pictures import Preparation
from spatialcode.encoder.parsing.towers import batches, device_memory
from spatialcode.encoder.protocol import ClipHeader, FrameGeometry, Window
from spatialcode.errors import WeightsError

Array = NDArray[np.float64]

_PATCH_PX = 14
#: Colours of ImageNet, as the package normalises its pictures.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: The metric network's output is in units of this focal length, pixels.
METRIC_FOCAL_PX = 300.0
#: The metric network's sky channel from which on a pixel is sky.
_SKY = 0.3
#: Confidence from which on a pixel counts where scales are compared: that of the middle pixel.
_TRUSTED = 0.5
#: Side of the pictures in which cuts are looked for.
_CUT_SIDE_PX = 320
#: Recorded places closer together than this say nothing of scale.
_LEAST_SPREAD_M = 0.1


@dataclass(frozen=True, eq=False)
class AnyViewGeometry:
    """Depth Anything 3 as a geometry source: the any-view network, and the metric one beside it.

    ``metric`` None: depth and poses keep the any-view network's unit where nothing that is
    recorded tells the scale.
    """

    any_view: Any
    metric: Any
    settings: AnyViewSettings
    device: torch.device

    @classmethod
    def load(
        cls, weights: str | Path, metric: str | Path | None, settings: AnyViewSettings, device: str
    ) -> AnyViewGeometry:
        """From folders or hub repositories; nested weights bring their metric network along.

        WeightsError where they are missing or of something else; MissingExtraError without the
        package.
        """
        where = torch.device(device)
        with device_memory("loading Depth Anything 3"):
            if is_nested(weights):
                networks: tuple[Any, Any] = load_nested(weights)
            else:
                networks = load_any_view(weights), metric and load_any_view(metric)
            any_view = networks[0].to(where)
            beside = networks[1] and networks[1].to(where)
        _check_poses(any_view, str(weights))
        return cls(any_view, beside, settings, where)

    @classmethod
    def beside(
        cls, any_view: Any, metric: str | Path, settings: AnyViewSettings, device: str
    ) -> AnyViewGeometry:
        """An any-view network that is loaded already, with a metric one of weights beside it.

        Errors as `load`.
        """
        _check_poses(any_view, "the geometry tower")
        where = torch.device(device)
        with device_memory("loading Depth Anything 3"):
            return cls(any_view.to(where), load_any_view(metric).to(where), settings, where)

    def session(self, clip: ClipHeader) -> GeometrySession:  # noqa: ARG002  needs no header
        return _AnyViewSession(self)

    def fixed_shape_modules(self) -> list[nn.Module]:
        """See `Compilable`."""
        networks = [self.any_view] + [self.metric] * (self.metric is not None)
        return [module for network in networks for module in layers_of(network)]

    def pictures(self, rgb: UInt8[np.ndarray, "n h w 3"]) -> Tensor:
        """Frames (n, 3, h, w) as the networks take them: whole patches, the longer side as set."""
        scale = self.settings.side_px / max(rgb.shape[1:3])
        size_px = tuple(
            max(_PATCH_PX, round(side * scale / _PATCH_PX) * _PATCH_PX) for side in rgb.shape[1:3]
        )
        prepare = Preparation("stretched", (size_px[0], size_px[1]), _MEAN, _STD, bicubic=True)
        return prepare(rgb, self.device, torch.float32)

    @torch.inference_mode()
    def chunk(self, window: Window, rows: slice) -> WindowGeometry:
        """Geometry of some rows of a window in the network's own unit; what is recorded of their
        cameras is told to the network.
        """
        rgb, known = window.rgb[rows], window.geometry.frames(rows)
        with device_memory(f"Depth Anything 3 with {len(rgb)} frames"):
            pictures = self.pictures(rgb)[None]
            told = self._told(known, rgb.shape[1:3], pictures.shape[-2:])
            with self._autocast():
                output = self.any_view(pictures, *told)
        depth, K = (
            output.depth[0].float().cpu().numpy(),
            output.intrinsics[0].double().cpu().numpy(),
        )
        trust = output.depth_conf[0].float().cpu().numpy() - 1.0
        confidence = trust / np.maximum(trust + np.median(trust), 1e-9)
        depth = np.where(confidence >= self.settings.min_confidence, known_depth(depth), np.nan)
        if "sky" in output:
            depth = np.where(output.sky[0].float().cpu().numpy() < _SKY, depth, np.nan)
        frame_px = np.array(rgb.shape[1:3]) / np.array(depth.shape[1:])
        K[:, 0] *= frame_px[1]
        K[:, 1] *= frame_px[0]
        return WindowGeometry(
            depth_m=depth, K=K, T_world_camera=camera_to_world(output.extrinsics[0]),
            is_metric=False, error=self.settings.error.noise(), confidence=confidence,
        )  # fmt: skip

    @torch.inference_mode()
    def metric_depth(
        self, rgb: UInt8[np.ndarray, "n h w 3"], K: Float[np.ndarray, "n 3 3"]
    ) -> tuple[Float[np.ndarray, "n h w"], Bool[np.ndarray, "n h w"]]:
        """Depth in metres by the metric network, and which pixels are no sky."""
        depths, solid = [], []
        for rows in batches(range(len(rgb)), self.settings.metric_frames):
            with device_memory(f"metric depth of {len(rows)} frames"):
                pictures = self.pictures(rgb[rows])
                with self._autocast():
                    output = self.metric(pictures[:, None])
            depth = output.depth.float().cpu().numpy().reshape(len(rows), *pictures.shape[-2:])
            scale = pictures.shape[-1] / rgb.shape[2]
            focal = K[rows][:, [0, 1], [0, 1]].mean(axis=1) * scale / METRIC_FOCAL_PX
            depths.append(depth * focal[:, None, None])
            sky = output.get("sky")
            solid.append(
                np.ones(depth.shape, bool) if sky is None
                else sky.float().cpu().numpy().reshape(depth.shape) < _SKY
            )  # fmt: skip
        return np.concatenate(depths), np.concatenate(solid)

    def _autocast(self) -> torch.autocast:
        wanted = self.settings.precision
        half = wanted == "bfloat16" or (wanted == "auto" and self.device.type != "cpu")
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half)

    def _told(
        self, known: FrameGeometry, frame_px: tuple[int, ...], picture_px: tuple[int, ...]
    ) -> tuple[Tensor, ...]:
        """Extrinsics and intrinsics as the network takes them, where both are recorded."""
        if known.K is None or known.T_world_camera is None or self.any_view.cam_enc is None:
            return ()
        T = np.linalg.inv(known.T_world_camera) @ known.T_world_camera[0]
        # as the package does: the first camera's world, the middle camera one unit away
        away = np.linalg.norm(np.linalg.inv(T)[:, :3, 3], axis=1)
        T[:, :3, 3] /= max(float(np.median(away)), 0.1)
        K = np.tile(known.K, (len(T), 1, 1))
        K[:, 0] *= picture_px[1] / frame_px[1]
        K[:, 1] *= picture_px[0] / frame_px[0]
        return tuple(
            torch.from_numpy(values.astype(np.float32))[None].to(self.device) for values in (T, K)
        )


def _check_poses(any_view: Any, name: str) -> None:
    if any_view.cam_dec is None:
        raise WeightsError(f"{name}: expected a network with poses, got depth alone")


def layers_of(network: Any) -> list[nn.Module]:
    """The layers of a network's transformer, which are alike, so that one compilation serves all.

    Of a layer with rotary positions only the perceptron: those positions are read back from the
    device on the way, which no compiler sees through.
    """
    layers = network.backbone.pretrained.blocks
    return [layer if layer.attn.rope is None else layer.mlp for layer in layers]


def camera_to_world(extrinsics: Tensor) -> Float[np.ndarray, "n 4 4"]:
    """Poses of world-to-camera matrices (N, 3, 4) or (N, 4, 4)."""
    values = extrinsics.double().cpu().numpy()
    T = np.tile(np.eye(4), (len(values), 1, 1))
    T[:, :3] = values[:, :3]
    # quaternions of a network are unit to single precision only
    u, _, v = np.linalg.svd(T[:, :3, :3])
    T[:, :3, :3] = u @ v
    return np.linalg.inv(T)


class _AnyViewSession:
    def __init__(self, source: AnyViewGeometry) -> None:
        self._source = source
        self._chain = WindowChain()
        self._K: Array | None = None

    def geometry(self, window: Window) -> WindowGeometry:
        """See `GeometrySession`."""
        known, source = window.geometry, self._source
        frame_px = (window.rgb.shape[1], window.rgb.shape[2])
        error = source.settings.error.noise()
        if known.depth_m is not None and known.T_world_camera is not None:
            K = known.K
            if K is None:
                K = self._intrinsics(self._any_view(window), frame_px)
            return recorded_poses(known, known_depth(known.depth_m), K, error)
        found = self._any_view(window)
        K = self._intrinsics(found, frame_px) if known.K is None else np.asarray(known.K, float)
        found = replace(found, K=np.tile(K, (len(found.K), 1, 1)))
        found = self._metric(window, found)
        if known.T_world_camera is not None:
            depth = found.depth_m if known.depth_m is None else known_depth(known.depth_m)
            return replace(recorded_poses(known, depth, K, error), confidence=found.confidence)
        if known.depth_m is not None:
            found = replace(found, depth_m=known_depth(known.depth_m), confidence=None)
        found = replace(found, up_camera=known.up_camera)
        found = audited(found, window.rgb, known.K is not None)
        return self._chain.add(grounded(found, frame_px), window.num_repeated)

    def settled(self) -> None:
        """Windows are joined as they come: nothing more is known than was told."""

    def _intrinsics(self, found: WindowGeometry, frame_px: tuple[int, int]) -> Array:
        """One camera for a clip: the middle of what the network says of its first window, or an
        assumed one where that is no camera that anybody films with.
        """
        if self._K is None:
            told = np.median(found.K, axis=0)
            self._K = believable_intrinsics(told, frame_px, self._source.settings.path)
        return self._K

    def _any_view(self, window: Window) -> WindowGeometry:
        """The window in the network's unit: chunks chained, parts between cuts side by side."""
        pictures = path_pictures(window.rgb, np.eye(3), _CUT_SIDE_PX)
        cuts = find_cuts(list(pictures.gray))
        parts = [self._part(window, rows) for rows in stretches(len(window.rgb), cuts)]
        return joined(parts, cuts)

    def _part(self, window: Window, rows: slice) -> WindowGeometry:
        first, last = rows.start, rows.stop
        settings, chain = self._source.settings, WindowChain()
        chunks, start = [], first
        while start < last:
            repeated = min(settings.chunk_overlap, start - first)
            stop = min(start - repeated + settings.chunk_frames, last)
            chunk = self._source.chunk(window, slice(start - repeated, stop))
            placed = chain.add(chunk, repeated)
            chunks.append(rows_of(placed, slice(repeated, None)))
            start = stop
        return joined(chunks)

    def _metric(self, window: Window, found: WindowGeometry) -> WindowGeometry:
        """The same in metres, each part by itself: by recorded poses or depth, else by the metric
        network; unchanged where there is neither.
        """
        metric = solid = None
        known, source = window.geometry, self._source
        if source.metric is not None and (known.depth_m is None):
            metric, solid = source.metric_depth(window.rgb, found.K)
        depth, T = found.depth_m.copy(), found.T_world_camera.copy()
        for rows in stretches(len(depth), found.cuts):
            scale = recorded_scale(known.frames(rows), depth[rows], T[rows])
            if scale is None and metric is not None:
                assert solid is not None
                assert found.confidence is not None
                trusted = solid[rows] & (found.confidence[rows] >= _TRUSTED)
                scale = metric_scale(depth[rows], metric[rows], trusted)
                if scale is None:  # nothing but sky, say: there is nothing to place there
                    depth[rows] = np.nan
                    continue
            if scale is None:
                return found
            depth[rows] *= scale
            T[rows, :3, 3] *= scale
        if solid is not None:
            depth[~solid] = np.nan
        return replace(found, depth_m=depth, T_world_camera=T, is_metric=True)


def recorded_scale(
    known: FrameGeometry,
    depth: Float[np.ndarray, "n h w"],
    T_world_camera: Float[np.ndarray, "n 4 4"],
) -> float | None:
    """Metres to a unit of estimated depth and poses, by recorded depth, or by recorded places where
    the camera went anywhere; None where neither tells.
    """
    if known.depth_m is not None:
        ratios = depth_log_ratios(known_depth(known.depth_m), depth)
        if np.isfinite(ratios).any():
            return float(np.exp(np.nanmedian(ratios)))
    if known.T_world_camera is None:
        return None
    true = known.T_world_camera[:, :3, 3] - known.T_world_camera[:, :3, 3].mean(axis=0)
    own = T_world_camera[:, :3, 3] - T_world_camera[:, :3, 3].mean(axis=0)
    spread = [float(np.sqrt((places**2).sum(axis=1).mean())) for places in (true, own)]
    if spread[0] < _LEAST_SPREAD_M or spread[1] <= 0:
        return None
    return spread[0] / spread[1]
