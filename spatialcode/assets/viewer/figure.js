// A spatial code as plotly traces: what the 3D view shows at one time.
import { isShown } from "./filter.js";
import { CameraMotion, objectPose } from "./motion.js";
import { CAMERA_COLOR, FLOOR_COLOR, labelColor, OUTLINE_COLOR } from "./palette.js";
import { triangulate } from "./polygon.js";
import { yawOf } from "./rotations.js";
import { boxPoints, edgesOf, FRUSTUM_EDGES, frustumPoints, TRIANGLES } from "./wire.js";

const FRUSTUM_DEPTH_M = 0.35;
const NAME_GAP_M = 0.08;
// Drawn room height where the code knows no ceiling: a skirting that shows the outline.
const UNKNOWN_CEILING_M = 0.15;
const INK = "#1d2530";

// Plotly reads tags in hover texts and names, so none may reach it.
const escaped = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

// x, y, z of points; null is a break in the line.
function columns(points) {
  const column = (axis) => points.map((point) => (point === null ? null : point[axis]));
  return { x: column(0), y: column(1), z: column(2) };
}

const wire = (points, edges) => edges.flatMap(([from, to]) => [points[from], points[to], null]);

const line = (name, points, color, width) => ({
  type: "scatter3d",
  mode: "lines",
  name,
  line: { color, width },
  hoverinfo: "skip",
  showlegend: false,
  ...columns(points),
});

function roomTraces(room) {
  if (room === null || room.polygon_m.length < 3) return [];
  const ceiling_z_m = room.ceiling_z_m ?? room.floor_z_m + UNKNOWN_CEILING_M;
  const [floor, ceiling] = [room.floor_z_m, ceiling_z_m].map((z) => room.polygon_m.map(([x, y]) => [x, y, z]));
  const uprights = floor.flatMap((point, i) => [point, ceiling[i], null]);
  const triangles = triangulate(room.polygon_m);
  const solid = {
    type: "mesh3d",
    name: "floor",
    color: FLOOR_COLOR,
    opacity: 0.5,
    flatshading: true,
    hoverinfo: "skip",
    showlegend: false,
    ...columns(floor),
    ...Object.fromEntries(["i", "j", "k"].map((key, n) => [key, triangles.map((corners) => corners[n])])),
  };
  return [
    solid,
    line("floor outline", [...floor, floor[0]], OUTLINE_COLOR, 5),
    line("walls", [...ceiling, ceiling[0], null, ...uprights], "#d5dae1", 2),
  ];
}

function hoverOf(item) {
  const size = item.size_m.map((extent) => extent.toFixed(2)).join(" × ");
  const yaw_deg = Math.round((180 / Math.PI) * yawOf(item.quaternion_wxyz));
  return `<b>${escaped(item.id)}</b><br>score ${item.score.toFixed(2)}<br>size ${size} m<br>yaw ${yaw_deg}°`;
}

// The faces of boxes, eight vertices each in the order of `boxes`.
function solids(name, boxes, look) {
  const faces = boxes.flatMap((_, n) => TRIANGLES.map((corners) => corners.map((corner) => corner + 8 * n)));
  return {
    type: "mesh3d",
    name,
    ...look,
    flatshading: true,
    hoverinfo: "text",
    showlegend: false,
    text: boxes.flatMap(({ item }) => Array(8).fill(hoverOf(item))),
    facecolor: boxes.flatMap(({ item }) => TRIANGLES.map(() => labelColor(item.label))),
    ...columns(boxes.flatMap(({ points }) => points.slice(0, 8))),
    ...Object.fromEntries(["i", "j", "k"].map((key, n) => [key, faces.map((corners) => corners[n])])),
  };
}

function edges(name, boxes, width, color = null) {
  const lines = boxes.map(({ item, points }) => wire(points, edgesOf(item.label)));
  const colors = boxes.flatMap(({ item }, n) => lines[n].map(() => color ?? labelColor(item.label)));
  return line(name, lines.flat(), colors, width);
}

function names(boxes, visible) {
  const tops = boxes.map(({ points }) => {
    const corners = points.slice(0, 8);
    const mean = (axis) => corners.reduce((sum, point) => sum + point[axis], 0) / 8;
    return [mean(0), mean(1), Math.max(...corners.map((point) => point[2])) + NAME_GAP_M];
  });
  return {
    type: "scatter3d",
    mode: "text",
    name: "names",
    visible,
    showlegend: false,
    text: boxes.map(({ item }) => escaped(item.id)),
    textfont: { size: 12, color: INK },
    hoverinfo: "skip",
    ...columns(tops),
  };
}

