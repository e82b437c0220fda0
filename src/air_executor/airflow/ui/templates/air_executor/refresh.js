// Reads the page again every three seconds while there is something to come, and puts what is new in its place.
(() => {
  const PAUSE_MS = 3000;
  const shown = () => document.getElementById("air-executor");
  const again = async () => {
    const busy = shown().contains(document.activeElement) && document.activeElement.matches("input, select");
    if (!document.hidden && !busy) {
      try {
        const answer = await fetch(location.href, { cache: "no-store", redirect: "error" });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.getElementById("air-executor");
        if (answer.ok && fresh) {
          const log = shown().querySelector(".ae-log");
          const atEnd = log && log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
          const at = log ? log.scrollTop : 0;
          shown().replaceWith(document.adoptNode(fresh));
          const next = shown().querySelector(".ae-log");
          if (next) next.scrollTop = atEnd ? next.scrollHeight : at;
        }
      } catch {
        // The server is away: what is known stays until it is back.
      }
    }
    if (shown().dataset.refresh) setTimeout(again, PAUSE_MS);
  };
  if (shown().dataset.refresh) setTimeout(again, PAUSE_MS);
})();
