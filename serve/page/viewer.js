// One code on show: room, video, slider and table, all at the same time and with the same things
// highlighted.
import { Clock } from "./clock.js";
import { byId } from "./elements.js";
import { bestMoment } from "./moments.js";
import { ObjectTable } from "./objects.js";
import { Overlay } from "./overlay.js";
import { Room3D } from "./room3d.js";

const UNSEEN = "The video cannot be shown: it is no longer stored, or this browser cannot play it. Its boxes are.";

function summaryOf(code) {
  const { video, room, scale } = code;
  const words = [`${video.duration_s.toFixed(1)} s`, `${video.width_px} × ${video.height_px}`];
  words.push(`${code.objects.length} objects`, `${code.cameras.length} frames looked at`);
  if (room !== null) words.push(`room of ${room.area_m2.toFixed(1)} m²`);
  words.push(`scale from ${scale.source}, confidence ${scale.confidence.toFixed(2)}`);
  return words.join(" · ");
}

export class Viewer {
  #report;
  #code = null;
  #marked = new Set();
  #address = null; // of the video, where the page holds its bytes
  #video = byId("video");
  #overlay = new Overlay(byId("overlay"));
  #room = new Room3D(byId("plot"));
  #table = new ObjectTable(byId("objects"));
  #clock;

  constructor(report) {
    this.#report = report;
    this.#clock = new Clock({
      slider: byId("time"),
      now: byId("now"),
      play: byId("play"),
      video: this.#video,
    });
    this.#clock.addEventListener("change", () => this.#draw());
    this.#video.addEventListener("loadeddata", () => this.#clock.useVideo());
    this.#video.addEventListener("error", () => this.#videoFailed());
    this.#table.addEventListener("pick", ({ detail }) => this.#toggle(detail));
    this.#room.addEventListener("pick", ({ detail }) => this.#toggle(detail));
    byId("overview").addEventListener("click", () => this.#room.overview());
    byId("above").addEventListener("click", () => this.#room.fromAbove());
    byId("clear").addEventListener("click", () => this.mark([]));
    byId("stage").addEventListener("keydown", ({ key }) => key === "Escape" && this.mark([]));
    new ResizeObserver(() => this.#draw()).observe(byId("overlay"));
  }

  // Show a code; its video is shown once `showVideo` says where it is.
  async show(name, code) {
    this.hideVideo();
    this.#code = code;
    this.#marked = new Set();
    byId("viewer").hidden = false;
    byId("title").textContent = name;
    byId("summary").textContent = summaryOf(code);
    byId("frame").style.setProperty("--ratio", String(code.video.width_px / code.video.height_px));
    this.#overlay.show(code);
    this.#table.show(code);
    this.#clock.load(code.video.duration_s);
    this.mark([]);
    try {
      await this.#room.show(code, this.#clock.t_s, this.#marked);
    } catch (error) {
      this.#report(error); // everything else on the page works without the room
    }
  }

  close() {
    this.hideVideo();
    this.#code = null;
    byId("viewer").hidden = true;
  }

  hideVideo() {
    this.#clock.pause();
    this.#video.removeAttribute("src");
    this.#video.load();
    if (this.#address !== null) URL.revokeObjectURL(this.#address);
    this.#address = null;
    byId("video-note").textContent = "";
  }

  // `source`: a path of the service, or the video's bytes as a Blob; null where there is none.
  showVideo(source) {
    if (source === null) {
      this.#videoFailed();
      return;
    }
    if (source instanceof Blob) this.#address = URL.createObjectURL(source);
    this.#video.src = this.#address ?? source;
  }

  // Highlight things, and go to the time that shows them best if `jump`.
  mark(ids, jump = false) {
    this.#marked = new Set(ids);
    this.#table.mark(this.#marked);
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

  #toggle(id) {
    if (this.#marked.has(id)) this.mark([]);
    else this.mark([id], true);
  }

  #draw() {
    if (this.#code === null) return;
    this.#overlay.draw(this.#clock.t_s, this.#marked);
    this.#room.draw(this.#clock.t_s, this.#marked).catch((error) => this.#report(error));
  }

  #videoFailed() {
    if (this.#code !== null) byId("video-note").textContent = UNSEEN;
  }
}
