import { signal } from "@preact/signals";

/** Epoch seconds, moved on each second while somebody is looking. */
export const now = signal(Date.now() / 1000);

const tick = (): void => {
  if (!document.hidden) now.value = Date.now() / 1000;
};
setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);
