// One colour per category: a label looks alike in every page, model and video, since Python reads
// the same palette.json. Labels beyond it get a colour from a hash of their text.
import palette from "./palette.json" with { type: "json" };
import { sha256 } from "./sha256.js";

const css = (rgb) => `rgb(${rgb.join(",")})`;

export const [CAMERA_COLOR, OUTLINE_COLOR, FLOOR_COLOR] = [palette.camera, palette.outline, palette.floor].map(css);

export function labelRgb(label) {
  if (Object.hasOwn(palette.labels, label)) return palette.labels[label];
  return sha256(label).slice(0, 3).map((byte) => 60 + (byte % 160));
}

export const labelColor = (label) => css(labelRgb(label));

// Black or white, whichever is further from the colour's luminance (Rec. 601).
export function inkOn(label) {
  const [red, green, blue] = labelRgb(label);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#000" : "#fff";
}
