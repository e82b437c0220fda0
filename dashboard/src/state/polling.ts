import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, errorText, get } from "../api/http.ts";

export interface Polled<T> {
  value: T | null;
  error: string | null;
  status: number | null;
  again: () => void;
}

/**
 * Reads `path` when it or `version` changes, and at most every `everyMs` while `version` goes on changing. The last
 * answer stays until the next is there, so nothing flickers; nothing is asked while the tab is hidden.
 */
export function usePolled<T>(path: string | null, version: unknown, everyMs: number): Polled<T> {
  const [state, setState] = useState<Omit<Polled<T>, "again">>({ value: null, error: null, status: null });
  const [asked, setAsked] = useState(0);
  const shown = useRef<string | null>(null);
  const lastAt = useRef(0);
  useEffect(() => {
    if (path === null) return;
    if (shown.current !== path) {
      shown.current = path;
      lastAt.current = 0;
      setState({ value: null, error: null, status: null });
    }
    const load = async () => {
      lastAt.current = Date.now();
      try {
        const value = await get<T>(path);
        if (shown.current === path) setState({ value, error: null, status: 200 });
      } catch (error) {
        if (shown.current !== path) return;
        const status = error instanceof ApiError ? error.status : null;
        setState((before) => ({ value: status ? null : before.value, error: errorText(error), status }));
      }
    };
    const wait = Math.max(0, lastAt.current + everyMs - Date.now());
    let timer: ReturnType<typeof setTimeout> | undefined;
    const whenSeen = () => {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", whenSeen);
      void load();
    };
    if (wait === 0 && !document.hidden) void load();
    else {
      timer = setTimeout(() => {
        if (document.hidden) document.addEventListener("visibilitychange", whenSeen);
        else void load();
      }, wait);
    }
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", whenSeen);
    };
  }, [path, version, asked]);
  useEffect(() => () => void (shown.current = null), []);
  return { ...state, again: () => setAsked((n) => n + 1) };
}
