// Lines of the world as a camera sees them. They are cut at its near plane and its image's border
// before dividing by depth, so an edge that passes behind the camera ends where it leaves the view
// and is not mirrored.
import { minus, rotatedBack } from "./rotations.js";

const NEAR_M = 0.05;

// Half-spaces n · p >= offset: the near plane, and the planes through the image's widened border.
function planesOf(camera, margin_px) {
  const [fx, fy, cx, cy] = camera.lens;
  return [
    [[0, 0, 1], NEAR_M],
    [[fx, 0, cx + margin_px], 0],
    [[-fx, 0, camera.width_px + margin_px - cx], 0],
    [[0, fy, cy + margin_px], 0],
    [[0, -fy, camera.height_px + margin_px - cy], 0],
  ];
}

function clipped(segment, planes) {
  let [start, end] = segment;
  for (const [normal, offset] of planes) {
    const over = [start, end].map((p) => normal[0] * p[0] + normal[1] * p[1] + normal[2] * p[2] - offset);
    if (Math.max(...over) < 0) return null;
    if (Math.min(...over) >= 0) continue;
    const share = over[0] / (over[0] - over[1]);
    const crossing = start.map((value, i) => value + share * (end[i] - value));
    if (over[0] < 0) start = crossing;
    else end = crossing;
  }
  return [start, end];
}

// A world point in the camera's frame: x right, y down, z forward, in metres.
export const inCamera = (point, camera) => rotatedBack(camera.R_world_camera, minus(point, camera.position_m));

const pixelOf = ([x, y, z], [fx, fy, cx, cy]) => [(fx * x) / z + cx, (fy * y) / z + cy];

// The visible parts of world segments [[start, end], …] in metres: [{ pixels: [start, end],
// depth_m }], in pixels of the full video. Lines go on for `margin_px` outside the image.
export function projectSegments(segments, camera, margin_px = 8) {
  const planes = planesOf(camera, margin_px);
  const lines = [];
  for (const segment of segments) {
    const kept = clipped(segment.map((point) => inCamera(point, camera)), planes);
    if (kept === null) continue;
    lines.push({
      pixels: kept.map((point) => pixelOf(point, camera.lens)),
      depth_m: (kept[0][2] + kept[1][2]) / 2,
    });
  }
  return lines;
}

// Where a world point appears, or null where it is behind the camera or outside the image.
export function projectPoint(point, camera) {
  const seen = inCamera(point, camera);
  if (seen[2] < NEAR_M) return null;
  const [u, v] = pixelOf(seen, camera.lens);
  return u >= 0 && v >= 0 && u < camera.width_px && v < camera.height_px ? [u, v] : null;
}
