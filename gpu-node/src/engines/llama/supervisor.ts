/**
 * Keeps one engine process alive: forks it, waits for `ready`, notices its death, starts another after a pause that
 * grows up to ten seconds. Owns the child process and nothing of its tasks; engine.ts is told `ready` and `died`.
 * The first start is different: weights that cannot be loaded then are the operator's mistake and end in `bad_model`,
 * while later the same failure is retried for ever (a volume that comes back).
 */
import { type ChildProcess, fork } from "node:child_process";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { wakeMsOf } from "../wake-time.ts";
import { EngineFault } from "../engine.ts";
import { HEALTHY_AFTER_MS, restartDelayMs } from "./backoff.ts";
import { loadFailure, whyEnded } from "./load-failure.ts";
import { FromChild, type LoadMessage, type ReadyMessage, type ToChild } from "./messages.ts";
import { WORKERS_VARIABLE } from "./workers.ts";

const CHILD_PATH = fileURLToPath(new URL("./child.ts", import.meta.url));
/** The last words of a dying process, for the fault's message. */
const LAST_WORDS_BYTES = 2_048;
const LAST_WORDS_LINES = 4;
/** How long an ended child's last words may still take to arrive. */
const LAST_WORDS_WAIT_MS = 50;
/** A child that was told to go gets this long before it is killed. */
const CLOSE_GRACE_MS = 2_000;

export type SupervisorHooks = {
  ready(message: ReadyMessage): void;
  message(message: FromChild): void;
  died(fault: EngineFault): void;
  log(line: string): void;
  /** Asked before every restart; a reason means: not now. */
  mayRestart(): Promise<string | undefined>;
};

type Started = { resolve(): void; reject(fault: EngineFault): void };

/** One child, from fork to exit. */
type Life = {
  readonly first: Started | undefined;
  /** llama.cpp's first, while it loads. */
  complaint: string | undefined;
  lastWords: string;
  refusal: Extract<FromChild, { kind: "bad" }> | undefined;
  readyAt: number | undefined;
};

export class Supervisor {
  readonly #load: () => LoadMessage;
  readonly #workers: number;
  readonly #hooks: SupervisorHooks;
  #child: ChildProcess | undefined;
  #ready = false;
  #closed = false;
  #crashesInARow = 0;
  /** When the child that is not ready yet was started, or will be. */
  #startsAtMs = 0;
  /** What the last start took, from its fork to `ready`. */
  #startMs: number | undefined;
  #restart: NodeJS.Timeout | undefined;
  #gone: Promise<void> = Promise.resolve();

  /** `workers`: see workers.ts. */
  constructor(load: () => LoadMessage, workers: number, hooks: SupervisorHooks) {
    this.#load = load;
    this.#workers = workers;
    this.#hooks = hooks;
  }

