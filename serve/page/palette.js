// One colour per category, the same as in spatialcode/export/palette.py: a label looks alike in
// every page and video. Labels beyond the list get a colour from a hash of their text.
import { sha256 } from "./sha256.js";

const CATEGORY_RGB = {
  chair: [230, 57, 70],
  table: [244, 140, 6],
  sofa: [29, 120, 216],
  bed: [131, 56, 236],
  tv: [0, 180, 216],
  door: [156, 102, 68],
  window: [72, 149, 239],
  stool: [255, 183, 3],
  "trash bin": [100, 110, 125],
  pillow: [247, 103, 182],
  refrigerator: [32, 161, 150],
  toilet: [170, 178, 40],
  stove: [190, 24, 93],
  bathtub: [8, 145, 178],
  washer: [56, 176, 0],
  lamp: [217, 176, 50],
  bookshelf: [122, 80, 30],
  nightstand: [160, 90, 200],
};

export function labelRgb(label) {
  if (Object.hasOwn(CATEGORY_RGB, label)) return CATEGORY_RGB[label];
  return sha256(label).slice(0, 3).map((byte) => 60 + (byte % 160));
}

export const labelColor = (label) => `rgb(${labelRgb(label).join(",")})`;

// Black or white, whichever is further from the colour's luminance (Rec. 601).
export function inkOn(label) {
  const [red, green, blue] = labelRgb(label);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#000" : "#fff";
}
