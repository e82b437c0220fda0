import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { giveToken, tokenWanted } from "../api/http.ts";
import { helpOpen, question } from "../state/dialogs.ts";
import { isBound, SHORTCUTS } from "../state/shortcuts.ts";
import { Button } from "./controls.tsx";
import { Icon } from "./glyph.tsx";

/** A native modal dialog: focus stays in it, Escape closes it, and focus goes back to where it was. */
export function Dialog(props: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  wide?: boolean;
  /** Escape does not close it. */
  stay?: boolean;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    ref.current?.showModal();
    return () => before?.focus?.();
  }, []);
  return (
    <dialog
      ref={ref}
      class={props.wide ? "wide" : ""}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        if (props.stay) event.preventDefault();
      }}
      onClose={() => {
        // Browsers let a dialog that will not go be closed by a second Escape all the same.
        if (props.stay) ref.current?.showModal();
        else props.onClose();
      }}
      onClick={(event) => {
        if (event.target === ref.current && !props.stay) props.onClose();
      }}
    >
      <div class="dialog-body">
        <header>
          <h2 id="dialog-title">{props.title}</h2>
          {!props.stay && (
            <button type="button" class="button quiet only-icon" aria-label="Close" onClick={props.onClose}>
              <Icon name="close" />
            </button>
          )}
        </header>
        {props.children}
      </div>
    </dialog>
  );
}

export function ConfirmDialog() {
  const asked = question.value;
  if (!asked) return null;
  return (
    <Dialog key={asked.title} title={asked.title} onClose={() => asked.answer(false)}>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          asked.answer(true);
        }}
      >
        <p>{asked.text}</p>
        <footer>
          <Button onClick={() => asked.answer(false)}>Leave it</Button>
          <button type="submit" class={`button ${asked.danger ? "danger" : "primary"}`} autofocus>
            <span>{asked.action}</span>
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

export function TokenDialog() {
  const text = tokenWanted.value;
  const [token, setToken] = useState("");
  if (text === null) return null;
  return (
    <Dialog title="Sign in" onClose={() => {}} stay>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          if (token.trim()) giveToken(token.trim());
          setToken("");
        }}
      >
        <p>
          {text} It is in the file or environment variable that the server was started with. This tab keeps it until it
          is closed.
        </p>
        <label class="field">
          <span>Token</span>
          <input
            type="password"
            name="token"
            autocomplete="off"
            autofocus
            required
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        <footer>
          <Button type="submit" kind="primary">
            Sign in
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

export function HelpDialog() {
  if (!helpOpen.value) return null;
  const places = [...new Set(SHORTCUTS.map(({ where }) => where))];
  return (
    <Dialog title="Keys" wide onClose={() => (helpOpen.value = false)}>
      <div class="help">
        {places.map((place) => (
          <section key={place}>
            <h3>{place}</h3>
            <dl>
              {SHORTCUTS.filter(({ where }) => where === place).map(({ id, keys, text }) => (
                <div key={id} class={isBound(id) ? "" : "unbound"}>
                  <dt>
                    {keys.split(" ").map((key) => (
                      <kbd key={key}>{key === "Escape" ? "Esc" : key}</kbd>
                    ))}
                  </dt>
                  <dd>{text}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <p class="note">
        In the grid: arrow keys move, <kbd>+</kbd> and <kbd>-</kbd> zoom. In the timeline: <kbd>+</kbd> <kbd>-</kbd>{" "}
        zoom, arrow keys move in time. Those with a dashed border have no use in this view.
      </p>
    </Dialog>
  );
}
