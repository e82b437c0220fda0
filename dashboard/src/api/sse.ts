/** One event of a `text/event-stream`. */
export interface ServerEvent {
  event: string;
  data: string;
  /** The last id seen so far, this event's or an earlier one's. */
  id: string;
}

/**
 * Takes a `text/event-stream` apart, in whatever pieces it arrives, as the HTML standard describes it.
 * Comments (the server's pings) yield nothing.
 */
export class EventParser {
  private rest = "";
  private data: string[] = [];
  private event = "";
  private id = "";
  private begun = false;

  push(chunk: string): ServerEvent[] {
    const found: ServerEvent[] = [];
    this.rest += chunk;
    if (!this.begun && this.rest) {
      this.begun = true;
      if (this.rest.charCodeAt(0) === 0xfeff) this.rest = this.rest.slice(1);
    }
    let from = 0;
    for (;;) {
      const end = this.lineEnd(from);
      if (end < 0) break;
      this.line(this.rest.slice(from, end), found);
      from = this.rest.startsWith("\r\n", end) ? end + 2 : end + 1;
    }
    this.rest = this.rest.slice(from);
    return found;
  }

  /** Where the line that begins at `from` ends; -1 while that is not known, as with a CR that may be half a CRLF. */
  private lineEnd(from: number): number {
    const feed = this.rest.indexOf("\n", from);
    const carriage = this.rest.indexOf("\r", from);
    if (carriage < 0 || (feed >= 0 && feed < carriage)) return feed;
    return carriage + 1 === this.rest.length ? -1 : carriage;
  }

  private line(line: string, found: ServerEvent[]): void {
    if (line === "") {
      if (this.data.length) found.push({ event: this.event || "message", data: this.data.join("\n"), id: this.id });
      this.data = [];
      this.event = "";
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") this.data.push(value);
    else if (field === "event") this.event = value;
    else if (field === "id" && !value.includes("\0")) this.id = value;
  }
}
