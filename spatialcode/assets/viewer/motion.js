// Where the camera and moving objects are between the times a code knows them at: positions
// linearly, rotations by slerp, held before the first and after the last known time. What
// really happened between two samples is unknown.
import { matrixFromQuaternion, quaternionFromMatrix, slerp } from "./rotations.js";

// The known time before `t`, and how far on to the next one: [index, share]. Times increase.
function placeIn(times, t) {
  if (t <= times[0]) return [0, 0];
  const last = times.length - 1;
  if (t >= times[last]) return [last, 0];
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] <= t) low = middle;
    else high = middle;
  }
  return [low, (t - times[low]) / (times[high] - times[low])];
}

const between = (a, b, share) => a.map((value, i) => value + share * (b[i] - value));

// An object's { center_m, quaternion_wxyz } at `t_s`; one without a track stays where it is.
export function objectPose(item, t_s) {
  if (item.motion === "static" || item.track.length === 0) return item;
  const [index, share] = placeIn(item.track.map((point) => point.t_s), t_s);
  const from = item.track[index];
  if (share === 0) return from;
  const to = item.track[index + 1];
  return {
    center_m: between(from.center_m, to.center_m, share),
    quaternion_wxyz: slerp(from.quaternion_wxyz, to.quaternion_wxyz, share),
  };
}

// A code's camera at any time. `times_s` is empty where the code has no camera.
export class CameraMotion {
  static #known = new WeakMap();

  // The path of a code, worked out once.
  static of(code) {
    if (!CameraMotion.#known.has(code)) CameraMotion.#known.set(code, new CameraMotion(code));
    return CameraMotion.#known.get(code);
  }

  constructor(code) {
    // Frames may share a time; the first of them counts.
    const known = code.cameras.filter((camera, i, all) => i === 0 || camera.t_s > all[i - 1].t_s);
    this.times_s = known.map((camera) => camera.t_s);
    this.positions_m = known.map((camera) => camera.T_world_camera.slice(0, 3).map((row) => row[3]));
    this.quaternions = known.map((camera) => quaternionFromMatrix(camera.T_world_camera));
    this.lenses = known.map(({ fx_px, fy_px, cx_px, cy_px }) => [fx_px, fy_px, cx_px, cy_px]);
    this.width_px = code.video.width_px;
    this.height_px = code.video.height_px;
  }

  // { R_world_camera, position_m, lens: [fx, fy, cx, cy] in pixels of the full video }, or null.
  at(t_s) {
    if (this.times_s.length === 0) return null;
    const [index, share] = placeIn(this.times_s, t_s);
    const next = Math.min(index + 1, this.times_s.length - 1);
    return {
      R_world_camera: matrixFromQuaternion(slerp(this.quaternions[index], this.quaternions[next], share)),
      position_m: between(this.positions_m[index], this.positions_m[next], share),
      lens: between(this.lenses[index], this.lenses[next], share),
      width_px: this.width_px,
      height_px: this.height_px,
    };
  }

  // Between two sampled frames nobody looked, so sight is taken to last to the next one.
  get sightLasts_s() {
    if (this.times_s.length < 2) return Infinity;
    const steps = this.times_s.slice(1).map((t, i) => t - this.times_s[i]).sort((a, b) => a - b);
    const middle = steps.length >> 1;
    return steps.length % 2 ? steps[middle] : (steps[middle - 1] + steps[middle]) / 2;
  }
}
