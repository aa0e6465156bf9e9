// The API key: asked for once a call is refused without one, and kept for this tab only.

const STORED = "spatialcode-key";

export class Key {
  #dialog;
  #asking = null;

  constructor(dialog) {
    this.#dialog = dialog;
  }

  get value() {
    return sessionStorage.getItem(STORED);
  }

  get headers() {
    return this.value === null ? {} : { Authorization: `Bearer ${this.value}` };
  }

  // Ask the person for a key. True if one was given; calls refused together ask once.
  ask() {
    this.#asking ??= this.#show().finally(() => (this.#asking = null));
    return this.#asking;
  }

  #show() {
    const dialog = this.#dialog;
    const input = dialog.querySelector("input");
    dialog.querySelector("p").textContent =
      this.value === null ? "This service needs an API key." : "This API key was refused.";
    input.value = "";
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) => {
      const closed = () => {
        const given = dialog.returnValue === "use" && input.value.trim() !== "";
        if (given) sessionStorage.setItem(STORED, input.value.trim());
        input.value = "";
        resolve(given);
      };
      dialog.addEventListener("close", closed, { once: true });
    });
  }
}
