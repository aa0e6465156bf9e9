// The table of a code's objects. Pressing one highlights it; pressing it again ends that.
import { make, span, swatch } from "./elements.js";
import { labelColor } from "./palette.js";

export class ObjectTable extends EventTarget {
  #body;
  #buttons = new Map();

  constructor(body) {
    super();
    this.#body = body;
  }

  show(code) {
    this.#buttons.clear();
    this.#body.replaceChildren(...code.objects.map((item) => this.#row(item)));
    if (code.objects.length === 0) {
      const words = "No object was found in this video.";
      this.#body.append(make("tr", {}, make("td", { colspan: "4", text: words })));
    }
  }

  mark(marked) {
    for (const [id, button] of this.#buttons) {
      button.setAttribute("aria-pressed", String(marked.has(id)));
      button.closest("tr").classList.toggle("marked", marked.has(id));
    }
  }

  #row(item) {
    const pressed = () => this.dispatchEvent(new CustomEvent("pick", { detail: item.id }));
    const button = make("button", { type: "button", "aria-pressed": "false", text: item.id, click: pressed });
    this.#buttons.set(item.id, button);
    const size = item.size_m.map((extent) => extent.toFixed(2)).join(" × ");
    return make(
      "tr",
      {},
      make("td", {}, swatch(labelColor(item.label)), button, item.motion === "moving" ? " moves" : ""),
      make("td", { class: "number", text: item.score.toFixed(2) }),
      make("td", { class: "number", text: size }),
      make("td", { class: "number", text: span(item) }),
    );
  }
}
