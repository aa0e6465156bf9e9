// Triangles of a floor's outline by ear clipping: plotly makes none of a non-convex outline.

const turn = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);

const contains = ([a, b, c], point) =>
  Math.min(turn(a, b, point), turn(b, c, point), turn(c, a, point)) >= 0;

function around(polygon, left, i) {
  const num = left.length;
  return [left[(i + num - 1) % num], left[i], left[(i + 1) % num]].map((corner) => polygon[corner]);
}

function isEar(polygon, left, i) {
  const triangle = around(polygon, left, i);
  if (turn(...triangle) <= 0) return false;
  const isCorner = (point) => triangle.some(([x, y]) => x === point[0] && y === point[1]);
  return !left.some((corner) => !isCorner(polygon[corner]) && contains(triangle, polygon[corner]));
}

// Index triples that tile a simple polygon, whose corners come in order, either way round.
export function triangulate(polygon) {
  const next = (i) => polygon[(i + 1) % polygon.length];
  const area = polygon.reduce((sum, [x, y], i) => sum + x * next(i)[1] - next(i)[0] * y, 0);
  const left = polygon.map((_, i) => i);
  if (area < 0) left.reverse();
  const triangles = [];
  while (left.length >= 3) {
    const ear = left.findIndex((_, i) => isEar(polygon, left, i));
    const flat = left.findIndex((_, i) => turn(...around(polygon, left, i)) === 0);
    const cut = ear >= 0 ? ear : flat;
    if (cut < 0) break; // The outline crosses itself.
    const num = left.length;
    if (ear >= 0) triangles.push([left[(ear + num - 1) % num], left[ear], left[(ear + 1) % num]]);
    left.splice(cut, 1);
  }
  return triangles;
}
