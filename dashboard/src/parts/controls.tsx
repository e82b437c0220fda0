/** Buttons, chips and the like. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Action } from "../state/actions.ts";
import { toast } from "../state/session.ts";
import { Icon, type IconName } from "./glyph.tsx";

interface ButtonProps {
  icon?: IconName;
  children?: ComponentChildren;
  /** Needed where there is only an icon. */
  label?: string;
  kind?: "plain" | "primary" | "danger" | "quiet";
  /** Why it cannot be used now. */
  disabled?: string | null | false;
  pressed?: boolean;
  type?: "button" | "submit";
  onClick?: () => void;
}

/** A button that cannot be used says why: it stays in the tab order, and does nothing. */
export function Button({ icon, children, label, kind = "plain", disabled, pressed, type, onClick }: ButtonProps) {
  return (
    <button
      type={type ?? "button"}
      class={`button ${kind} ${children ? "" : "only-icon"}`}
      aria-label={label}
      aria-disabled={disabled ? "true" : undefined}
      aria-pressed={pressed === undefined ? undefined : pressed ? "true" : "false"}
      title={disabled || (children ? undefined : label) || undefined}
      onClick={(event) => {
        if (disabled) {
          event.preventDefault();
          toast(disabled, true);
        } else onClick?.();
      }}
    >
      {icon && <Icon name={icon} />}
      {children && <span>{children}</span>}
    </button>
  );
}

export function ActionButton({ action, icon, kind }: { action: Action; icon: IconName; kind?: ButtonProps["kind"] }) {
  return (
    <Button icon={icon} kind={kind ?? "plain"} disabled={action.disabled} onClick={() => void action.run()}>
      {action.label}
    </Button>
  );
}

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
    } catch {
      toast("The browser does not let this page copy (it does over HTTPS and on localhost).", true);
    }
  };
  return (
    <Button icon="copy" kind="quiet" label={copied ? "Copied" : label} onClick={() => void copy()} />
  );
}

/** Something that filters: its count, and whether it is chosen. */
export function Chip(props: {
  pressed: boolean;
  onClick: () => void;
  children: ComponentChildren;
  count?: string;
  title?: string;
}) {
  return (
    <button
      type="button"
      class="chip"
      aria-pressed={props.pressed ? "true" : "false"}
      title={props.title}
      onClick={props.onClick}
    >
      {props.children}
      {props.count !== undefined && <b>{props.count}</b>}
    </button>
  );
}

export function Search(props: {
  value: string;
  placeholder: string;
  onInput: (value: string) => void;
  onEnter?: (back: boolean) => void;
}) {
  return (
    <label class="search">
      <Icon name="search" />
      <input
        type="search"
        value={props.value}
        placeholder={props.placeholder}
        aria-label={props.placeholder}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => props.onInput(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") props.onEnter?.(event.shiftKey);
        }}
      />
      <kbd aria-hidden="true">/</kbd>
    </label>
  );
}

export function focusSearch(): void {
  const input = document.querySelector<HTMLInputElement>("main .search input");
  input?.focus();
  input?.select();
}

/** What stands where there is nothing to show. */
export function Empty({ title, children, bad }: { title: string; children?: ComponentChildren; bad?: boolean }) {
  return (
    <div class={`empty ${bad ? "bad" : ""}`} role={bad ? "alert" : undefined}>
      <strong>{title}</strong>
      {children && <div>{children}</div>}
    </div>
  );
}

/** Shown only when something takes long enough to be noticed (the style sheet delays it). */
export function Loading({ what }: { what: string }) {
  return (
    <div class="loading" role="status">
      Loading {what}…
    </div>
  );
}

export function Fact({ label, children, title }: { label: string; children: ComponentChildren; title?: string }) {
  return (
    <div class="fact" title={title}>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}
