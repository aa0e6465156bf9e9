// One code on show: room, picture, slider and table, all at the same time and with the same things
// highlighted. The service's page and the exported page are both made of it.
import { Clock } from "./clock.js";
import { byId } from "./elements.js";
import { everything, isShown } from "./filter.js";
import { bestMoment } from "./moments.js";
import { ObjectTable } from "./objects.js";
import { Overlay } from "./overlay.js";
import { Room3D } from "./room3d.js";

export function summaryOf(code) {
  const { video, room, scale, provenance } = code;
  const words = [`${video.duration_s.toFixed(1)} s of ${video.width_px} × ${video.height_px} video`];
  words.push(`${code.cameras.length} frames looked at`, `${code.objects.length} objects`);
  if (room !== null) words.push(`room of ${room.area_m2.toFixed(1)} m²`);
  words.push(`scale from ${scale.source}, confidence ${scale.confidence.toFixed(2)}`);
  words.push(`encoder ${provenance.encoder}`);
  return words.join(" · ");
}

export class Viewer {
  #report;
  #screen;
  #code = null;
  #marked = new Set();
  #shown = everything();
  #overlay = new Overlay(byId("overlay"));
  #table = new ObjectTable(byId("objects"));
  #room;
  #clock;

  // `report` is told errors. `screen` is what boxes are drawn over: `screen.video` is a video
  // element or null, and `screen.show(t_s)` gives the time of the picture that it then shows.
  constructor({ report, screen, loadPlotly }) {
    this.#report = report;
    this.#screen = screen;
    this.#room = new Room3D(byId("plot"), loadPlotly);
    const [slider, now, play] = ["time", "now", "play"].map(byId);
    this.#clock = new Clock({ slider, now, play, video: screen.video });
    this.#clock.addEventListener("change", () => this.#draw());
    this.#table.addEventListener("pick", ({ detail }) => this.#toggle(detail));
    this.#room.addEventListener("pick", ({ detail }) => this.#toggle(detail));
    this.#room.addEventListener("label", ({ detail }) => this.#hide(detail));
    this.#listen();
  }

  // Show a code from `t_s` on.
  async show(name, code, t_s = 0) {
    this.#code = code;
    this.#marked = new Set();
    this.#shown.hiddenLabels.clear();
    byId("viewer").hidden = false;
    byId("title").textContent = name;
    byId("summary").textContent = summaryOf(code);
    byId("frame").style.setProperty("--ratio", String(code.video.width_px / code.video.height_px));
    this.#overlay.show(code);
    this.#table.show(code);
    this.#clock.load(code.video.duration_s, t_s);
    this.mark([]);
    try {
      await this.#room.show(code, this.#wanted());
    } catch (error) {
      this.#report(error); // everything else on the page works without the room
    }
  }

  close() {
    this.#clock.pause();
    this.#code = null;
    byId("viewer").hidden = true;
  }

  pause() {
    this.#clock.pause();
  }

  // Highlight things, and go to the time that shows them best if `jump`.
  mark(ids, jump = false) {
    this.#marked = new Set(ids);
    byId("clear").disabled = this.#marked.size === 0;
    if (jump) this.jump(ids);
    this.#draw();
  }

  jump(ids) {
    const t_s = bestMoment(this.#code, this.#code.objects.filter((item) => ids.includes(item.id)));
    if (t_s === null) return;
    this.#clock.pause();
    this.#clock.seek(t_s);
  }

  #listen() {
    byId("overview").addEventListener("click", () => this.#room.overview());
    byId("above").addEventListener("click", () => this.#room.fromAbove());
    byId("clear").addEventListener("click", () => this.mark([]));
    byId("viewer").addEventListener("keydown", ({ key }) => key === "Escape" && this.mark([]));
    byId("score").addEventListener("input", () => this.#choose());
    for (const id of ["faces", "names", "seen"]) byId(id).addEventListener("change", () => this.#choose());
    byId("inset").addEventListener("change", () => this.#place());
    new ResizeObserver(() => this.#draw()).observe(byId("overlay"));
    this.#choose();
    this.#place();
  }

  #choose() {
    this.#shown.leastScore = Number(byId("score").value) / 100;
    this.#shown.faces = byId("faces").checked;
    this.#shown.names = byId("names").checked;
    this.#shown.seenByThen = byId("seen").checked;
    byId("least").textContent = this.#shown.leastScore.toFixed(2);
    this.#draw();
  }

  // The picture beside the room, or small in its corner.
  #place() {
    byId("stage").classList.toggle("inset", byId("inset").checked);
  }

  #toggle(id) {
    if (this.#marked.has(id)) this.mark([]);
    else this.mark([id], true);
  }

  // Pressed once, a label of the legend goes or comes back; pressed twice, it is shown alone, or all.
  #hide({ label, isDouble }) {
    const hidden = this.#shown.hiddenLabels;
    const others = new Set(this.#code.objects.map((item) => item.label));
    others.delete(label);
    const isAlone = !hidden.has(label) && [...others].every((other) => hidden.has(other));
    if (isDouble) this.#shown.hiddenLabels = isAlone ? new Set() : others;
    else if (!hidden.delete(label)) hidden.add(label);
    this.#draw();
  }

  #wanted() {
    return { t_s: this.#clock.t_s, marked: this.#marked, shown: this.#shown };
  }

  #draw() {
    if (this.#code === null) return;
    const { objects } = this.#code;
    const { t_s } = this.#clock;
    const seen = objects.filter((item) => isShown(item, t_s, this.#shown)).map((item) => item.id);
    byId("count").textContent = `${seen.length} of ${objects.length} objects shown`;
    this.#table.mark(this.#marked, new Set(seen));
    this.#overlay.draw(this.#screen.show(t_s), this.#marked, this.#shown);
    this.#room.draw(this.#wanted()).catch((error) => this.#report(error));
  }
}
