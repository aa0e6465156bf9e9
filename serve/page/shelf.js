// The list of stored codes, newest first.
import { byId, make } from "./viewer/elements.js";

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const nameOf = (job) => job.video?.name || job.id.slice(0, 12);

// Events: "pick" with the job that was chosen.
export class Shelf extends EventTarget {
  #api;
  #report;
  #chosen = null;
  #next = null;
  #buttons = new Map();

  constructor(api, report) {
    super();
    this.#api = api;
    this.#report = report;
    byId("more").addEventListener("click", () => this.#load(this.#next));
  }

  refresh() {
    return this.#load(null);
  }

  choose(id) {
    this.#chosen = id;
    for (const [of, button] of this.#buttons) {
      if (of === id) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  async #load(after) {
    let page;
    try {
      page = await this.#api.list(after);
    } catch (error) {
      this.#report(error);
      return;
    }
    const list = byId("stored");
    const focused = [...this.#buttons].find(([, button]) => button === document.activeElement)?.[0];
    if (after === null) {
      list.replaceChildren();
      this.#buttons.clear();
    }
    list.append(...page.items.map((job) => this.#entry(job)));
    this.#buttons.get(focused)?.focus(); // a new list takes no one's place on the page away
    this.#next = page.next;
    byId("more").hidden = page.next === null;
    byId("none").hidden = list.children.length > 0;
    this.choose(this.#chosen);
  }

  #entry(job) {
    const pick = () => this.dispatchEvent(new CustomEvent("pick", { detail: job }));
    const state = job.status === "done" ? day.format(1000 * job.created_s) : job.status;
    const words = [make("span", { class: "name", text: nameOf(job) }), make("span", { class: "soft", text: state })];
    const button = make("button", { type: "button", click: pick }, ...words);
    this.#buttons.set(job.id, button);
    return make("li", {}, button);
  }
}
