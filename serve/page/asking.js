// The question form and the answer with its evidence.
import { byId, make, span } from "./viewer/elements.js";
import { suggestions } from "./suggestions.js";

const lines = (text) => text.split("\n").map((line) => line.trim()).filter((line) => line !== "");

function sureness(answer) {
  const words = [answer.grounded ? "Grounded in the code" : "A guess: not all of it is in the code"];
  if (typeof answer.verified === "boolean") {
    words.push(answer.verified ? "every claim recomputes" : "not every claim recomputes");
  }
  if (typeof answer.confidence === "number") words.push(`confidence ${answer.confidence.toFixed(2)}`);
  words.push(`by the ${answer.reasoner}`);
  return `${words.join(", ")}.`;
}

// Events: "answer" with the ids of its evidence, "moment" with the id of one thing to look at.
export class Asking extends EventTarget {
  #api;
  #report;
  #id = null;

  // `report` is told a Problem, or null once a call begins.
  constructor(api, report) {
    super();
    this.#api = api;
    this.#report = report;
    byId("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
  }

  show(id, code) {
    this.#id = id;
    byId("answer").replaceChildren();
    byId("evidence").replaceChildren();
    byId("suggestions").replaceChildren(...suggestions(code).map((question) => this.#suggestion(question)));
  }

  // Offer the reasoners that the service has; the solver is always there.
  async findReasoners() {
    const { data } = await this.#api.models();
    const found = data.map(({ id }) => id.replace(/^spatialcode-/, ""));
    const names = ["solver", ...found.filter((name) => ["program", "text"].includes(name))];
    const shown = { solver: "the exact solver", program: "a model that writes programs", text: "a model in words" };
    byId("reasoner").replaceChildren(...names.map((name) => make("option", { value: name, text: shown[name] })));
  }

  #suggestion(question) {
    const asked = () => {
      byId("question").value = question;
      byId("options").value = "";
      this.#ask();
    };
    return make("li", {}, make("button", { type: "button", text: question, click: asked }));
  }

  async #ask() {
    const id = this.#id;
    this.#report(null);
    byId("ask-button").disabled = true;
    byId("answer").replaceChildren(make("p", { text: "Thinking …" }));
    byId("evidence").replaceChildren();
    try {
      const answer = await this.#api.ask({
        question: byId("question").value.trim(),
        options: lines(byId("options").value),
        code_id: id,
        reasoner: byId("reasoner").value || "solver",
        num_samples: Number(byId("samples").value) || 1,
      });
      if (id === this.#id) this.#showAnswer(answer);
    } catch (error) {
      byId("answer").replaceChildren();
      this.#report(error);
    } finally {
      byId("ask-button").disabled = false;
    }
  }

  #showAnswer(answer) {
    const { text, objects } = answer.evidence;
    const doubts = answer.doubts ?? [];
    byId("answer").replaceChildren(
      make("p", { class: "answer", text: answer.answer }),
      make("p", { class: "soft", text: sureness(answer) }),
      ...doubts.map((doubt) => make("p", { class: "soft", text: `Doubt: ${doubt}` })),
    );
    byId("evidence").replaceChildren(
      make("ul", { class: "steps", "aria-label": "Reasoning" }, ...text.map((line) => make("li", { text: line }))),
      make("ul", { class: "chips", "aria-label": "Seen in the video" }, ...objects.map((item) => this.#chip(item))),
    );
    this.dispatchEvent(new CustomEvent("answer", { detail: objects.map(({ id }) => id) }));
  }

  #chip(item) {
    const jump = () => this.dispatchEvent(new CustomEvent("moment", { detail: item.id }));
    return make("li", {}, make("button", { type: "button", text: `${item.id}: ${span(item)}`, click: jump }));
  }
}
