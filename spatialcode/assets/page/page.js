"use strict";
// Every position below was computed in Python, one entry per step of the time slider;
// this file only chooses which of them to show.
const page = JSON.parse(document.getElementById("page-data").textContent);
const byId = (id) => document.getElementById(id);
const plot = byId("plot");
const { figure, steps, objects, groups, camera, traces } = page;
const state = { step: steps.length - 1, leastScore: 0, selected: null, timer: null };
let shownByGroup = groups.map(() => []);

const pointsOf = (object, step) => object.points[object.points.length === 1 ? 0 : step];
const isShown = (object) =>
  object.first_s <= steps[state.step] + 1e-9 && object.score >= state.leastScore;

function wireOf(shown) {
  const line = { x: [], y: [], z: [] };
  for (const object of shown) {
    const points = pointsOf(object, state.step);
    const edges = points.length > 8 ? page.edges.concat(page.front_edges) : page.edges;
    for (const [from, to] of edges) {
      for (const [axis, name] of ["x", "y", "z"].entries()) {
        line[name].push(points[from][axis], points[to][axis], null);
      }
    }
  }
  return line;
}

function solidOf(shown) {
  const mesh = { x: [], y: [], z: [], i: [], j: [], k: [], text: [] };
  shown.forEach((object, index) => {
    for (const point of pointsOf(object, state.step).slice(0, 8)) {
      mesh.x.push(point[0]);
      mesh.y.push(point[1]);
      mesh.z.push(point[2]);
      mesh.text.push(object.hover);
    }
    for (const [a, b, c] of page.triangles) {
      mesh.i.push(a + 8 * index);
      mesh.j.push(b + 8 * index);
      mesh.k.push(c + 8 * index);
    }
  });
  return mesh;
}

function namesOf(shown) {
  const names = { x: [], y: [], z: [], text: [] };
  for (const object of shown) {
    const corners = pointsOf(object, state.step).slice(0, 8);
    const mean = (axis) => corners.reduce((sum, point) => sum + point[axis], 0) / 8;
    names.x.push(mean(0));
    names.y.push(mean(1));
    names.z.push(Math.max(...corners.map((point) => point[2])) + page.name_gap_m);
    names.text.push(object.name);
  }
  return names;
}

function polyline(points) {
  const axis = (index) => points.map((point) => (point === null ? null : point[index]));
  return { x: axis(0), y: axis(1), z: axis(2) };
}

function drawCamera() {
  if (camera.frusta.length === 0) return;
  const frustum = camera.frusta[state.step];
  const line = page.frustum_edges.flatMap(([from, to]) => [frustum[from], frustum[to], null]);
  Object.assign(figure.data[traces.frustum], polyline(line));
  const travelled = camera.frusta.slice(0, state.step + 1).map((points) => points[0]);
  Object.assign(figure.data[traces.travelled], polyline(travelled));
}

function drawInset() {
  const frame = page.frames[page.frame_of_step[state.step]];
  byId("inset").hidden = frame === undefined;
  if (frame !== undefined) byId("inset").firstElementChild.src = frame;
}

function draw() {
  const shown = objects.filter(isShown);
  shownByGroup = groups.map((_, group) => shown.filter((object) => object.group === group));
  groups.forEach((group, index) => {
    Object.assign(figure.data[group.solid], solidOf(shownByGroup[index]));
    figure.data[group.solid].visible = byId("faces").checked;
    Object.assign(figure.data[group.wire], wireOf(shownByGroup[index]));
  });
  Object.assign(figure.data[traces.names], namesOf(shown));
  figure.data[traces.names].visible = byId("names").checked;
  Object.assign(figure.data[traces.selected], wireOf(shown.filter((o) => o === state.selected)));
  drawCamera();
  drawInset();
  objects.forEach((object, index) => {
    const row = byId("objects").rows[index];
    row.classList.toggle("unseen", !shown.includes(object));
    row.classList.toggle("selected", object === state.selected);
    row.querySelector("button").setAttribute("aria-pressed", String(object === state.selected));
  });
  const now = `${steps[state.step].toFixed(2)} s`;
  byId("now").textContent = now;
  byId("time").value = state.step;
  byId("time").setAttribute("aria-valuetext", now);
  byId("least").textContent = state.leastScore.toFixed(2);
  byId("count").textContent = `${shown.length} of ${objects.length} objects shown`;
  return Plotly.react(plot, figure.data, figure.layout, page.options);
}

function select(object) {
  state.selected = state.selected === object ? null : object;
  draw();
}

function stop() {
  clearTimeout(state.timer);
  state.timer = null;
  byId("play").textContent = "Play";
  byId("play").setAttribute("aria-pressed", "false");
}

function advance() {
  if (state.step >= steps.length - 1) return stop();
  const pause_s = steps[state.step + 1] - steps[state.step];
  state.timer = setTimeout(() => {
    state.step += 1;
    draw();
    advance();
  }, Math.min(Math.max(1000 * pause_s, 60), 1000));
}

function play() {
  if (state.timer !== null) return stop();
  if (state.step === steps.length - 1) state.step = 0;
  byId("play").textContent = "Pause";
  byId("play").setAttribute("aria-pressed", "true");
  draw();
  advance();
}

function look(eye) {
  Plotly.relayout(plot, { "scene.camera": { eye, up: { x: 0, y: 0, z: 1 }, center: page.look_at } });
}

function steer(event) {
  const { eye } = plot._fullLayout.scene._scene.getCamera();
  const across = Math.hypot(eye.x, eye.y);
  let [turn, tilt, reach] = [Math.atan2(eye.y, eye.x), Math.atan2(eye.z, across), Math.hypot(across, eye.z)];
  if (event.key === "ArrowLeft") turn -= 0.1;
  else if (event.key === "ArrowRight") turn += 0.1;
  else if (event.key === "ArrowUp") tilt = Math.min(tilt + 0.1, 1.5);
  else if (event.key === "ArrowDown") tilt = Math.max(tilt - 0.1, -0.5);
  else if (event.key === "+" || event.key === "=") reach /= 1.1;
  else if (event.key === "-") reach *= 1.1;
  else return;
  event.preventDefault();
  const flat = reach * Math.cos(tilt);
  look({ x: flat * Math.cos(turn), y: flat * Math.sin(turn), z: reach * Math.sin(tilt) });
}

function listen() {
  byId("time").addEventListener("input", (event) => {
    stop();
    state.step = Number(event.target.value);
    draw();
  });
  byId("score").addEventListener("input", (event) => {
    state.leastScore = Number(event.target.value) / 100;
    draw();
  });
  for (const id of ["faces", "names"]) byId(id).addEventListener("change", draw);
  byId("play").addEventListener("click", play);
  byId("overview").addEventListener("click", () => look(page.eye));
  byId("above").addEventListener("click", () => look({ x: 0, y: -0.01, z: page.reach }));
  objects.forEach((object, index) => {
    byId("objects").rows[index].querySelector("button").addEventListener("click", () => select(object));
  });
  plot.addEventListener("keydown", steer);
  plot.on("plotly_click", ({ points: [point] }) => {
    const group = groups.findIndex((candidate) => candidate.solid === point.curveNumber);
    if (group >= 0) select(shownByGroup[group][Math.floor(point.pointNumber / 8)]);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.selected !== null) select(state.selected);
  });
}

if (window.innerWidth <= 900) figure.layout.showlegend = false;
draw().then(listen);
new ResizeObserver(() => Plotly.Plots.resize(plot)).observe(plot);
