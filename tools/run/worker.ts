/**
 * The edge on this machine: the Worker in workerd, with the bindings of wrangler.toml, on a socket of its own.
 *
 * miniflare is asked for nothing but workerd and its simulators. Its ordinary port is a proxy in this process and three
 * times slower; a direct socket is workerd itself. `cf: false` keeps it from looking up a description of this network:
 * a start opens no connection to anywhere.
 *
 * workerd may be killed at any moment (tests do, with kill -9): all it keeps is in SQLite files. miniflare starts it
 * again by itself, on the same port; `kill()` prevents that, for tests which want the edge to be gone for a while.
 */
import { Log, LogLevel, Miniflare, convertV4MiniflareOptions, type V4MiniflareOptions } from "miniflare";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { DOOR, bundleWorker } from "./bundle.ts";
import type { EdgeProcess, EdgeSettings } from "./edge-process.ts";
import { LogFile } from "./log-file.ts";
import { remember } from "./remember.ts";
import { childrenOf, isAlive, programOf, signal, until } from "./processes.ts";
import { straightNetwork, workerdEnvironment } from "./workerd.ts";

/** A killed process is gone within this time, or the machine is in trouble. */
const DEATH_MS = 5_000;
/** Local runs fire the Worker's cron by this clock; wrangler.toml says once a minute. */
const CRON_INTERVAL_MS = 60_000;

/** The few of wrangler's options that are looked at here; the rest goes to miniflare as it is. */
const Local = z.looseObject({
  main: z.string(),
  assets: z.looseObject({ directory: z.string(), run_worker_first: z.array(z.string()).default([]) }),
  bindings: z.record(z.string(), z.string()).default({}),
});

export type WorkerSettings = EdgeSettings & {
  /** Another entry than wrangler.toml's: one that a bench wraps around it. */
  readonly main?: string;
  /** Opens workerd's inspector on loopback, for a profile. */
  readonly inspectorPort?: number;
};

export class WorkerProcess implements EdgeProcess {
  readonly #settings: WorkerSettings;
  #miniflare: Miniflare | undefined;
  #cron: NodeJS.Timeout | undefined;

  constructor(settings: WorkerSettings) {
    this.#settings = settings;
  }

