// The room in 3D: draws a code's traces with plotly, and lets mouse, finger and keys look around.
import { layoutOf, tracesAt } from "./figure.js";

const OVERVIEW = { x: -1.15, y: -1.5, z: 1.2 };
const FROM_ABOVE = { x: 0, y: -0.01, z: 1.9 };
const CENTER = { x: 0, y: 0, z: -0.15 };
// Redrawing the room is slow on a machine without a graphics card; the video is to stay smooth.
const LEAST_PAUSE_MS = 120;

// In a narrower plot the legend would hide the room.
const LEAST_LEGEND_PX = 600;

// Events: "pick" with the id of a box, "label" with a label of the legend and whether it was pressed
// twice.
export class Room3D extends EventTarget {
  #plot;
  #loadPlotly;
  #code = null;
  #layout = null;
  #picked = {};
  #eye = OVERVIEW;
  #wanted = null; // the newest that is not yet drawn
  #isDrawing = false;
  #numShown = 0;

  // `loadPlotly`: an async function after which there is `window.Plotly`.
  constructor(plot, loadPlotly) {
    super();
    this.#plot = plot;
    this.#loadPlotly = loadPlotly;
    plot.addEventListener("keydown", (event) => this.#steer(event));
    new ResizeObserver(() => {
      if (plot.data !== undefined && plot.clientWidth > 0) window.Plotly.Plots.resize(plot);
    }).observe(plot);
  }

  // Show another code, seen from the start position.
  async show(code, wanted) {
    this.#code = code;
    this.#eye = OVERVIEW;
    // plotly keeps where the user looks from for as long as this name stays.
    this.#layout = { ...layoutOf(code, OVERVIEW, CENTER), uirevision: ++this.#numShown };
    await this.#loadPlotly();
    await this.draw(wanted);
  }

  // Draw { t_s, marked, shown } (see tracesAt); where calls come faster than drawing, only the newest
  // is drawn.
  async draw(wanted) {
    this.#wanted = wanted;
    if (this.#isDrawing || this.#layout === null || window.Plotly === undefined) return;
    this.#isDrawing = true;
    try {
      while (this.#wanted !== null) {
        const newest = this.#wanted;
        this.#wanted = null;
        await this.#drawNow(newest);
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

  async #drawNow({ t_s, marked, shown }) {
    const { data, legend, picked } = tracesAt(this.#code, t_s, marked, shown);
    this.#picked = picked;
    const options = {
      displaylogo: false,
      scrollZoom: true,
      responsive: false,
      modeBarButtons: [["toImage", "zoom3d", "pan3d", "resetCameraDefault3d"]],
    };
    const isWide = this.#plot.clientWidth >= LEAST_LEGEND_PX;
    this.#layout.showlegend = isWide;
    const isFirst = this.#plot.data === undefined;
    await window.Plotly.react(this.#plot, isWide ? [...data, ...legend] : data, this.#layout, options);
    if (isFirst) this.#listen();
  }

  #listen() {
    this.#plot.on("plotly_click", ({ points: [point] }) => {
      const ids = this.#picked[point.data.name];
      if (ids !== undefined) {
        this.dispatchEvent(new CustomEvent("pick", { detail: ids[Math.floor(point.pointNumber / 8)] }));
      }
    });
    for (const [name, isDouble] of [["plotly_legendclick", false], ["plotly_legenddoubleclick", true]]) {
      this.#plot.on(name, ({ data, curveNumber }) => {
        const { label } = data[curveNumber].meta;
        this.dispatchEvent(new CustomEvent("label", { detail: { label, isDouble } }));
        return false; // what is hidden is redrawn from here
      });
    }
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
