/** Requests to the server this page came from. The token goes into a header, never into an address. */
import { signal } from "@preact/signals";
import { inAirflow } from "../state/host.ts";

const KEY = "air-executor.token";

/** Where the server is mounted: the page's own address without its hash. */
export const ROOT = new URL(".", document.baseURI);

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Set while the server wants a token that it has not been given: the text to show with the question. */
export const tokenWanted = signal<string | null>(null);
let answer: PromiseWithResolver | null = null;

interface PromiseWithResolver {
  promise: Promise<void>;
  resolve: () => void;
}

export function giveToken(token: string): void {
  sessionStorage.setItem(KEY, token);
  tokenWanted.value = null;
  answer?.resolve();
  answer = null;
}

export function hasToken(): boolean {
  return sessionStorage.getItem(KEY) !== null;
}

export function forgetToken(): void {
  sessionStorage.removeItem(KEY);
  location.reload();
}

function askForToken(text: string): Promise<void> {
  if (!answer) {
    let resolve = () => {};
    const promise = new Promise<void>((done) => {
      resolve = done;
    });
    answer = { promise, resolve };
    tokenWanted.value = text;
  }
  return answer.promise;
}

/** Job and task in a path: every character that means something in an address is encoded, `/` too. */
export function jobPath(job: string, task?: string): string {
  const path = `jobs/${encodeURIComponent(job)}`;
  return task === undefined ? path : `${path}/tasks/${encodeURIComponent(task)}`;
}

/** Sends a request; asks for a token and sends it again when the server wants one. */
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    const headers = new Headers(init.headers);
    if (token) headers.set("Authorization", `Bearer ${token}`);
    const response = await fetch(new URL(path, ROOT), { ...init, headers, cache: "no-store" });
    if (response.status !== 401) return response;
    await response.body?.cancel();
    if (inAirflow) throw new ApiError(401, "Your login to Airflow has ended. Log in again, then reload this page.");
    if (token === sessionStorage.getItem(KEY)) {
      await askForToken(token ? "This token was not accepted." : "This server asks for a token.");
    }
  }
}

async function checked(response: Response): Promise<Response> {
  if (response.ok) return response;
  let text = `the server answered ${response.status} ${response.statusText}`.trim();
  try {
    const body: unknown = await response.json();
    if (body && typeof body === "object" && "error" in body && typeof body.error === "string") text = body.error;
  } catch {
    // Not every refusal has a body of ours (a proxy's has not); the status says enough.
  }
  throw new ApiError(response.status, text);
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await checked(await send(path, signal ? { signal } : {}))).json()) as T;
}

export async function getResponse(path: string, headers: HeadersInit = {}, signal?: AbortSignal): Promise<Response> {
  return checked(await send(path, signal ? { headers, signal } : { headers }));
}

export async function post<T>(path: string, body: unknown = {}): Promise<T> {
  const headers = { "Content-Type": "application/json", "X-Air-Executor": "1" };
  return (await (await checked(await send(path, { method: "POST", headers, body: JSON.stringify(body) }))).json()) as T;
}

/** What to show of something thrown by a request. */
export function errorText(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  if (error instanceof TypeError) return "the server cannot be reached";
  return String(error);
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
