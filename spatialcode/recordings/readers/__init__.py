"""One module for each data set; importing the package registers their readers."""

from spatialcode.recordings.readers import (
    arkitscenes,
    ca1m,
    code_folder,
    ground_truth_frames,
    hypersim,
    nerfstudio,
    posed_images,
    record3d,
    scannet,
    scannetpp,
    seven_scenes,
    sidecar,
    still_videos,
    sun_rgbd,
    tum,
)

__all__ = [
    "arkitscenes",
    "ca1m",
    "code_folder",
    "ground_truth_frames",
    "hypersim",
    "nerfstudio",
    "posed_images",
    "record3d",
    "scannet",
    "scannetpp",
    "seven_scenes",
    "sidecar",
    "still_videos",
    "sun_rgbd",
    "tum",
]
