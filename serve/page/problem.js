// What went wrong with a call, from the problem document (RFC 9457) that the service answers.

export class Problem extends Error {
  constructor(message, status, retryAfter_s = null) {
    super(message);
    this.status = status; // 0: there was no answer
    this.retryAfter_s = retryAfter_s;
  }

  // Worth the same call again, unchanged, a little later.
  get isPassing() {
    return [0, 429, 502, 503, 504].includes(this.status);
  }
}

export const unreachable = () => new Problem("The service cannot be reached.", 0);

function wordsOf(status, text) {
  try {
    const body = JSON.parse(text);
    const words = [body.title, body.detail ?? body.error?.message].filter((part) => typeof part === "string");
    if (words.length > 0) return words.join(": ");
  } catch {
    // A proxy in between may answer anything.
  }
  return `The service answered ${status}`;
}

export function problemOf(status, text, retryAfter) {
  const seconds = Number.parseFloat(retryAfter ?? "");
  const wait = Number.isFinite(seconds) ? ` Try again in ${Math.ceil(seconds)} s.` : "";
  const words = wordsOf(status, text).replace(/\.?$/, ".");
  return new Problem(words + wait, status, Number.isFinite(seconds) ? seconds : null);
}
