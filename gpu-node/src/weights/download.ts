/**
 * Downloads one file so that it can be interrupted at any moment: bytes go to a `.part` file that belongs to one
 * version of the remote file (its etag), a later start continues there, and only a whole and verified file gets the final
 * name. Hugging Face tells the SHA-256 of large files in their etag; where it does, it is verified.
 * A server that says nothing for a while is given up after a few tries without progress.
 */
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { EngineFault } from "../engines/engine.ts";
import { hashFile } from "./digest.ts";
import type { Progress } from "./progress-bar.ts";

const CONNECT_TIMEOUT_MS = 8_000;
const STALL_TIMEOUT_MS = 30_000;
const TRIES_WITHOUT_PROGRESS_MAX = 4;
const REDIRECTS_MAX = 4;
const SHA256 = /^[0-9a-f]{64}$/;

export type Download = {
  readonly url: URL;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly progress: Progress;
  readonly stallTimeoutMs?: number;
};

type Remote = { readonly url: URL; readonly etag: string; readonly bytes: number };

export async function download(wish: Download): Promise<void> {
  const remote = await look(wish);
  await mkdir(dirname(wish.path), { recursive: true });
  const version = createHash("sha256").update(remote.etag).digest("hex").slice(0, 16);
  const part = `${wish.path}.${version}.part`;
  const unlock = await lock(`${wish.path}.lock`);
  try {
    await fill(part, remote, wish);
    if (SHA256.test(remote.etag) && (await hashFile(part)) !== remote.etag) {
      await rm(part);
      throw failure(wish.url, "arrived damaged (its SHA-256 is wrong)", "Start again to download it anew.");
    }
    await rename(part, wish.path);
  } finally {
    await unlock();
  }
}

/** What the server has, without its bytes. */
async function look(wish: Download): Promise<Remote> {
  const { url } = wish;
  let at = url;
  for (let i = 0; i < REDIRECTS_MAX; i++) {
    const response = await reach(at, { method: "HEAD", headers: ownHeaders(at, wish), redirect: "manual" });
    const linked = response.headers.get("x-linked-size");
    const location = response.headers.get("location");
    // Large files answer with a redirect to a store, and with what is to be known about them.
    if (location !== null && linked === null) {
      at = new URL(location, at);
      continue;
    }
    if (!response.ok && location === null) throw refusal(url, response.status);
    const etag = response.headers.get("x-linked-etag") ?? response.headers.get("etag") ?? "";
    return {
      url: at,
      etag: etag.replaceAll(/^W\/|"/g, ""),
      bytes: Number(linked ?? response.headers.get("content-length") ?? 0),
    };
  }
  throw failure(url, "leads from redirect to redirect", "Check the reference.");
}

/** A token is for the host it was given for, and not for the store that it leads to. */
function ownHeaders(at: URL, { url, headers }: Download): Readonly<Record<string, string>> {
  return at.origin === url.origin ? headers : {};
}

async function fill(part: string, remote: Remote, wish: Download): Promise<void> {
  let tries = 0;
  let done = await sizeOf(part);
  while (remote.bytes === 0 || done < remote.bytes) {
    const before = done;
    try {
      await take(part, done, remote, wish);
    } catch (error) {
      if (error instanceof EngineFault) throw error;
      tries = (await sizeOf(part)) > before ? 0 : tries + 1;
      if (tries >= TRIES_WITHOUT_PROGRESS_MAX) {
        throw failure(
          wish.url,
          `stopped at ${await sizeOf(part)} of ${remote.bytes} bytes`,
          "Start again to continue from there.",
          error,
        );
      }
    }
    done = await sizeOf(part);
    if (remote.bytes === 0) return;
    if (done > remote.bytes) {
      await rm(part);
      throw failure(wish.url, "is longer than announced", "Start again to download it anew.");
    }
  }
}

async function take(part: string, from: number, remote: Remote, wish: Download): Promise<void> {
  const stall = new AbortController();
  const stallMs = wish.stallTimeoutMs ?? STALL_TIMEOUT_MS;
  const timer = setTimeout(() => stall.abort(new Error(`nothing came for ${stallMs} ms`)), stallMs);
  try {
    const range = from > 0 ? { range: `bytes=${from}-` } : {};
    const response = await fetch(remote.url, {
      headers: { ...ownHeaders(remote.url, wish), ...range, "accept-encoding": "identity" },
      signal: stall.signal,
    });
    if (!response.ok || response.body === null) throw refusal(wish.url, response.status);
    // A server that ignores the range sends everything again.
    const start = response.status === 206 ? from : 0;
    let done = start;
    const body = Readable.fromWeb(response.body);
    body.on("data", (chunk: Uint8Array) => {
      timer.refresh();
      done += chunk.length;
      wish.progress(done, remote.bytes);
    });
    await pipeline(body, createWriteStream(part, start === 0 ? { flags: "w" } : { flags: "r+", start }), {
      signal: stall.signal,
    });
  } finally {
    clearTimeout(timer);
  }
}

/** Any answer at all within the time that an offline machine's user is willing to wait. */
export async function reach(url: URL, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) });
  } catch (error) {
    throw failure(
      url,
      "cannot be reached",
      "Is this machine offline? Copy the file here by other means and name its path with --model.",
      error,
    );
  }
}

export function refusal(url: URL, status: number): EngineFault {
  if (status === 401 || status === 403) {
    return failure(
      url,
      "may not be downloaded without permission",
      "Accept its licence on its page, and set HF_TOKEN to an access token.",
    );
  }
  if (status === 404) return failure(url, "does not exist", "Check owner, repository and file name.");
  return failure(url, `answers with status ${status}`, "Try again later.");
}

export function failure(url: URL, what: string, advice: string, cause?: unknown): EngineFault {
  const why =
    cause instanceof Error ? ` (${cause.cause instanceof Error ? cause.cause.message : cause.message})` : "";
  return new EngineFault(
    "bad_model",
    `${url.host}: ${decodeURIComponent(url.pathname)} ${what}${why}. ${advice}`,
    { cause },
  );
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** One process at a time; a lock whose process is gone counts for nothing. */
async function lock(path: string): Promise<() => Promise<void>> {
  for (let i = 0; i < 2; i++) {
    try {
      const file = await open(path, "wx");
      await file.writeFile(String(process.pid));
      await file.close();
      return () => rm(path, { force: true });
    } catch {
      const owner = Number(await readFile(path, "utf8").catch(() => ""));
      if (owner > 0 && isAlive(owner)) {
        throw new EngineFault(
          "bad_model",
          `Process ${owner} is downloading ${path.replace(/\.lock$/, "")} already: wait for it.`,
        );
      }
      await rm(path, { force: true });
    }
  }
  throw new EngineFault("bad_model", `${path} cannot be created: may this process write there?`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
