// The exported page: its code and its key pictures, which the page holds, in the viewer.
import { byId } from "./elements.js";
import { PictureScreen } from "./pictures.js";
import { Viewer } from "./viewer.js";

function report(error) {
  byId("summary").textContent = error.message;
  console.error(error);
}

const { name, code, pictures } = JSON.parse(byId("page-data").textContent);
const screen = new PictureScreen(byId("picture"), pictures);
byId("screen").hidden = screen.isEmpty;
const viewer = new Viewer({ report, screen, loadPlotly: async () => window.Plotly });
// All that the code knows is known at its end.
viewer.show(name, code, code.video.duration_s);
