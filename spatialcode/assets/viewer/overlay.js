// Boxes drawn over the video, while their object is in view by the code's own account (first to
// last sight), through whatever stands before them: a code holds no surfaces to hide them behind.
import { isChosen } from "./filter.js";
import { CameraMotion, objectPose } from "./motion.js";
import { inkOn, labelColor } from "./palette.js";
import { projectSegments } from "./projection.js";
import { boxPoints, edgesOf } from "./wire.js";

const LEAST_NAMED_PX = 300;

function segmentsOf(item, t_s) {
  const points = boxPoints(item, objectPose(item, t_s));
  return edgesOf(item.label).map(([from, to]) => [points[from], points[to]]);
}

const meanDepth = (lines) => lines.reduce((sum, line) => sum + line.depth_m, 0) / lines.length;

export class Overlay {
  #canvas;
  #code = null;

  constructor(canvas) {
    this.#canvas = canvas;
  }

  show(code) {
    this.#code = code;
  }

  // Draw what the code knows at `t_s`; `marked` ids stand out and the others step back. `shown`: see
  // filter.js.
  draw(t_s, marked, shown) {
    if (this.#code === null) return;
    const context = this.#cleared();
    const drawn = this.#inView(t_s, shown);
    for (const { item, lines } of drawn) {
      const isMarked = marked.has(item.id);
      context.globalAlpha = marked.size > 0 && !isMarked ? 0.35 : 1;
      if (isMarked) this.#stroke(context, lines, "#fff", 6);
      this.#stroke(context, lines, labelColor(item.label), isMarked ? 3 : 0);
    }
    const isLarge = this.#canvas.clientWidth >= LEAST_NAMED_PX; // else names hide what they name
    for (const { item, lines } of isLarge && shown.names ? drawn : []) {
      context.globalAlpha = marked.size > 0 && !marked.has(item.id) ? 0.35 : 1;
      this.#name(context, lines, item);
    }
    this.#describe(drawn.map(({ item }) => item.id), marked);
  }

  // Objects with the visible parts of their boxes, the farthest first.
  #inView(t_s, shown) {
    const path = CameraMotion.of(this.#code);
    const camera = path.at(t_s);
    if (camera === null) return [];
    const lasts_s = path.sightLasts_s;
    return this.#code.objects
      .filter((item) => isChosen(item, shown))
      .filter((item) => item.first_seen_s <= t_s && t_s < item.last_seen_s + lasts_s)
      .map((item) => ({ item, lines: projectSegments(segmentsOf(item, t_s), camera) }))
      .filter(({ lines }) => lines.length > 0)
      .sort((a, b) => meanDepth(b.lines) - meanDepth(a.lines));
  }

  // The canvas as many pixels as it has on the screen, in units of CSS pixels.
  #cleared() {
    const canvas = this.#canvas;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * ratio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    context.lineCap = "round";
    return context;
  }

  #onCanvas([u, v]) {
    const { width_px, height_px } = this.#code.video;
    return [(u * this.#canvas.clientWidth) / width_px, (v * this.#canvas.clientHeight) / height_px];
  }

  #stroke(context, lines, color, extra_px) {
    context.strokeStyle = color;
    for (const { pixels, depth_m } of lines) {
      // One hundredth of the height at one metre, thinner with distance.
      const thickness = (0.01 * this.#canvas.clientHeight) / depth_m;
      context.lineWidth = Math.min(Math.max(thickness, 1.2), 4) + extra_px;
      context.beginPath();
      context.moveTo(...this.#onCanvas(pixels[0]));
      context.lineTo(...this.#onCanvas(pixels[1]));
      context.stroke();
    }
  }

  // The id in a filled tag, over the middle of the box's visible part, at its upper end.
  #name(context, lines, item) {
    const ends = lines.flatMap(({ pixels }) => pixels.map((pixel) => this.#onCanvas(pixel)));
    context.font = "12px system-ui, sans-serif";
    const width = context.measureText(item.id).width + 8;
    const middle = ends.reduce((sum, [x]) => sum + x, 0) / ends.length;
    const top = Math.min(...ends.map(([, y]) => y));
    const x = Math.min(Math.max(middle - width / 2, 2), Math.max(2, this.#canvas.clientWidth - width - 2));
    const y = Math.min(Math.max(top - 18, 2), Math.max(2, this.#canvas.clientHeight - 18));
    context.fillStyle = labelColor(item.label);
    context.fillRect(x, y, width, 16);
    context.fillStyle = inkOn(item.label);
    context.textBaseline = "middle";
    context.fillText(item.id, x + 4, y + 8.5);
  }

  #describe(ids, marked) {
    const words = ids.length === 0 ? "No box in view" : `Boxes in view: ${ids.toSorted().join(", ")}`;
    const lit = ids.filter((id) => marked.has(id)).toSorted();
    const label = lit.length === 0 ? words : `${words}. Highlighted: ${lit.join(", ")}`;
    if (this.#canvas.getAttribute("aria-label") !== label) this.#canvas.setAttribute("aria-label", label);
  }
}
