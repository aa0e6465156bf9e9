// The room in 3D: draws a code's traces with plotly, and lets mouse, finger and keys look around.
import { layoutOf, tracesAt } from "./figure.js";

const OVERVIEW = { x: -1.15, y: -1.5, z: 1.2 };
const FROM_ABOVE = { x: 0, y: -0.01, z: 1.9 };
const CENTER = { x: 0, y: 0, z: -0.15 };
// Redrawing the room is slow on a machine without a graphics card; the video is to stay smooth.
const LEAST_PAUSE_MS = 120;

let loading = null;

// Plotly's 5 MB are fetched once, and only when there is a room to show.
function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/page/plotly.min.js";
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => {
      loading = null;
      reject(new Error("The 3D view could not be loaded."));
    });
    document.head.append(script);
  });
  return loading;
}

export class Room3D extends EventTarget {
  #plot;
  #code = null;
  #layout = null;
  #picked = {};
  #eye = OVERVIEW;
  #wanted = null; // the newest time and highlight not yet drawn
  #isDrawing = false;
  #numShown = 0;

  constructor(plot) {
    super();
    this.#plot = plot;
    plot.addEventListener("keydown", (event) => this.#steer(event));
    new ResizeObserver(() => {
      if (plot.data !== undefined && plot.clientWidth > 0) window.Plotly.Plots.resize(plot);
    }).observe(plot);
  }

  // Show another code, seen from the start position.
  async show(code, t_s, marked) {
    this.#code = code;
    this.#eye = OVERVIEW;
    // plotly keeps where the user looks from for as long as this name stays.
    this.#layout = { ...layoutOf(code, OVERVIEW, CENTER), uirevision: ++this.#numShown };
    await plotly();
    await this.draw(t_s, marked);
  }

  // Draw a time and a highlight; where calls come faster than drawing, only the newest is drawn.
  async draw(t_s, marked) {
    this.#wanted = { t_s, marked };
    if (this.#isDrawing || this.#layout === null || window.Plotly === undefined) return;
    this.#isDrawing = true;
    try {
      while (this.#wanted !== null) {
        const wanted = this.#wanted;
        this.#wanted = null;
        await this.#drawNow(wanted);
        await new Promise((resolve) => setTimeout(resolve, LEAST_PAUSE_MS));
      }
    } finally {
      this.#isDrawing = false;
    }
  }

  overview() {
    return this.#look(OVERVIEW);
  }

  fromAbove() {
    return this.#look(FROM_ABOVE);
  }

  async #drawNow({ t_s, marked }) {
    const { data, picked } = tracesAt(this.#code, t_s, marked);
    this.#picked = picked;
    const options = {
      displaylogo: false,
      scrollZoom: true,
      responsive: false,
      modeBarButtons: [["toImage", "zoom3d", "pan3d", "resetCameraDefault3d"]],
    };
    const isFirst = this.#plot.data === undefined;
    await window.Plotly.react(this.#plot, data, this.#layout, options);
    if (isFirst) this.#listen();
  }

  #listen() {
    this.#plot.on("plotly_click", ({ points: [point] }) => {
      const ids = this.#picked[point.data.name];
      if (ids !== undefined) {
        this.dispatchEvent(new CustomEvent("pick", { detail: ids[Math.floor(point.pointNumber / 8)] }));
      }
    });
    this.#plot.on("plotly_relayout", (changed) => {
      this.#eye = changed["scene.camera"]?.eye ?? this.#eye;
    });
  }

  async #look(eye) {
    if (window.Plotly === undefined || this.#plot.data === undefined) return;
    this.#eye = eye;
    const camera = { eye, up: { x: 0, y: 0, z: 1 }, center: CENTER };
    await window.Plotly.relayout(this.#plot, { "scene.camera": camera });
  }

  #steer(event) {
    const eye = this.#eye;
    const across = Math.hypot(eye.x, eye.y);
    let [turn, tilt, reach] = [Math.atan2(eye.y, eye.x), Math.atan2(eye.z, across), Math.hypot(across, eye.z)];
    if (event.key === "ArrowLeft") turn -= 0.1;
    else if (event.key === "ArrowRight") turn += 0.1;
    else if (event.key === "ArrowUp") tilt = Math.min(tilt + 0.1, 1.5);
    else if (event.key === "ArrowDown") tilt = Math.max(tilt - 0.1, -0.5);
    else if (event.key === "+" || event.key === "=") reach /= 1.1;
    else if (event.key === "-") reach *= 1.1;
    else return;
    event.preventDefault();
    const flat = reach * Math.cos(tilt);
    this.#look({ x: flat * Math.cos(turn), y: flat * Math.sin(turn), z: reach * Math.sin(tilt) });
  }
}
