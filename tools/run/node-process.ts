/**
 * One gpu-node as a supervised process. It is started again when it dies, ever more slowly while it dies at once, and
 * each death is said aloud. A test may kill it (then it stays dead until asked back) or kill only the engine below it.
 * Invariant: after `stop()` nothing that it started is alive.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { LogFile } from "./log-file.ts";
import { descendantsOf, endAll, isAlive, signal, until } from "./processes.ts";

/** A restart waits this long; twice as long after each death that came before the node had run for a while. */
const BACKOFF_FIRST_MS = 250;
const BACKOFF_MAX_MS = 15_000;
/** How much of a node's last words is kept, to tell why it could not start. */
const SAID_CHARS_MAX = 16 * 1024;
/** A node that lived this long died of something new. */
const SETTLED_MS = 30_000;
/** Between SIGTERM and SIGKILL: a node drains, and writes its last receipts. */
const GRACE_MS = 5_000;
const DRAIN_MS = 2_000;

export type NodeSettings = {
  readonly root: string;
  readonly name: string;
  readonly region: string;
  readonly port: number;
  /** Where the edge reaches it, where that is not its own port: something stands before it. */
  readonly publicUrl?: string | undefined;
  readonly dataDir: string;
  readonly logFile: string;
  readonly edgeUrl: string;
  /** Undefined for a node that has enrolled before: its data folder knows who it is. */
  readonly joinToken: string | undefined;
  /** Engine, model and whatever else the node's command line takes. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Told of a node that cannot start, and will not by trying again: its own words why. */
  readonly onFatal?: (name: string, why: string) => void;
  /** Told of every death that nobody asked for, and when it comes back. */
  readonly onDeath: (name: string, how: string, backInMs: number) => void;
};

export class NodeProcess {
  readonly name: string;
  readonly region: string;
  readonly url: string;
  readonly dataDir: string;
  readonly logFile: string;
  readonly #settings: NodeSettings;
  #child: ChildProcess | undefined;
  #wanted = false;
  #backoffMs = BACKOFF_FIRST_MS;
  #comingBack: NodeJS.Timeout | undefined;

  constructor(settings: NodeSettings) {
    this.#settings = settings;
    this.name = settings.name;
    this.region = settings.region;
    this.url = settings.publicUrl ?? `http://127.0.0.1:${settings.port}`;
    this.dataDir = settings.dataDir;
    this.logFile = settings.logFile;
  }

  /** Of the node itself; undefined while it is dead. */
  get pid(): number | undefined {
    const pid = this.#child?.pid;
    return pid !== undefined && isAlive(pid) ? pid : undefined;
  }

  /** The processes below the node: its engine. */
  get enginePids(): readonly number[] {
    return this.pid === undefined ? [] : descendantsOf(this.pid).filter(isAlive);
  }

  start(): void {
    this.#wanted = true;
    if (this.pid !== undefined) return;
    const { root, port, dataDir, logFile, edgeUrl, joinToken, args, env } = this.#settings;
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const child = spawn(
      process.execPath,
      [
        join(root, "gpu-node/src/main.ts"),
        "--host",
        "127.0.0.1",
        "--port",
        String(port),
        "--edge",
        edgeUrl,
        "--data",
        dataDir,
        // Shorter than the grace below: a node that is told to stop ends its answers by itself, and says how.
        "--drain-ms",
        String(DRAIN_MS),
        ...args,
      ],
      {
        cwd: root,
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, ...(joinToken === undefined ? {} : { SLUICE_JOIN: joinToken }), ...env },
      },
    );
    const log = new LogFile(logFile);
    let said = "";
    // What ended a node that has served (a full disk, say) may pass; one that never came to serve asks for its operator.
    let served = false;
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (bytes: Buffer) => {
        said = (said + bytes.toString()).slice(-SAID_CHARS_MAX);
        served ||= said.includes(SERVES);
        log.write(bytes);
      });
    child.once("close", () => log.close());
    const startedAtMs = performance.now();
    child.once("exit", (code, killedBy) => {
      if (this.#child !== child || !this.#wanted) return;
      const fatal = code === null || code === 0 || served ? undefined : fatalIn(said);
      if (fatal === undefined)
        return this.#afterDeath(killedBy ?? `exit status ${code}`, performance.now() - startedAtMs);
      this.#wanted = false;
      this.#settings.onFatal?.(this.name, fatal);
    });
    this.#child = child;
  }

  /** kill -9 of the node, and with `tree` of its engine too; it stays dead until `start()`. */
  async kill(whom: "node" | "tree" = "node"): Promise<void> {
    this.#wanted = false;
    clearTimeout(this.#comingBack);
    const pids = this.pid === undefined ? [] : [this.pid, ...(whom === "tree" ? this.enginePids : [])];
    for (const pid of pids) signal(pid, "SIGKILL");
    if (!(await until(() => !pids.some(isAlive), GRACE_MS))) throw new Error(`${this.name} outlived kill -9`);
  }

  /** Ends the node and everything below it. */
  async stop(): Promise<void> {
    this.#wanted = false;
    clearTimeout(this.#comingBack);
    const { pid } = this;
    if (pid === undefined) return;
    // Noted before the node goes: without it, nobody knows whose children they were.
    const below = this.enginePids;
    await endAll([pid], GRACE_MS);
    await endAll(below.filter(isAlive), GRACE_MS);
  }

  #afterDeath(how: string, livedMs: number): void {
    if (!this.#wanted) return;
    if (livedMs >= SETTLED_MS) this.#backoffMs = BACKOFF_FIRST_MS;
    const waitMs = this.#backoffMs;
    this.#backoffMs = Math.min(this.#backoffMs * 2, BACKOFF_MAX_MS);
    this.#settings.onDeath(this.name, how, waitMs);
    this.#comingBack = setTimeout(() => this.start(), waitMs);
  }
}

/** In the line with which a node says that a model of it is there. */
const SERVES = '"event":"engine_ready"';

/** The message of the line with which a node gave up; undefined where it did not say. */
function fatalIn(said: string): string | undefined {
  for (const line of said.split("\n").toReversed()) {
    if (!line.includes('"fatal"')) continue;
    try {
      const { event, message } = JSON.parse(line) as { event?: unknown; message?: unknown };
      if (event === "fatal" && typeof message === "string") return message;
    } catch {
      // Half a line: the one before may be whole.
    }
  }
  return undefined;
}