  get ready(): boolean {
    return this.#ready;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** About how long until it is ready again; undefined where that is not known, or it takes longer than it ever did. */
  get wakeMs(): number | undefined {
    if (this.#ready || this.#closed) return undefined;
    return wakeMsOf(this.#startsAtMs, this.#startMs, performance.now());
  }

  /** Resolves when the first child is ready; rejects with `bad_model` when it cannot be. */
  start(): Promise<void> {
    return new Promise<void>((resolve, reject) => this.#fork({ resolve, reject }));
  }

  send(message: ToChild): void {
    // A message into a dying channel is lost; the child's exit event fails whoever waits for an answer.
    if (this.#child?.connected === true) this.#child.send(message, () => undefined);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#ready = false;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child?.connected === true) child.disconnect();
    const killer = setTimeout(() => child?.kill("SIGKILL"), CLOSE_GRACE_MS);
    await this.#gone;
    clearTimeout(killer);
  }

  #fork(first: Started | undefined): void {
    this.#startsAtMs = performance.now();
    const child = fork(CHILD_PATH, [], {
      execArgv: [],
      env: { ...process.env, [WORKERS_VARIABLE]: String(this.#workers) },
      serialization: "json",
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    const life: Life = { first, complaint: undefined, lastWords: "", refusal: undefined, readyAt: undefined };
    this.#child = child;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      life.lastWords = (life.lastWords + text).slice(-LAST_WORDS_BYTES);
    });
    child.on("message", (raw) => this.#receive(raw, child, life));
    this.#gone = new Promise((resolve) => {
      const over = (how: string): void => {
        this.#ready = false;
        resolve();
        void ended(child.stderr, LAST_WORDS_WAIT_MS).then(() => this.#bury(how, life));
      };
      // Not "close": Node never emits it once the channel has been disconnected from this side.
      child.once("exit", (code, signal) => over(signal === null ? `exit code ${code}` : `signal ${signal}`));
      child.on("error", (error) => {
        this.#hooks.log(`engine process: ${error.message}`);
        // A process that could not be made has no exit.
        if (child.pid === undefined) over(error.message);
      });
    });
    this.send(this.#load());
  }

  #receive(raw: unknown, child: ChildProcess, life: Life): void {
    const parsed = FromChild.safeParse(raw);
    if (!parsed.success) {
      life.lastWords += `unknown message: ${parsed.error.message.slice(0, LAST_WORDS_BYTES)}`;
      child.kill("SIGKILL");
      return;
    }
    const message = parsed.data;
    if (message.kind === "log" && message.line.startsWith("error")) life.complaint ??= message.line;
    if (message.kind === "bad") life.refusal = message;
    else if (message.kind !== "ready") this.#hooks.message(message);
    else if (!this.#closed) {
      this.#hooks.ready(message);
      this.#ready = true;
      life.readyAt = performance.now();
      this.#startMs = life.readyAt - this.#startsAtMs;
      life.first?.resolve();
    }
  }

  #bury(how: string, { first, complaint, lastWords, refusal, readyAt }: Life): void {
    if (this.#closed) {
      first?.reject(new EngineFault("engine_died", "The engine was closed while it was starting."));
      return;
    }
    const words = lastWords.trim().split("\n").slice(-LAST_WORDS_LINES).join(" | ");
    const why = refusal?.reason ?? whyEnded(how, readyAt === undefined ? complaint : undefined, words);
    if (first !== undefined && readyAt === undefined) {
      const { weightsPath } = this.#load();
      const fault =
        refusal?.noMemory === true
          ? new EngineFault("no_memory", `${weightsPath} does not fit: ${why}.`)
          : new EngineFault("bad_model", loadFailure(weightsPath, why));
      first.reject(fault);
      return;
    }
    if (readyAt !== undefined && performance.now() - readyAt >= HEALTHY_AFTER_MS) this.#crashesInARow = 0;
    this.#crashesInARow += 1;
    this.#hooks.died(new EngineFault("engine_died", `The engine died: ${why}`));
    this.#scheduleRestart();
  }

  #scheduleRestart(): void {
    const delayMs = restartDelayMs(this.#crashesInARow);
    this.#hooks.log(`engine process: starting again in ${delayMs} ms`);
    this.#startsAtMs = performance.now() + delayMs;
    this.#restart = setTimeout(() => {
      this.#tryRestart().catch((error: unknown) => {
        this.#hooks.log(`engine process: ${error instanceof Error ? error.message : String(error)}`);
        this.#crashesInARow += 1;
        if (!this.#closed) this.#scheduleRestart();
      });
    }, delayMs);
  }

  async #tryRestart(): Promise<void> {
    const reason = await this.#hooks.mayRestart();
    if (this.#closed) return;
    if (reason !== undefined) throw new Error(reason);
    this.#fork(undefined);
  }
}

function ended(stream: Readable | null, waitMs: number): Promise<void> {
  return new Promise((resolve) => {
    if (stream === null || stream.closed) {
      resolve();
      return;
    }
    const timer = setTimeout(resolve, waitMs);
    stream.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
