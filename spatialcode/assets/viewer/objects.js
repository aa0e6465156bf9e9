// The table of a code's objects. Pressing one highlights it; pressing it again ends that.
import { make, span, swatch } from "./elements.js";
import { labelColor } from "./palette.js";
import { yawOf } from "./rotations.js";

const numbers = (values) => values.map((value) => (value + 0).toFixed(2)).join(", ");

// The texts of an object's row after its id.
export function cellsOf(item) {
  const yaw_deg = Math.round((180 / Math.PI) * yawOf(item.quaternion_wxyz)) + 0;
  const label = item.motion === "moving" ? `${item.label} · moving` : item.label;
  return [label, item.score.toFixed(2), numbers(item.center_m), numbers(item.size_m), String(yaw_deg), span(item)];
}

export class ObjectTable extends EventTarget {
  #body;
  #buttons = new Map();
  #state = "";

  constructor(body) {
    super();
    this.#body = body;
  }

  show(code) {
    this.#buttons.clear();
    this.#state = "";
    this.#body.replaceChildren(...code.objects.map((item) => this.#row(item)));
    if (code.objects.length === 0) {
      const words = "No object was found in this video.";
      this.#body.append(make("tr", {}, make("td", { colspan: "7", text: words })));
    }
  }

  // `marked` ids are highlighted; all but the `seen` ones step back. The page is touched only where
  // something has changed: this is called for every picture of a playing video.
  mark(marked, seen) {
    const state = JSON.stringify([[...marked], [...seen]]);
    if (state === this.#state) return;
    this.#state = state;
    for (const [id, button] of this.#buttons) {
      button.setAttribute("aria-pressed", String(marked.has(id)));
      button.closest("tr").classList.toggle("marked", marked.has(id));
      button.closest("tr").classList.toggle("unseen", !seen.has(id));
    }
  }

  #row(item) {
    const pressed = () => this.dispatchEvent(new CustomEvent("pick", { detail: item.id }));
    const button = make("button", { type: "button", "aria-pressed": "false", text: item.id, click: pressed });
    this.#buttons.set(item.id, button);
    const [label, ...figures] = cellsOf(item);
    return make(
      "tr",
      {},
      make("td", {}, swatch(labelColor(item.label)), button),
      make("td", { text: label }),
      ...figures.map((text) => make("td", { class: "number", text })),
    );
  }
}
