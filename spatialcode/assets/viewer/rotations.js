// Unit quaternions (w, x, y, z) and 3×3 matrices as rows. Conventions: docs/conventions.md.

export function matrixFromQuaternion([w, x, y, z]) {
  return [
    [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
    [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
    [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
  ];
}

// The largest of the four components is found first, so nothing is divided by almost zero.
export function quaternionFromMatrix(m) {
  const squares = [
    1 + m[0][0] + m[1][1] + m[2][2],
    1 + m[0][0] - m[1][1] - m[2][2],
    1 - m[0][0] + m[1][1] - m[2][2],
    1 - m[0][0] - m[1][1] + m[2][2],
  ];
  const largest = squares.indexOf(Math.max(...squares));
  const off = [m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]];
  const sums = [m[2][1] + m[1][2], m[0][2] + m[2][0], m[1][0] + m[0][1]];
  const candidates = [
    [squares[0], off[0], off[1], off[2]],
    [off[0], squares[1], sums[2], sums[1]],
    [off[1], sums[2], squares[2], sums[0]],
    [off[2], sums[1], sums[0], squares[3]],
  ];
  return normalised(candidates[largest]);
}

function normalised(values) {
  const norm = Math.hypot(...values);
  return values.map((value) => value / norm);
}

// The turn about +z in radians that brings the x axis to where the rotation has it, seen from above.
export const yawOf = ([w, x, y, z]) => Math.atan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z));

// The rotation at `share` (0 to 1) of the shorter way from a to b, at constant speed.
export function slerp(a, b, share) {
  let cosine = a.reduce((sum, value, i) => sum + value * b[i], 0);
  const sign = cosine < 0 ? -1 : 1;
  cosine = Math.min(1, Math.abs(cosine));
  const angle = Math.acos(cosine);
  const [from, to] =
    angle < 1e-6
      ? [1 - share, share]
      : [Math.sin((1 - share) * angle) / Math.sin(angle), Math.sin(share * angle) / Math.sin(angle)];
  return normalised(a.map((value, i) => from * value + to * sign * b[i]));
}

export const rotated = (matrix, [x, y, z]) => matrix.map((row) => row[0] * x + row[1] * y + row[2] * z);

export const rotatedBack = (matrix, p) =>
  [0, 1, 2].map((column) => matrix[0][column] * p[0] + matrix[1][column] * p[1] + matrix[2][column] * p[2]);

export const plus = (a, b) => a.map((value, i) => value + b[i]);
export const minus = (a, b) => a.map((value, i) => value - b[i]);
