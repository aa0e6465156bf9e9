// The service's calls. Each gives what the service answered, or throws a Problem.
import { problemOf, unreachable } from "./problem.js";

export class Api {
  #key;

  constructor(key) {
    this.#key = key;
  }

  get hasKey() {
    return this.#key.value !== null;
  }

  list(after = null) {
    const query = new URLSearchParams({ limit: "20", ...(after === null ? {} : { after }) });
    return this.#json(`/v1/codes?${query}`);
  }

  code(id, signal) {
    return this.#json(`/v1/codes/${id}`, { signal });
  }

  addFromUrl(url) {
    return this.#json("/v1/codes", this.#posting({ url }));
  }

  ask(body) {
    return this.#json("/v1/ask", this.#posting(body));
  }

  models() {
    return this.#json("/v1/models");
  }

  async remove(id) {
    await this.#call(`/v1/codes/${id}`, { method: "DELETE" });
  }

  async file(id, format) {
    return (await this.#call(`/v1/codes/${id}?format=${encodeURIComponent(format)}`)).blob();
  }

  async video(id) {
    return (await this.#call(this.videoPath(id))).blob();
  }

  videoPath(id) {
    return `/v1/codes/${id}/video`;
  }

  // Upload a file; `progress` is told the share that has been sent, 0 to 1. Only XMLHttpRequest
  // tells that.
  async upload(file, progress, signal) {
    for (;;) {
      const answer = await this.#send(file, progress, signal);
      if (answer.status === 401 && (await this.#key.ask())) continue;
      if (answer.status < 200 || answer.status > 299) {
        throw problemOf(answer.status, answer.responseText, answer.getResponseHeader("Retry-After"));
      }
      return JSON.parse(answer.responseText);
    }
  }

  #send(file, progress, signal) {
    const form = new FormData();
    form.append("video", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/codes");
    for (const [name, value] of Object.entries(this.#key.headers)) request.setRequestHeader(name, value);
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    return new Promise((resolve, reject) => {
      request.upload.addEventListener("progress", (event) => {
        if (event.lengthComputable) progress(event.loaded / event.total);
      });
      request.addEventListener("load", () => resolve(request));
      request.addEventListener("error", () => reject(unreachable()));
      request.addEventListener("abort", () => reject(new DOMException("Given up", "AbortError")));
      request.send(form);
    });
  }

  #posting(body) {
    return {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    };
  }

  async #json(path, options) {
    return (await this.#call(path, options)).json();
  }

  async #call(path, options = {}) {
    for (;;) {
      const headers = { ...options.headers, ...this.#key.headers };
      let answer;
      try {
        answer = await fetch(path, { ...options, headers });
      } catch (error) {
        throw error.name === "AbortError" ? error : unreachable();
      }
      if (answer.ok) return answer;
      if (answer.status === 401 && (await this.#key.ask())) continue;
      throw problemOf(answer.status, await answer.text(), answer.headers.get("Retry-After"));
    }
  }
}
