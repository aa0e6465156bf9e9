// Brings the page's parts together: a video becomes a code, a code is shown and asked.
import { Api } from "./api.js";
import { Asking } from "./asking.js";
import { byId, make } from "./viewer/elements.js";
import { Encoding, failureOf } from "./encoding.js";
import { Key } from "./key.js";
import { Problem } from "./problem.js";
import { nameOf, Shelf } from "./shelf.js";
import { VideoScreen } from "./video.js";
import { Viewer } from "./viewer/viewer.js";

// What people call the formats that they can download; others go by their own names.
const FORMAT_WORDS = {
  json: "JSON",
  "scene.py": "scene text",
  html: "page (HTML)",
  mp4: "video with boxes (MP4)",
  glb: "3D model (glb)",
  rrd: "rerun (rrd)",
  parquet: "Parquet",
};
const OTHER_LINKS = ["self", "video"];

function report(error) {
  byId("error").hidden = error === null;
  byId("error-text").textContent = error === null ? "" : error.message;
  if (error !== null && error.status === undefined) console.error(error);
}

const api = new Api(new Key(byId("key")));
const shelf = new Shelf(api, report);
const encoding = new Encoding(api, report);
const asking = new Asking(api, report);
const screen = new VideoScreen();
const viewer = new Viewer({ report, screen, loadPlotly });
let plotly = null;
let shown = null; // { id, name } of the code on show

// Plotly's 5 MB are fetched once, and only when there is a room to show.
function loadPlotly() {
  plotly ??= new Promise((resolve, reject) => {
    const failed = () => {
      plotly = null;
      reject(new Error("The 3D view could not be loaded."));
    };
    document.head.append(make("script", { src: "/page/plotly.min.js", load: () => resolve(), error: failed }));
  });
  return plotly;
}

// The service wants a key in a header, which a video element cannot send: with a key the whole
// video is fetched first, else it streams.
async function videoOf(id) {
  const file = encoding.fileOf(id);
  if (file !== undefined) return file;
  if (!api.hasKey) return api.videoPath(id);
  return api.video(id).catch(() => null);
}

async function show(job) {
  shown = { id: job.id, name: nameOf(job) };
  history.replaceState(null, "", `#${job.id}`);
  shelf.choose(job.id);
  asking.show(job.id, job.code);
  offerFormats(job);
  screen.hide();
  const drawn = viewer.show(shown.name, job.code);
  byId("title").focus();
  const source = await videoOf(job.id);
  if (shown?.id === job.id) screen.open(source);
  await drawn;
}

// Every format of the service has a link to its file.
function offerFormats(job) {
  const formats = Object.keys(job.links).filter((name) => !OTHER_LINKS.includes(name));
  const options = formats.map((name) => make("option", { value: name, text: FORMAT_WORDS[name] ?? name }));
  byId("format").replaceChildren(...options);
}

async function open(id, name) {
  report(null);
  try {
    const job = await api.code(id);
    if (job.status === "done") {
      if (job.code === null) throw new Problem(`${nameOf(job)}: its code is no longer stored.`, 404);
      encoding.stop();
      await show(job);
    } else if (job.status === "failed") {
      report(failureOf(job));
    } else {
      encoding.follow(id, name ?? nameOf(job));
    }
  } catch (error) {
    report(error);
  }
}

// The code that the page's address names after its #, if it does.
function openAddress() {
  const id = location.hash.slice(1);
  if (/^[0-9a-f]{64}$/.test(id) && id !== shown?.id) open(id);
}

function close() {
  shown = null;
  history.replaceState(null, "", location.pathname);
  shelf.choose(null);
  screen.hide();
  viewer.close();
}

async function remove() {
  const { id } = shown;
  byId("delete-dialog").close();
  try {
    await api.remove(id);
    if (shown?.id === id) close();
    byId("file").focus();
  } catch (error) {
    report(error);
  }
  await shelf.refresh();
}

async function download() {
  const { id, name } = shown;
  const format = byId("format").value;
  byId("download").disabled = true;
  byId("download-state").textContent = "Preparing the file …";
  try {
    const address = URL.createObjectURL(await api.file(id, format));
    const stem = name.replace(/\.[^.]*$/, "") || "code";
    make("a", { href: address, download: `${stem}.${format}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  } catch (error) {
    report(error);
  } finally {
    byId("download").disabled = false;
    byId("download-state").textContent = "";
  }
}

function listenToDrops() {
  const over = (isOver) => byId("drop").classList.toggle("over", isOver);
  // Anywhere on the page: a file that misses the field must not replace the page.
  window.addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  window.addEventListener("dragleave", (event) => event.relatedTarget === null && over(false));
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    const [file] = event.dataTransfer.files;
    if (file !== undefined) encoding.upload(file);
  });
}

function listen() {
  listenToDrops();
  byId("file").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    if (file !== undefined) encoding.upload(file);
    target.value = ""; // so that the same file can be chosen again
  });
  byId("fetch").addEventListener("submit", (event) => {
    event.preventDefault();
    encoding.fetchFrom(byId("url").value.trim());
  });
  encoding.addEventListener("change", () => shelf.refresh());
  encoding.addEventListener("done", ({ detail }) => show(detail).catch(report));
  shelf.addEventListener("pick", ({ detail }) => open(detail.id, nameOf(detail)));
  asking.addEventListener("answer", ({ detail }) => viewer.mark(detail, true));
  asking.addEventListener("moment", ({ detail }) => viewer.jump([detail]));
  window.addEventListener("hashchange", openAddress);
  byId("error-close").addEventListener("click", () => report(null));
  byId("download").addEventListener("click", download);
  byId("delete").addEventListener("click", () => byId("delete-dialog").showModal());
  byId("delete-yes").addEventListener("click", remove);
  byId("delete-no").addEventListener("click", () => byId("delete-dialog").close());
}

listen();
await shelf.refresh(); // alone first: it asks for the key where one is needed
asking.findReasoners().catch(report);
openAddress();
