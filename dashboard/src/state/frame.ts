/** Work for the next time the page is painted. While the tab is hidden nothing is painted, so nothing runs. */

const waiting = new Set<() => void>();
let asked = false;

/** Runs `work` once before the next paint, however often it was asked for. */
export function onNextFrame(work: () => void): void {
  waiting.add(work);
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const now = [...waiting];
    waiting.clear();
    for (const each of now) each();
  });
}

export function cancelFrame(work: () => void): void {
  waiting.delete(work);
}
