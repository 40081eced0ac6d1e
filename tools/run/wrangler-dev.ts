/**
 * The edge under `wrangler dev`: slower than workerd alone (a proxy stands before it), and it reloads when a file of the
 * Worker changes. For working on Sluice itself; nothing is measured here.
 *
 * Secrets go through a file that only its owner reads, never through the command line, where every process sees them.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EdgeProcess, EdgeSettings } from "./edge-process.ts";
import { LogFile } from "./log-file.ts";
import { descendantsOf, endAll, isAlive, programOf } from "./processes.ts";

const GRACE_MS = 3_000;

/** Without these wrangler looks up its makers' hosts at every start. */
const OFFLINE = {
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_HIDE_BANNER: "true",
} as const;

export class WranglerDev implements EdgeProcess {
  readonly #settings: EdgeSettings;
  #child: ChildProcess | undefined;

  constructor(settings: EdgeSettings) {
    this.#settings = settings;
  }

  get pid(): number | undefined {
    const wrangler = this.#child?.pid;
    if (wrangler === undefined || !isAlive(wrangler)) return undefined;
    return descendantsOf(wrangler).find((pid) => programOf(pid) === "workerd");
  }

  async start(): Promise<void> {
    const { dataDir, port } = this.#settings;
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const envFile = join(dataDir, "vars.env");
    // Single quotes: the values are JSON, and nothing in them is to be expanded.
    const lines = Object.entries(this.#settings.vars).map(([name, value]) => `${name}='${value}'\n`);
    writeFileSync(envFile, lines.join(""), { mode: 0o600 });
    // Before it runs: two processes that write one SQLite file would wait for each other.
    await this.#migrate();
    const place = ["--ip", "127.0.0.1", "--port", String(port), "--persist-to", dataDir];
    const quiet = "--show-interactive-dev-session=false";
    this.#child = this.#wrangler(["dev", ...place, "--env-file", envFile, quiet]);
  }

  migrate(): Promise<void> {
    return Promise.resolve();
  }

  async #migrate(): Promise<void> {
    const { dataDir } = this.#settings;
    const child = this.#wrangler(["d1", "migrations", "apply", "DB", "--local", "--persist-to", dataDir]);
    const code = await new Promise<number | null>((resolve) => child.once("exit", resolve));
    if (code !== 0) throw new Error(`the migrations failed; see ${this.#settings.logFile}`);
  }

  async kill(): Promise<void> {
    await this.#end(0);
  }

  async stop(): Promise<void> {
    await this.#end(GRACE_MS);
  }

  async #end(graceMs: number): Promise<void> {
    const wrangler = this.#child?.pid;
    this.#child = undefined;
    if (wrangler !== undefined) await endAll([wrangler, ...descendantsOf(wrangler)], graceMs);
  }

  #wrangler(args: readonly string[]): ChildProcess {
    const { root, logFile } = this.#settings;
    const program = join(root, "node_modules/wrangler/bin/wrangler.js");
    const child = spawn(process.execPath, [program, ...args], {
      cwd: root,
      env: { ...process.env, ...OFFLINE, CI: "true" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const log = new LogFile(logFile);
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes: Buffer) => log.write(bytes));
    child.once("close", () => log.close());
    return child;
  }
}
