/**
 * The whole platform on one machine, as an object: the edge in workerd, gpu-nodes beside it, and what a developer needs
 * to use them. `npm start` prints it; end-to-end tests, benches and chaos start their own on free ports in a folder of
 * their own, and may kill any part of it with kill -9.
 *
 * Nothing is configured here that wrangler.toml or the admin API knows: nodes enrol with join tokens, the dev account
 * gets its key and its credit, the model its price, the way an operator would do it.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";
import { AdminClient, type KnownNode } from "./admin-client.ts";
import { engineArguments } from "./model.ts";
import type { EdgeProcess } from "./edge-process.ts";
import { NodeProcess } from "./node-process.ts";
import { receiptsOwed } from "./owed.ts";
import { PlatformError } from "./problem.ts";
import { checkPlaces, isSamePlace, layOut, type PlaceWishes } from "./places.ts";
import { probePort } from "./ports.ts";
import { argumentsOf, endAll, isAlive, programOf, signal, until } from "./processes.ts";
import { seedAccount, seedCatalogue } from "./seed.ts";
import { StateFolder, type NodePlace } from "./state.ts";
import { WorkerProcess } from "./worker.ts";
import { WranglerDev } from "./wrangler-dev.ts";

/** workerd has answered within a second wherever this was measured. */
const EDGE_READY_MS = 30_000;
/** Weights are read from disk; large ones take their time, and progress says what is waited for. */
const NODE_READY_MS = 10 * 60_000;
const GRACE_MS = 5_000;
/** Nodes beat once a second. */
const BEAT_FRESH_MS = 2_500;
/** Asking costs the edge a query. */
const NODE_POLL_MS = 100;
/** How soon a workerd that was started again behind our back is known as ours. */
const EDGE_WATCH_MS = 500;

export type PlatformSettings = PlaceWishes & {
  /** 0: any free port. */
  readonly port?: number;
  /** What every node serves; the bundled model where nothing is said. */
  readonly models?: readonly string[];
  readonly engine?: string;
  readonly fresh?: boolean;
  /** The edge under `wrangler dev`, which reloads it when its code changes. */
  readonly hotReload?: boolean;
  /** Where everything is kept; `.sluice` in the repository where not given. */
  readonly dataDir?: string;
  /** More arguments for every node, or for the one of this name, and more environment for all. */
  readonly nodeArgs?: readonly string[] | ((name: string) => readonly string[]);
  readonly nodeEnv?: Readonly<Record<string, string>>;
  /** Puts something before a node, and says at which url the edge reaches it there. */
  readonly front?: (place: NodePlace) => Promise<string>;
  /** Another entry than wrangler.toml's: one that a bench or chaos wraps around it. */
  readonly main?: string;
  /** More variables for the Worker: SLUICE_CLOCKS, say. */
  readonly vars?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly say?: (what: string) => void;
  readonly warn?: (what: string) => void;
};

const ROOT = resolve(import.meta.dirname, "../..");

