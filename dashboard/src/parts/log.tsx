import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { getResponse, jobPath } from "../api/http.ts";
import { paletteColour, type Piece, type Style } from "../model/ansi.ts";
import { bytes, count, plural } from "../model/format.ts";
import { LogText } from "../state/log.ts";
import { attempt } from "../state/session.ts";
import { useShortcuts } from "../state/shortcuts.ts";
import { Button, Empty, focusSearch, Loading, Search } from "./controls.tsx";

const ROW = 18;
const BEYOND = 30;

interface Props {
  job: string;
  task: string;
  attempt: number | null;
  /** The attempt has not ended: its log may grow. */
  live: boolean;
  size: number | null;
  /** The attempt has written something, as far as is known. */
  exists: boolean;
  onEnded: () => void;
}

/** Only the lines in sight are elements, so that a log of a hundred megabytes scrolls like a short one. */
export function LogViewer(props: Props) {
  const { live } = props;
  const log = useMemo(() => new LogText(props.job, props.task, props.attempt), [props.job, props.task, props.attempt]);
  const scroller = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(480);
  const [search, setSearch] = useState("");
  const [match, setMatch] = useState(0);
  const stick = useRef(true);
  const wantsToFollow = useRef(true);
  log.version.value;
  const { lines } = log;
  const following = log.following.value;

  useEffect(() => {
    wantsToFollow.current = true;
    stick.current = true;
    const follow = () => {
      if (live && wantsToFollow.current) log.follow(props.onEnded);
    };
    if (props.exists) void log.open().then(follow);
    else {
      log.state.value = "none";
      follow();
    }
    return () => log.close();
  }, [log]);
  useEffect(() => {
    if (props.exists && log.state.peek() === "none" && !log.following.peek()) void log.open();
  }, [props.exists]);
  useEffect(() => {
    // What was silent when it was opened may begin to write.
    if (live && log.state.peek() !== "loading" && wantsToFollow.current) log.follow(props.onEnded);
  }, [live]);

  useLayoutEffect(() => {
    const box = scroller.current;
    if (!box) return;
    setHeight(box.clientHeight);
    const observer = new ResizeObserver(() => setHeight(box.clientHeight));
    observer.observe(box);
    return () => observer.disconnect();
  }, [log.state.value]);
  useLayoutEffect(() => {
    const box = scroller.current;
    if (!box) return;
    if (log.prepended) {
      box.scrollTop += log.prepended * ROW;
      log.prepended = 0;
    }
    if (stick.current) box.scrollTop = box.scrollHeight;
  });

  const matches = useMemo(() => {
    const wanted = search.toLowerCase();
    if (!wanted) return [];
    const found: number[] = [];
    lines.forEach(({ pieces }, i) => {
      if (textOf(pieces).toLowerCase().includes(wanted)) found.push(i);
    });
    return found;
  }, [search, log.version.value]);

  const showMatch = (by: number) => {
    if (!matches.length) return;
    const next = (match + by + matches.length) % matches.length;
    setMatch(next);
    stick.current = false;
    scroller.current?.scrollTo({ top: Math.max(0, (matches[next] ?? 0) * ROW - height / 2) });
  };
  useEffect(() => {
    setMatch(0);
    if (matches.length) showMatch(-match);
  }, [search]);
  const toggleFollow = () => {
    if (following) {
      wantsToFollow.current = false;
      log.unfollow();
      return;
    }
    wantsToFollow.current = true;
    stick.current = true;
    if (live) log.follow(props.onEnded);
    const box = scroller.current;
    if (box) box.scrollTop = box.scrollHeight;
  };
  useShortcuts({
    log: toggleFollow,
    search: focusSearch,
    ...(matches.length > 0 && { down: () => showMatch(1), up: () => showMatch(-1) }),
    ...(search && { back: () => setSearch("") }),
  });

  const from = Math.max(0, Math.floor(top / ROW) - BEYOND);
  const to = Math.min(lines.length, Math.ceil((top + height) / ROW) + BEYOND);
  const current = matches[match];
  return (
    <section class="log" aria-label="Log">
      <div class="log-bar">
        <h2>Log</h2>
        <span class="faint">
          {log.state.value === "ready" ? `${plural(lines.length, "line")}${log.start > 0 ? " shown" : ""}` : ""}
          {props.size ? ` · ${bytes(props.size)}` : ""}
        </span>
        <span class="log-tools">
          <Search
            value={search}
            placeholder="Search in the log"
            onInput={setSearch}
            onEnter={(back) => showMatch(back ? -1 : 1)}
          />
          {search && (
            <span class="faint" role="status">
              {matches.length ? `${count(match + 1)} of ${count(matches.length)}` : "not found"}
              {log.start > 0 ? " in what is loaded" : ""}
            </span>
          )}
          {live && (
            <Button pressed={following} onClick={toggleFollow}>
              {following ? "Following" : "Follow"}
            </Button>
          )}
          <Button icon="download" kind="quiet" label="Download the log" onClick={() => void download(props)} />
        </span>
      </div>
      {log.state.value === "loading" && <Loading what="the log" />}
      {log.state.value === "failed" && (
        <Empty title="The log cannot be read." bad>
          {log.error.value}
        </Empty>
      )}
      {log.state.value === "none" && (
        <Empty title="Nothing was written.">{live ? "What the task writes will show here." : null}</Empty>
      )}
      {log.state.value === "ready" && (
        <div
          class="log-text"
          ref={scroller}
          tabIndex={0}
          role="log"
          aria-live="off"
          aria-label="Lines of the log"
          onScroll={(event) => {
            const box = event.currentTarget;
            setTop(box.scrollTop);
            stick.current = box.scrollTop + box.clientHeight >= box.scrollHeight - ROW;
          }}
        >
          {log.start > 0 && (
            <p class="log-earlier">
              <Button icon="up" onClick={() => void log.earlier()}>
                Load earlier lines
              </Button>{" "}
              <span class="faint">{bytes(log.start)} stand before.</span>
            </p>
          )}
          <div class="log-lines" style={{ height: `${lines.length * ROW}px` }}>
            <div style={{ transform: `translateY(${from * ROW}px)` }}>
              {lines.slice(from, to).map((line, i) => (
                <div key={from + i} class={`log-line ${from + i === current ? "current" : ""}`}>
                  {marked(line.pieces, search)}
                </div>
              ))}
            </div>
          </div>
        </div>
      )}
    </section>
  );
}

