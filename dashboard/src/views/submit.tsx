import { useState } from "preact/hooks";
import { errorText, post } from "../api/http.ts";
import { plural } from "../model/format.ts";
import { Button } from "../parts/controls.tsx";
import { Dialog } from "../parts/dialogs.tsx";
import { go } from "../state/route.ts";
import { toast } from "../state/session.ts";

type Mode = "commands" | "file";

const EXAMPLE = `{
  "name": "nightly",
  "max_parallel": 8,
  "tasks": [
    {"id": "list", "command": "python", "args": ["list_files.py"]},
    {"id": "merge", "command": "python", "args": ["merge.py"], "final": true}
  ]
}`;

/** Makes a job of command lines, or of a whole job file. */
export function SubmitDialog({ onClose }: { onClose: () => void }) {
  const [mode, setMode] = useState<Mode>("commands");
  const [name, setName] = useState("");
  const [lines, setLines] = useState("");
  const [atOnce, setAtOnce] = useState("");
  const [retries, setRetries] = useState("0");
  const [open, setOpen] = useState(false);
  const [file, setFile] = useState("");
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const commands = lines.split("\n").filter((line) => line.trim());

  const body = (): { name: string } => {
    if (mode === "file") return parseFile(file);
    if (!commands.length && !open) throw new Error("There is no command yet: write one a line.");
    return {
      name: name.trim(),
      tasks: commands.map((line) => ({ command: line, shell: true })),
      ...(atOnce && { max_parallel: Number(atOnce) }),
      ...(Number(retries) > 0 && { defaults: { retries: Number(retries) } }),
      ...(open && { open }),
    } as { name: string };
  };

  const submit = async () => {
    setError(null);
    setBusy(true);
    try {
      const made = await post<{ id: string; name: string }>("jobs", body());
      toast(`${made.name} was submitted.`);
      onClose();
      go({ view: "job", job: made.name, tab: "grid" });
    } catch (problem) {
      setError(problem instanceof Error && !(problem instanceof TypeError) ? problem.message : errorText(problem));
      setBusy(false);
    }
  };

  return (
    <Dialog title="Submit a job" wide onClose={onClose}>
      <form
        class="submit"
        onSubmit={(event) => {
          event.preventDefault();
          if (!busy) void submit();
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
        }}
      >
        <div class="segmented" role="group" aria-label="What to write">
          {(["commands", "file"] as const).map((each) => (
            <button
              key={each}
              type="button"
              aria-pressed={mode === each ? "true" : "false"}
              onClick={() => setMode(each)}
            >
              {each === "commands" ? "Commands" : "Job file (JSON)"}
            </button>
          ))}
        </div>
        {mode === "commands" ? (
          <>
            <label class="field">
              <span>Name</span>
              <input
                name="name"
                required
                autofocus
                autocomplete="off"
                spellcheck={false}
                value={name}
                onInput={(event) => setName(event.currentTarget.value)}
              />
              <small>A job of the same name becomes the next run of it.</small>
            </label>
            <label class="field">
              <span>Commands, one a line</span>
              <textarea
                name="commands"
                rows={7}
                spellcheck={false}
                placeholder={"python process.py a.csv\npython process.py b.csv"}
                value={lines}
                onInput={(event) => setLines(event.currentTarget.value)}
              />
              <small>
                Each line is a task of its own, run by /bin/sh.{" "}
                {commands.length > 0 && <b>{plural(commands.length, "task")}</b>}
              </small>
            </label>
            <div class="field-row">
              <label class="field">
                <span>At once, at most</span>
                <input
                  name="max_parallel"
                  type="number"
                  min="1"
                  placeholder="all slots"
                  value={atOnce}
                  onInput={(event) => setAtOnce(event.currentTarget.value)}
                />
              </label>
              <label class="field">
                <span>Retries of a failed task</span>
                <input
                  name="retries"
                  type="number"
                  min="0"
                  value={retries}
                  onInput={(event) => setRetries(event.currentTarget.value)}
                />
              </label>
            </div>
            <label class="check">
              <input
                type="checkbox"
                name="open"
                checked={open}
                onChange={(event) => setOpen(event.currentTarget.checked)}
              />
              <span>Keep it open for tasks from outside, until it is closed</span>
            </label>
          </>
        ) : (
          <label class="field">
            <span>Job file</span>
            <textarea
              name="file"
              rows={14}
              spellcheck={false}
              placeholder={EXAMPLE}
              value={file}
              onInput={(event) => setFile(event.currentTarget.value)}
            />
            <small>
              An object with a name, tasks and the options of a job. Commands run as the user of the
              manager.
            </small>
          </label>
        )}
        {error && (
          <p class="form-error" role="alert">
            {error}
          </p>
        )}
        <footer>
          <Button onClick={onClose}>Leave it</Button>
          <Button type="submit" kind="primary" disabled={busy && "It is on its way."}>
            Submit
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

function parseFile(text: string): { name: string } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (problem) {
    throw new Error(`This is not JSON: ${(problem as Error).message}`);
  }
  if (parsed && typeof parsed === "object" && "name" in parsed && typeof parsed.name === "string") {
    return parsed as { name: string };
  }
  throw new Error('The job needs a name: {"name": "…", "tasks": […]}');
}
