// Small ways to make and find elements. Texts are set as texts, never as markup.

export const byId = (id) => document.getElementById(id);

// An element with attributes (`text` is its text, functions are event listeners) and children.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function swatch(color) {
  const square = make("span", { class: "swatch", "aria-hidden": "true" });
  square.style.backgroundColor = color;
  return square;
}

export const seconds = (t_s) => `${t_s.toFixed(1)} s`;
export const span = (item) => `${item.first_seen_s.toFixed(1)}–${item.last_seen_s.toFixed(1)} s`;
