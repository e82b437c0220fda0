import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

/** Stands beside a point of the box it is in, turned to where there is room. */
export function Tooltip({ x, y, children }: { x: number; y: number; children: ComponentChildren }) {
  const ref = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const tip = ref.current;
    const box = tip?.offsetParent;
    if (!tip || !box) return;
    const left = x + 14 + tip.offsetWidth > box.clientWidth ? Math.max(0, x - 14 - tip.offsetWidth) : x + 14;
    const below = y + 16 + tip.offsetHeight;
    const top = box.getBoundingClientRect().top + below > window.innerHeight ? y - 10 - tip.offsetHeight : y + 16;
    tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  });
  return (
    <div class="tooltip" ref={ref} aria-hidden="true">
      {children}
    </div>
  );
}
