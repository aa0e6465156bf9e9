// From a chosen video to a stored code: sends it, then follows its job until it is done.
import { byId } from "./viewer/elements.js";
import { Problem } from "./problem.js";

const POLL_MS = 700;
const STAGES = ["uploading", "queued", "decoding", "encoding", "done"];
const WORDS = {
  uploading: "Uploading",
  queued: "Waiting for a free encoder",
  decoding: "Decoding",
  encoding: "Encoding",
  done: "Done",
};

const pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("Given up", "AbortError"));
    };
    signal.addEventListener("abort", stop, { once: true });
  });

// Why a failed job failed.
export function failureOf(job) {
  const { title, detail } = job.error ?? {};
  const name = job.video?.name || "This video";
  const words = `${name}: ${title ?? "encoding failed"}: ${detail || "no reason given"}`;
  return new Problem(words.replace(/\.?$/, "."), 422);
}

// Of a stage's frames: { share: 0 to 1 or null, figures }.
function countOf(job) {
  const done = { decoding: job.frames_decoded, encoding: job.frames_encoded }[job.status];
  if (done === undefined || !job.frames_total) return { share: null, figures: "" };
  return { share: done / job.frames_total, figures: `${done} of ${job.frames_total} frames` };
}

// Events: "change" when the list of stored codes has changed, "done" with a job and its code.
export class Encoding extends EventTarget {
  #api;
  #report;
  #current = null; // AbortController of what is being sent or followed
  #announced = "";
  #files = new Map();

  constructor(api, report) {
    super();
    this.#api = api;
    this.#report = report;
    byId("stop").addEventListener("click", () => this.stop());
  }

  // The file that a code was made of, where this page has sent it.
  fileOf(id) {
    return this.#files.get(id);
  }

  // Leave what is being sent or followed. A job that the service has goes on there.
  stop() {
    this.#current?.abort();
    this.#current = null;
    byId("progress").hidden = true;
  }

  upload(file) {
    return this.#run(file.name, async (signal) => {
      this.#show("uploading", 0, "0 %");
      const tell = (share) => this.#show("uploading", share, `${Math.floor(100 * share)} %`);
      const job = await this.#api.upload(file, tell, signal);
      this.#files.set(job.id, file);
      return job.id;
    });
  }

  fetchFrom(url) {
    return this.#run(url, async () => {
      this.#show("uploading", null, "the service fetches it");
      return (await this.#api.addFromUrl(url)).id;
    });
  }

  follow(id, name) {
    return this.#run(name, async () => id);
  }

  async #run(name, begin) {
    this.stop();
    this.#report(null);
    const controller = new AbortController();
    this.#current = controller;
    this.#announced = "";
    byId("progress-name").textContent = name;
    byId("progress").hidden = false;
    try {
      const id = await begin(controller.signal);
      this.dispatchEvent(new Event("change"));
      const job = await this.#followed(id, controller.signal);
      this.#show("done", 1, "");
      this.dispatchEvent(new CustomEvent("done", { detail: job }));
    } catch (error) {
      if (error.name !== "AbortError") this.#report(error);
    } finally {
      if (this.#current === controller) this.stop();
      this.dispatchEvent(new Event("change"));
    }
  }

  async #followed(id, signal) {
    for (;;) {
      let wait_ms = POLL_MS;
      try {
        const job = await this.#api.code(id, signal);
        if (job.status === "done") return job;
        if (job.status === "failed") throw failureOf(job);
        const { share, figures } = countOf(job);
        this.#show(job.status, share, figures);
      } catch (error) {
        if (!error.isPassing) throw error;
        wait_ms = 1000 * (error.retryAfter_s ?? 2);
        byId("progress-figures").textContent = "no answer from the service; still trying";
      }
      await pause(wait_ms, signal);
    }
  }

  // Stages are announced to screen readers; the figures, which change often, are not.
  #show(stage, share, figures) {
    if (stage !== this.#announced) byId("progress-stage").textContent = WORDS[stage];
    this.#announced = stage;
    byId("progress-figures").textContent = figures;
    const bar = byId("progress-bar");
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
    const at = STAGES.indexOf(stage);
    [...byId("progress-steps").children].forEach((step, i) => {
      step.classList.toggle("past", i < at);
      if (i === at) step.setAttribute("aria-current", "step");
      else step.removeAttribute("aria-current");
    });
  }
}