function textOf(pieces: Piece[]): string {
  return pieces.length === 1 ? (pieces[0]?.text ?? "") : pieces.map(({ text }) => text).join("");
}

/** The line as elements; where the wanted text stands, also across pieces, it is marked. */
function marked(pieces: Piece[], search: string) {
  if (!pieces.length) return "\u200b";
  const wanted = search.toLowerCase();
  if (!wanted) return pieces.map((piece, i) => <Span key={i} piece={piece} />);
  const whole = textOf(pieces).toLowerCase();
  const shown = [];
  let at = 0;
  for (const piece of pieces) {
    let from = 0;
    while (from < piece.text.length) {
      const [inside, until] = stretch(whole, wanted, at + from, at + piece.text.length);
      const part = { text: piece.text.slice(from, until - at), style: piece.style };
      shown.push(
        inside ? (
          <mark key={shown.length}>{part.text}</mark>
        ) : (
          <Span key={shown.length} piece={part} />
        ),
      );
      from = until - at;
    }
    at += piece.text.length;
  }
  return shown;
}

/** Whether the character at `from` belongs to a match, and up to where that holds (at most `limit`). */
function stretch(text: string, wanted: string, from: number, limit: number): [boolean, number] {
  const begun = text.lastIndexOf(wanted, from);
  if (begun >= 0 && begun + wanted.length > from) return [true, Math.min(limit, begun + wanted.length)];
  const next = text.indexOf(wanted, from);
  return [false, next < 0 ? limit : Math.min(limit, next)];
}

function Span({ piece: { text, style } }: { piece: Piece }) {
  if (!style) return <span>{text}</span>;
  const [fg, bg] = style.inverse ? [style.bg ?? "bg", style.fg ?? "fg"] : [style.fg, style.bg];
  return (
    <span class={classes(style, fg, bg)} style={{ color: own(fg, "--text"), backgroundColor: own(bg, "--log-bg") }}>
      {text}
    </span>
  );
}

function classes(style: Style, fg: number | string | null, bg: number | string | null): string {
  const names = (["bold", "dim", "italic", "underline", "strike"] as const).filter((name) => style[name]).map(String);
  if (typeof fg === "number" && fg < 16) names.push(`fg${fg}`);
  if (typeof bg === "number" && bg < 16) names.push(`bg${bg}`);
  if (fg === "bg") names.push("fg-inverse");
  if (bg === "fg") names.push("bg-inverse");
  return names.join(" ");
}

/** Colours beyond the sixteen of the theme come from the program, which knows nothing of the paper they stand on. */
function own(colour: number | string | null, paper: string): string | undefined {
  const wanted = typeof colour === "number" ? (colour >= 16 ? paletteColour(colour) : null) : colour;
  return wanted && /^[#r]/.test(wanted) ? `color-mix(in srgb, ${wanted} 55%, var(${paper}))` : undefined;
}

async function download({ job, task, attempt: number }: Props): Promise<void> {
  await attempt(async () => {
    const query = number === null ? "" : `?attempt=${number}`;
    const response = await getResponse(`${jobPath(job, task)}/log${query}`);
    const url = URL.createObjectURL(await response.blob());
    const link = document.createElement("a");
    link.href = url;
    link.download = `${task}.log`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }, "The log is on its way.");
}