function cameraTraces(path, t_s) {
  const camera = path.at(t_s);
  const travelled = path.positions_m.filter((_, i) => path.times_s[i] <= t_s);
  if (camera !== null) travelled.push(camera.position_m);
  const pyramid = camera === null ? [] : wire(frustumPoints(camera, FRUSTUM_DEPTH_M), FRUSTUM_EDGES);
  return [
    line("camera path", path.positions_m, "#b9c8e4", 3),
    line("travelled", travelled, CAMERA_COLOR, 5),
    line("camera", pyramid, CAMERA_COLOR, 4),
  ];
}

// An entry of the legend for each label. It holds no point: a click on it hides the label's boxes,
// which other traces hold (see Room3D).
function legend(code, hiddenLabels) {
  const labels = [...new Set(code.objects.map((item) => item.label))].sort();
  return labels.map((label) => ({
    type: "scatter3d",
    mode: "markers",
    name: escaped(label),
    meta: { label },
    marker: { color: labelColor(label), symbol: "square" },
    hoverinfo: "skip",
    showlegend: true,
    visible: hiddenLabels.has(label) ? "legendonly" : true,
    ...columns([null]),
  }));
}

// All traces at `t_s`, always of the same names in the same order; those of the legend; and the
// objects whose vertices the two meshes hold, for picking. `marked`: ids that stand out. `shown`: see filter.js.
export function tracesAt(code, t_s, marked, shown) {
  const boxes = code.objects
    .filter((item) => isShown(item, t_s, shown))
    .map((item) => ({ item, points: boxPoints(item, objectPose(item, t_s)) }));
  const lit = boxes.filter(({ item }) => marked.has(item.id));
  const others = boxes.filter(({ item }) => !marked.has(item.id));
  const tracks = code.objects
    .filter((item) => item.motion === "moving")
    .flatMap((item) => [...item.track.map((point) => point.center_m), null]);
  const data = [
    ...roomTraces(code.room),
    ...cameraTraces(CameraMotion.of(code), t_s),
    line("tracks", tracks, OUTLINE_COLOR, 3),
    solids("boxes", others, { opacity: lit.length > 0 ? 0.07 : 0.22, visible: shown.faces }),
    edges("edges", others, lit.length > 0 ? 2 : 4),
    solids("highlighted boxes", lit, { opacity: 0.55, visible: shown.faces }),
    edges("highlighted edges", lit, 9, INK),
    names(lit.length > 0 ? lit : boxes, shown.names),
  ];
  const idsOf = (some) => some.map(({ item }) => item.id);
  return { data, legend: legend(code, shown.hiddenLabels), picked: { boxes: idsOf(others), "highlighted boxes": idsOf(lit) } };
}

// The whole room with a little air, whatever the time.
export function layoutOf(code, eye, center) {
  const path = CameraMotion.of(code);
  const points = [[0, 0, 0], ...path.positions_m];
  for (const item of code.objects) {
    const poses = item.motion === "moving" ? [item, ...item.track] : [item];
    points.push(...poses.flatMap((pose) => boxPoints(item, pose)));
  }
  if (code.room !== null) {
    const heights = [code.room.floor_z_m, code.room.ceiling_z_m].filter((z) => z !== null);
    points.push(...code.room.polygon_m.flatMap(([x, y]) => heights.map((z) => [x, y, z])));
  }
  const axis = (name, n) => {
    const values = points.map((point) => point[n]);
    const range = [Math.min(...values) - 0.2, Math.max(...values) + 0.2];
    const plain = { showbackground: false, gridcolor: "#e7eaee", zeroline: false, showspikes: false };
    return [`${name}axis`, { title: { text: `${name} (m)` }, range, ...plain }];
  };
  const axes = Object.fromEntries(["x", "y", "z"].map(axis));
  return {
    scene: { ...axes, aspectmode: "data", dragmode: "turntable", camera: { eye, center } },
    margin: { l: 0, r: 0, t: 0, b: 0 },
    legend: { x: 1, xanchor: "right", y: 0.94, font: { size: 10 }, tracegroupgap: 2, bgcolor: "rgba(255,255,255,0.5)" },
    paper_bgcolor: "rgba(0,0,0,0)",
  };
}