export class Platform {
  readonly baseUrl: string;
  readonly dataDir: string;
  readonly adminToken: string;
  readonly admin: AdminClient;
  readonly pages: { readonly try: string };
  /** The model's id in the catalogue. */
  model = "";
  account = "";
  apiKey = "";
  nodes: readonly NodeProcess[] = [];
  nodeIds: ReadonlyMap<string, string> = new Map();
  readonly #settings: PlatformSettings;
  readonly #folder: StateFolder;
  readonly #worker: EdgeProcess;
  readonly #engineArgs: readonly string[];
  /** Of the workerd that this platform has started or found again; undefined while it is meant to be dead. */
  #edgePid: number | undefined;
  #edgeWatch: NodeJS.Timeout | undefined;
  #stopped: Promise<void> | undefined;
  #fatal: string | undefined;
  /** The last resort, where this process ends without having stopped the platform. */
  readonly #onExit = (): void => {
    for (const { pid } of this.nodes) if (pid !== undefined) signal(pid, "SIGKILL");
  };

  constructor(settings: PlatformSettings, folder: StateFolder, port: number) {
    checkPlaces(settings);
    this.#engineArgs = engineArguments(ROOT, settings.models ?? [], settings.engine);
    const { secrets, adminToken } = folder.secrets();
    this.#settings = settings;
    this.#folder = folder;
    this.baseUrl = `http://127.0.0.1:${port}`;
    this.dataDir = folder.path;
    this.adminToken = adminToken;
    this.pages = { try: `${this.baseUrl}/` };
    this.admin = new AdminClient(this.baseUrl, adminToken);
    const Edge = settings.hotReload ? WranglerDev : WorkerProcess;
    this.#worker = new Edge({
      root: ROOT,
      ...(settings.main === undefined ? {} : { main: settings.main }),
      port,
      dataDir: folder.file("worker"),
      logFile: folder.file("logs", "worker.log"),
      vars: {
        SLUICE_SECRETS: secrets,
        SLUICE_ADMIN_TOKEN: adminToken,
        SLUICE_DEV: "1",
        ...settings.vars,
      },
    });
  }

  get workerdPid(): number | undefined {
    return this.#worker.pid;
  }

  get workerLog(): string {
    return this.#folder.file("logs", "worker.log");
  }

  async bringUp(): Promise<void> {
    const say = this.#settings.say ?? (() => undefined);
    say("starting the edge");
    await this.restartWorker({ migrate: true });
    say("preparing the dev account");
    const state = this.#folder.state();
    const seeded = await seedAccount(this.admin, state);
    this.account = seeded.account;
    this.apiKey = seeded.apiKey;
    this.#folder.keepState({ ...state, ...seeded });
    const places = await layOut(this.#settings, state.nodes);
    const left = state.nodes.filter((known) => !places.some((place) => isSamePlace(place, known)));
    for (const place of left) this.#tellOfLeft(place);
    // Those that are left out today keep their name, their port and with them their data, for the day they are back.
    this.#folder.keepState({
      ...seeded,
      nodes: [...places, ...left.map((place) => ({ ...place, idle: true as const }))],
    });
    say(places.length === 1 ? "starting the node" : `starting ${places.length} nodes`);
    this.nodes = await Promise.all(places.map((place) => this.#prepareNode(place)));
    process.once("exit", this.#onExit);
    for (const node of this.nodes) node.start();
    this.#noteRunning();
    await this.whenNodesReady(say);
    this.model = await seedCatalogue(this.admin, await this.admin.nodes());
    this.#writeDev();
  }

  /** Starts the Worker on its old port over its old data, after `killWorker()` or for the first time. */
  async restartWorker(options?: { readonly migrate?: boolean }): Promise<void> {
    await this.#worker.start();
    if (options?.migrate) await this.#worker.migrate();
    const answers = await until(() => this.admin.healthy(), EDGE_READY_MS);
    if (!answers) throw new PlatformError(`the edge does not answer; its log is ${this.workerLog}`);
    this.#edgePid = this.workerdPid;
    this.#noteRunning();
    this.#edgeWatch ??= setInterval(() => this.#watchEdge(), EDGE_WATCH_MS).unref();
  }

  /** kill -9 of workerd. It stays dead until `restartWorker()`. */
  killWorker(): Promise<void> {
    this.#edgePid = undefined;
    return this.#worker.kill();
  }

  /** Waits until the edge has heard from every node that it is ready. */
  async whenNodesReady(say: (what: string) => void = () => undefined): Promise<void> {
    const wanted = new Set(this.nodes.map((node) => node.url));
    const ready = await until(
      async () => {
        this.#settings.signal?.throwIfAborted();
        if (this.#fatal !== undefined) throw new PlatformError(this.#fatal);
        const known = (await this.admin.nodes()).filter((node) => wanted.has(node.url));
        this.nodeIds = new Map(known.map((node) => [node.url, node.id]));
        const models = this.#settings.models?.length ?? 1;
        for (const node of known)
          if (isReady(node, 1) && !isReady(node, models)) await throwWhereRefused(node.url);
        const waiting = wanted.size - known.filter((node) => isReady(node, models)).length;
        if (waiting > 0)
          say(`waiting for ${waiting === 1 ? "a node" : `${waiting} nodes`} to load its model`);
        return waiting === 0;
      },
      NODE_READY_MS,
      NODE_POLL_MS,
    );
    if (!ready) throw new PlatformError(`a node did not become ready; see ${this.#folder.file("logs")}`);
  }

  /** Ends every process of this platform. Calling it twice waits for the first. */
  stop(): Promise<void> {
    this.#stopped ??= this.#tearDown();
    return this.#stopped;
  }

  async #tearDown(): Promise<void> {
    clearInterval(this.#edgeWatch);
    // Nodes first: their last receipts want an edge that still listens.
    await Promise.all(this.nodes.map((node) => node.stop()));
    process.off("exit", this.#onExit);
    await this.#worker.stop();
    this.#folder.keepRunning(undefined);
  }

  /** A node that is not started today may owe receipts: its requests stay unsettled until it is started again. */
  #tellOfLeft({ name, region, port }: NodePlace): void {
    const owed = receiptsOwed(this.#folder.file("nodes", `${name}-${region}-${port}`));
    if (owed === 0) return;
    this.#settings.warn?.(
      `${name} of region ${region} is not started, and owes ${owed === 1 ? "a receipt" : `${owed} receipts`}: ` +
        `what it answered is settled when it is started again (--regions ${region})`,
    );
  }

  async #prepareNode(place: NodePlace): Promise<NodeProcess> {
    const publicUrl = await this.#settings.front?.(place);
    const url = publicUrl ?? `http://127.0.0.1:${place.port}`;
    const { nodeArgs = [] } = this.#settings;
    const moreArgs = typeof nodeArgs === "function" ? nodeArgs(place.name) : nodeArgs;
    // The region is a part of the name: a node that is moved is another node, with another identity.
    const dataDir = this.#folder.file("nodes", `${place.name}-${place.region}-${place.port}`);
    // A node whose folder is gone has lost its identity, whatever the registry says: it is invited again.
    const knowsItself = existsSync(join(dataDir, "identity.json"));
    const enrolled = knowsItself && (await this.admin.nodes()).some((node) => node.url === url);
    const joinToken = enrolled
      ? undefined
      : await this.admin.makeJoinToken({ name: place.name, region: place.region, url });
    return new NodeProcess({
      root: ROOT,
      ...place,
      publicUrl,
      dataDir,
      logFile: this.#folder.file("logs", `${place.name}.log`),
      edgeUrl: this.baseUrl,
      joinToken,
      args: [...this.#engineArgs, ...moreArgs],
      env: this.#settings.nodeEnv ?? {},
      onFatal: (name, why) => {
        this.#fatal = `${name} cannot start: ${why}`;
        // While the platform comes up the start itself fails, with these words.
        if (this.model !== "") this.#settings.warn?.(this.#fatal);
      },
      onDeath: (name, how, backInMs) => {
        this.#settings.warn?.(
          `${name} died (${how}); starting it again in ${backInMs} ms. Its log: logs/${name}.log`,
        );
        setTimeout(() => this.#noteRunning(), backInMs + GRACE_MS).unref();
      },
    });
  }

  /** A workerd that died is started again by what runs it. The next `npm start` has to know it, if this one is killed. */
  #watchEdge(): void {
    const { workerdPid } = this;
    if (this.#edgePid === undefined || workerdPid === undefined || workerdPid === this.#edgePid) return;
    this.#edgePid = workerdPid;
    this.#noteRunning();
    // Under hot reload it is another one after every change.
    if (!this.#settings.hotReload)
      this.#settings.warn?.("the edge died and was started again. Its log: logs/worker.log");
  }

  #noteRunning(): void {
    if (this.#stopped !== undefined) return;
    const children = [this.workerdPid, ...this.nodes.map((node) => node.pid)].filter(
      (pid) => pid !== undefined,
    );
    try {
      this.#folder.keepRunning({ pid: process.pid, children, baseUrl: this.baseUrl });
    } catch (error) {
      // A full disk. What runs goes on.
      const why = error instanceof Error ? error.message : String(error);
      this.#settings.warn?.(`it cannot be noted what runs here (${why})`);
    }
  }

  #writeDev(): void {
    const { baseUrl, apiKey, adminToken, pages } = this;
    const nodes = this.nodes.map(({ url, region }) => ({ id: this.nodeIds.get(url) ?? "", url, region }));
    this.#folder.writeDev({ baseUrl, apiKey, adminToken, nodes, pages });
  }
}

/** Its beat says so, of so many models, and is no memory of an earlier start. */
function isReady({ live }: KnownNode, models: number): boolean {
  if (live === null || live.beatAgeMs >= BEAT_FRESH_MS) return false;
  return live.state === "ready" && live.models.length >= models;
}

const Health = z.object({ failures: z.record(z.string(), z.string()) });

/** A node serves what it can of several models; whoever starts a platform wants to know why one of them is missing. */
async function throwWhereRefused(nodeUrl: string): Promise<void> {
  const answer = await fetch(`${nodeUrl}/health`)
    .then((response) => response.json())
    .catch(() => undefined);
  const [refused] = Object.entries(Health.safeParse(answer).data?.failures ?? {});
  if (refused !== undefined) throw new PlatformError(`${refused[0]} cannot be served: ${refused[1]}`);
}

/** A platform that was killed without a chance to clean up leaves processes: they go before the next one comes. */
async function clearLeftovers(folder: StateFolder): Promise<void> {
  const before = folder.running();
  if (before === undefined) return;
  if (before.pid !== process.pid && isAlive(before.pid) && programOf(before.pid) === "node") {
    throw new PlatformError(
      `a platform with this data is running already at ${before.baseUrl} (process ${before.pid}); stop it first`,
    );
  }
  const ours = before.children.filter(
    (pid) =>
      programOf(pid) === "workerd" || argumentsOf(pid).some((word) => word.endsWith("gpu-node/src/main.ts")),
  );
  await endAll(ours, GRACE_MS);
  folder.keepRunning(undefined);
}

export async function startPlatform(settings: PlatformSettings = {}): Promise<Platform> {
  const folder = new StateFolder(resolve(ROOT, settings.dataDir ?? ".sluice"));
  await clearLeftovers(folder);
  if (settings.fresh) folder.forget();
  folder.forgetDev();
  const port = await probePort(settings.port ?? 0);
  if (port === undefined) {
    throw new PlatformError(
      `port ${settings.port} is taken by another program; end that, or choose another one: PORT=${(settings.port ?? 0) + 1} npm start`,
    );
  }
  const platform = new Platform(settings, folder, port);
  try {
    await platform.bringUp();
    settings.signal?.throwIfAborted();
    return platform;
  } catch (error) {
    await platform.stop();
    throw error;
  }
}
