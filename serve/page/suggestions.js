// A few questions that a code can be asked, in words that the solver reads.

export function suggestions(code) {
  const counts = new Map();
  for (const { label } of code.objects) counts.set(label, (counts.get(label) ?? 0) + 1);
  const byCount = [...counts].sort((a, b) => b[1] - a[1]);
  const single = byCount.filter(([, count]) => count === 1).map(([label]) => label);
  const questions = [];
  if (byCount.length > 0 && byCount[0][1] > 1) {
    questions.push(`How many ${byCount[0][0]}s are in this room?`);
  }
  if (single.length >= 2) {
    questions.push(`What is the distance between the ${single[0]} and the ${single[1]} in meters?`);
  }
  if (code.room !== null) questions.push("What is the size of this room in square meters?");
  return questions;
}
