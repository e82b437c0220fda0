/** Where the page is shown: by its own server, or inside another program's pages, which say so in its head. */
import { signal } from "@preact/signals";

const NAME = document.querySelector<HTMLMetaElement>('meta[name="host"]')?.content ?? null;

export const inAirflow = NAME === "airflow";
/** Whether the other program's own header stands above this page. */
export const framed = inAirflow && window.parent !== window;

/** The colours of the page around this one; null where that cannot be known. */
export const hostTheme = signal<"light" | "dark" | null>(null);

/** The colour a page stands on; null where all of it can be seen through. */
function groundOf(page: Document): string | null {
  for (const element of [page.body, page.documentElement]) {
    const colour = getComputedStyle(element).backgroundColor;
    if (colour && colour !== "transparent" && !/,\s*0\)$|\/\s*0\)$/.test(colour)) return colour;
  }
  return null;
}

if (framed) {
  try {
    const around = window.parent.document.documentElement;
    const look = () => {
      const dark = around.classList.contains("dark");
      // Both pages on one ground: dark differs from program to program.
      const ground = groundOf(window.parent.document);
      if (ground) {
        document.documentElement.style.setProperty("--ground", ground);
        document.documentElement.dataset.framed = dark ? "dark" : "light";
      }
      hostTheme.value = dark ? "dark" : around.classList.contains("light") ? "light" : null;
    };
    new MutationObserver(look).observe(around, { attributes: true, attributeFilter: ["class"] });
    look();
  } catch {
    // The page around it is somebody else's: the system's colours have to do.
  }
}
