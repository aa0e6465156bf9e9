// Which of a code's objects are on show.

// All objects, at all times, with faces and names.
export const everything = () => ({
  leastScore: 0,
  seenByThen: false, // only what had been seen by the time on show
  hiddenLabels: new Set(),
  faces: true,
  names: true,
});

export const isChosen = (item, shown) => item.score >= shown.leastScore && !shown.hiddenLabels.has(item.label);

export const isShown = (item, t_s, shown) =>
  isChosen(item, shown) && (!shown.seenByThen || item.first_seen_s <= t_s + 1e-9);
