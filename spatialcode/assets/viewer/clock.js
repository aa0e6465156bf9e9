// The one time that the room, the video and the slider share. While the video plays it leads;
// without a video (null, or one that cannot be shown) the clock runs by itself. Seconds from the video's first frame, which is where
// browsers start to count, too.

export class Clock extends EventTarget {
  #slider;
  #now;
  #play;
  #video;
  #hasVideo = false;
  #duration_s = 0;
  #wanted_s = null; // where a seek under way goes
  #startedAt = null; // time of the page at which second 0 would have been, while running alone
  t_s = 0;

  constructor({ slider, now, play, video }) {
    super();
    this.#slider = slider;
    this.#now = now;
    this.#play = play;
    this.#video = video;
    slider.addEventListener("input", () => this.seek(Number(slider.value)));
    play.addEventListener("click", () => (this.isPlaying ? this.pause() : this.start()));
    if (video !== null) this.#follow();
  }

  get isPlaying() {
    return this.#hasVideo ? !this.#video.paused && !this.#video.ended : this.#startedAt !== null;
  }

  // Begin anew with a code of this length, at `t_s`.
  load(duration_s, t_s = 0) {
    this.pause();
    this.#hasVideo = false;
    this.#wanted_s = null;
    this.#duration_s = duration_s;
    this.#slider.max = String(Math.max(0.1, duration_s));
    this.seek(t_s);
  }

  start() {
    if (this.t_s >= this.#duration_s - 0.05) this.seek(0);
    if (this.#hasVideo) {
      this.#video.play().catch(() => this.#showState());
      return;
    }
    this.#startedAt = performance.now() - 1000 * this.t_s;
    this.#showState();
    requestAnimationFrame(() => this.#runAlone());
  }

  pause() {
    this.#startedAt = null;
    this.#video?.pause();
    this.#showState();
  }

  seek(t_s) {
    const target_s = Math.min(Math.max(t_s, 0), this.#duration_s);
    if (this.#startedAt !== null) this.#startedAt = performance.now() - 1000 * target_s;
    if (this.#hasVideo) {
      // A seek begun while another is under way would be dropped by some browsers.
      const isFree = this.#wanted_s === null;
      this.#wanted_s = Math.min(target_s, this.#video.duration || Infinity);
      if (isFree) this.#video.currentTime = this.#wanted_s;
    }
    this.#set(target_s);
  }

  #arrived() {
    const wanted_s = this.#wanted_s;
    this.#wanted_s = null;
    if (wanted_s !== null && Math.abs(this.#video.currentTime - wanted_s) > 0.02 && !this.#video.ended) {
      this.seek(wanted_s);
    }
  }

  // Let the video lead once it can be shown. Every picture of it tells the time that it belongs to,
  // where the browser can say that.
  #follow() {
    const video = this.#video;
    for (const name of ["play", "pause", "ended"]) video.addEventListener(name, () => this.#showState());
    video.addEventListener("seeked", () => this.#arrived());
    video.addEventListener("loadeddata", () => {
      this.#hasVideo = true;
      this.seek(this.t_s);
    });
    const tell = (t_s) => {
      if (this.#hasVideo && this.#wanted_s === null && this.isPlaying) this.#set(t_s);
    };
    if (video.requestVideoFrameCallback === undefined) {
      video.addEventListener("timeupdate", () => tell(video.currentTime));
      return;
    }
    const shown = (_, frame) => {
      tell(frame.mediaTime);
      video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback(shown);
  }

  #runAlone() {
    if (this.#startedAt === null) return;
    const t_s = (performance.now() - this.#startedAt) / 1000;
    this.#set(Math.min(t_s, this.#duration_s));
    if (t_s >= this.#duration_s) this.pause();
    else requestAnimationFrame(() => this.#runAlone());
  }

  #set(t_s) {
    this.t_s = t_s;
    this.#slider.value = String(t_s);
    const words = `${t_s.toFixed(2)} s`;
    this.#now.textContent = words;
    this.#slider.setAttribute("aria-valuetext", words);
    this.dispatchEvent(new Event("change"));
  }

  #showState() {
    this.#play.textContent = this.isPlaying ? "Pause" : "Play";
  }
}