  /** Of workerd; undefined while it is dead. */
  get pid(): number | undefined {
    if (this.#miniflare === undefined) return undefined;
    return childrenOf(process.pid).find(
      (pid) => programOf(pid) === "workerd" && this.#owns(pid) && isAlive(pid),
    );
  }

  /** Bundles and starts. Returns once the socket listens. */
  async start(): Promise<void> {
    const before = new Set(childrenOf(process.pid));
    const options = convertV4MiniflareOptions(await workerOptions(this.#settings));
    this.#miniflare = keepingSignals(() => new Miniflare(options));
    await this.#miniflare.ready;
    this.#pids = new Set(
      childrenOf(process.pid).filter((pid) => !before.has(pid) && programOf(pid) === "workerd"),
    );
    this.#cron = setInterval(() => void this.#fireCron(), CRON_INTERVAL_MS);
    this.#cron.unref();
  }

  #pids = new Set<number>();

  #owns(pid: number): boolean {
    // After a crash miniflare's own restart has a new pid: then the only workerd of this process is meant.
    return this.#pids.has(pid) || ![...this.#pids].some(isAlive);
  }

  /** Brings D1 to the newest schema; what is applied already is skipped, by name, as wrangler does. */
  async migrate(): Promise<void> {
    if (this.#miniflare === undefined) throw new Error("the Worker is not running");
    const db = await this.#miniflare.getD1Database("DB");
    await db
      .prepare(
        "create table if not exists d1_migrations (id integer primary key autoincrement, name text unique, applied_at timestamp default current_timestamp not null)",
      )
      .run();
    const { results } = await db.prepare("select name from d1_migrations").all<{ name: string }>();
    const applied = new Set(results.map((row) => row.name));
    const folder = join(this.#settings.root, "migrations");
    const names = (await readdir(folder)).filter((name) => name.endsWith(".sql")).sort();
    for (const name of names.filter((name) => !applied.has(name))) {
      const text = await readFile(join(folder, name), "utf8");
      const statements = text
        .split("--> statement-breakpoint")
        .map((statement) => statement.trim())
        .filter(Boolean);
      // One batch is one transaction: a migration is applied whole, with the note that it was, or not at all.
      await db.batch([
        ...statements.map((statement) => db.prepare(statement)),
        db.prepare("insert into d1_migrations (name) values (?)").bind(name),
      ]);
    }
  }

  /** kill -9, and it stays dead until the next `start()`. */
  async kill(): Promise<void> {
    const { pid } = this;
    if (pid !== undefined) signal(pid, "SIGKILL");
    await this.stop();
    if (pid !== undefined && !(await until(() => !isAlive(pid), DEATH_MS)))
      throw new Error(`workerd (process ${pid}) outlived kill -9`);
  }

  async stop(): Promise<void> {
    clearInterval(this.#cron);
    const miniflare = this.#miniflare;
    this.#miniflare = undefined;
    await miniflare?.dispose();
  }

  async #fireCron(): Promise<void> {
    try {
      const worker = await this.#miniflare?.getWorker();
      await worker?.scheduled({ cron: "* * * * *" });
    } catch {
      // It is being killed or stopped: the next minute comes.
    }
  }
}

/**
 * miniflare ends the process at the first signal, whatever else is still to be stopped. Who started the process decides
 * what a signal means, so the listeners that it adds are taken away again; the one for "exit" stays.
 */
function keepingSignals<Result>(make: () => Result): Result {
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const before = new Map(names.map((name) => [name, new Set(process.listeners(name))]));
  const made = make();
  for (const name of names) {
    for (const listener of process.listeners(name))
      if (before.get(name)?.has(listener) === false) process.removeListener(name, listener);
  }
  return made;
}

/** What wrangler makes of its file. Kept, because importing wrangler takes longer than starting workerd. */
async function readBindings(root: string): Promise<z.infer<typeof Local>> {
  const text = await remember(root, "wrangler.toml", async () => {
    const { unstable_getMiniflareWorkerOptions: readWranglerToml } = await import("wrangler");
    const { workerOptions, main } = readWranglerToml(join(root, "wrangler.toml"));
    return {
      text: JSON.stringify({ ...workerOptions, main }),
      inputs: ["wrangler.toml", "node_modules/wrangler/package.json"],
    };
  });
  return Local.parse(JSON.parse(text));
}

async function workerOptions(settings: WorkerSettings): Promise<V4MiniflareOptions> {
  const { main, modulesRules: _rules, rootPath: _rootPath, ...bindings } = await readBindings(settings.root);
  const script = await bundleWorker(settings.root, settings.main ?? main, bindings.assets.run_worker_first);
  const log = new LogFile(settings.logFile);
  return {
    ...bindings,
    name: "sluice",
    modules: [{ type: "ESModule", path: "worker.js", contents: script }],
    bindings: { ...bindings.bindings, ...settings.vars },
    serviceBindings: straightNetwork,
    unsafeDirectSockets: [{ host: "127.0.0.1", port: settings.port, entrypoint: DOOR }],
    resourcePersistencePath: settings.dataDir,
    cf: false,
    unsafeRuntimeEnv: workerdEnvironment,
    ...(settings.inspectorPort === undefined
      ? {}
      : { inspectorHost: "127.0.0.1", inspectorPort: settings.inspectorPort }),
    log: new Log(LogLevel.ERROR),
    handleStructuredLogs: ({ timestamp, level, message }) => {
      log.write(`${new Date(timestamp).toISOString()} ${level} ${message}\n`);
    },
  };
}
