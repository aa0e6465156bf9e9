// A code's video as what boxes are drawn over.
import { byId } from "./viewer/elements.js";

const UNSEEN = "The video cannot be shown: it is no longer stored, or this browser cannot play it. Its boxes are.";

export class VideoScreen {
  video = byId("video");
  #address = null; // where the page holds the video's bytes

  constructor() {
    // Without a source there is nothing that could have failed.
    this.video.addEventListener("error", () => this.video.hasAttribute("src") && this.#failed());
  }

  show(t_s) {
    return t_s; // the clock keeps video and time together
  }

  hide() {
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
    if (this.#address !== null) URL.revokeObjectURL(this.#address);
    this.#address = null;
    byId("video-note").textContent = "";
  }

  // `source`: a path of the service, or the video's bytes as a Blob; null where there is none.
  open(source) {
    if (source === null) {
      this.#failed();
      return;
    }
    if (source instanceof Blob) this.#address = URL.createObjectURL(source);
    this.video.src = this.#address ?? source;
  }

  #failed() {
    byId("video-note").textContent = UNSEEN;
  }
}
