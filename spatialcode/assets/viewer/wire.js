// The lines and faces by which a box, its front and a camera are drawn, in world metres.
// The 3D view and the overlay both draw from here, so they agree about where a front is.
import { matrixFromQuaternion, plus, rotated } from "./rotations.js";

// Which side of the box, along its own axes, each corner is on.
const SIDES = [
  [-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1],
  [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1],
];
export const EDGES = [
  [0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7],
];
export const TRIANGLES = [
  [0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4],
  [1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7],
];
// Of the points that a front's arrow adds to the eight corners.
export const FRONT_EDGES = [[8, 9], [9, 10], [9, 11]];
// Point 0 is the camera, 1 to 4 its image's corners, 5 marks up.
export const FRUSTUM_EDGES = [[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1], [1, 5], [2, 5]];

// Categories whose box's +y is its front; other labels have none.
const FRONTED = new Set([
  "chair", "sofa", "bed", "tv", "door", "window", "refrigerator", "toilet", "stove", "washer",
  "bookshelf", "nightstand",
]);

export const hasFront = (label) => FRONTED.has(label);
export const edgesOf = (label) => (hasFront(label) ? [...EDGES, ...FRONT_EDGES] : EDGES);

// Eight corners, and four points of the front's arrow where the category has a front.
export function boxPoints(item, pose) {
  const [a, b, c] = item.size_m;
  const points = SIDES.map(([x, y, z]) => [(x * a) / 2, (y * b) / 2, (z * c) / 2]);
  if (hasFront(item.label)) {
    const length = 0.2 + 0.2 * Math.min(a, b);
    points.push([0, b / 2, 0], [0, b / 2 + length, 0]);
    points.push([-0.4 * length, b / 2 + 0.6 * length, 0], [0.4 * length, b / 2 + 0.6 * length, 0]);
  }
  const rotation = matrixFromQuaternion(pose.quaternion_wxyz);
  return points.map((point) => plus(rotated(rotation, point), pose.center_m));
}

// Six points in the order of FRUSTUM_EDGES; the image's corners lie at z-depth `depth_m`.
export function frustumPoints(camera, depth_m) {
  const { width_px: width, height_px: height } = camera;
  const [fx, fy, cx, cy] = camera.lens;
  const pixels = [[0, 0], [width, 0], [width, height], [0, height], [width / 2, -height / 4]];
  const rays = pixels.map(([u, v]) => [((u - cx) / fx) * depth_m, ((v - cy) / fy) * depth_m, depth_m]);
  return [[0, 0, 0], ...rays].map((ray) => plus(rotated(camera.R_world_camera, ray), camera.position_m));
}
