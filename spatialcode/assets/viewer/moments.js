// When a video shows things best, by the code's own account: it knows boxes and the camera, not
// what stands between them.
import { CameraMotion, objectPose } from "./motion.js";
import { projectPoint } from "./projection.js";

const isSeen = (item, t_s) => item.first_seen_s <= t_s && t_s <= item.last_seen_s;

// How central an object's middle is in the image at `t_s`: 1 in the middle, 0 at the border,
// -1 outside.
function centrality(item, camera, t_s) {
  const pixel = camera && projectPoint(objectPose(item, t_s).center_m, camera);
  if (!pixel) return -1;
  const across = Math.abs(pixel[0] / camera.width_px - 0.5);
  const down = Math.abs(pixel[1] / camera.height_px - 0.5);
  return 1 - 2 * Math.max(across, down);
}

// The time in seconds of the sampled frame that shows the most of the items, and among such frames
// the one that shows them nearest to its middle; null for no items.
export function bestMoment(code, items) {
  if (items.length === 0) return null;
  const path = CameraMotion.of(code);
  const times = [...new Set([...path.times_s, ...code.video.sampled_s, ...items.map((i) => i.first_seen_s)])];
  let best = null;
  for (const t_s of times.sort((a, b) => a - b)) {
    const camera = path.at(t_s);
    const seen = items.filter((item) => isSeen(item, t_s));
    const inView = seen.map((item) => centrality(item, camera, t_s)).filter((value) => value >= 0);
    const rank = [inView.length, seen.length, inView.reduce((sum, value) => sum + value, 0)];
    const place = best === null ? 0 : rank.findIndex((value, i) => value !== best.rank[i]);
    if (place >= 0 && (best === null || rank[place] > best.rank[place])) best = { rank, t_s };
  }
  return best.t_s;
}
