/**
 * `.sluice/`: everything a local platform keeps between two starts. It holds secrets, so the folder is open to its owner
 * alone (0700) and its files too (0600). Files are replaced as a whole: a start that dies leaves the old one or the new.
 *
 *   secrets.json   the deployment's secrets and admin token, made once
 *   state.json     the dev account and key, and which node has which port
 *   dev.json       what other programs need to talk to the platform; gone from the beginning of a start until it is ready
 *   run.json       the processes of the running platform; gone when it has stopped
 *   worker/        what workerd keeps: D1, KV, objects, queues
 *   nodes/<n>/     each node's identity and journal
 *   logs/          of this start
 */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { PlatformError } from "./problem.ts";

const SecretsFile = z.object({ secrets: z.string(), adminToken: z.string() });
export type SecretsFile = z.infer<typeof SecretsFile>;

/** `idle`: it stood here once, and is not started today; its folder may owe receipts. */
export const NodePlace = z.object({
  name: z.string(),
  region: z.string(),
  port: z.int(),
  idle: z.literal(true).optional(),
});
export type NodePlace = z.infer<typeof NodePlace>;

const StateFile = z.object({
  account: z.string().optional(),
  apiKey: z.string().optional(),
  nodes: z.array(NodePlace).default([]),
});
export type StateFile = z.infer<typeof StateFile>;

const RunFile = z.object({ pid: z.int(), children: z.array(z.int()), baseUrl: z.string() });
export type RunFile = z.infer<typeof RunFile>;

export type DevFile = {
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly adminToken: string;
  readonly nodes: readonly { readonly id: string; readonly url: string; readonly region: string }[];
  readonly pages: { readonly try: string };
};

export class StateFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    try {
      mkdirSync(this.file("logs"), { recursive: true, mode: 0o700 });
      chmodSync(path, 0o700);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new PlatformError(
        `${path} cannot hold the data of a platform (${why}); --data names another folder`,
      );
    }
  }

  file(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  /**
   * Forgets everything, the folder's own name excepted. Throws a PlatformError where it holds things and no sign that a
   * platform made them.
   */
  forget(): void {
    const ours = existsSync(this.file("state.json")) || existsSync(this.file("secrets.json"));
    const made = new Set(["logs", "worker", "run.json"]);
    const others = readdirSync(this.path).filter((name) => !made.has(name));
    if (!ours && others.length > 0)
      throw new PlatformError(
        `${this.path} was not made by Sluice (it has ${others[0]}); --fresh deletes only what Sluice made`,
      );
    for (const name of ["secrets.json", "state.json", "dev.json", "worker", "nodes", "logs"])
      rmSync(this.file(name), { recursive: true, force: true });
    mkdirSync(this.file("logs"), { recursive: true, mode: 0o700 });
  }

  secrets(): SecretsFile {
    const known = this.#read("secrets.json", SecretsFile);
    if (known !== undefined) return known;
    const made = {
      secrets: JSON.stringify({ current: "k1", keys: { k1: randomBytes(32).toString("base64url") } }),
      adminToken: `adm_${randomBytes(24).toString("base64url")}`,
    };
    this.#write("secrets.json", made);
    return made;
  }

  state(): StateFile {
    return this.#read("state.json", StateFile) ?? { nodes: [] };
  }

  keepState(state: StateFile): void {
    this.#write("state.json", state);
  }

  forgetDev(): void {
    rmSync(this.file("dev.json"), { force: true });
  }

  writeDev(dev: DevFile): void {
    this.#write("dev.json", dev);
  }

  running(): RunFile | undefined {
    return this.#read("run.json", RunFile);
  }

  keepRunning(run: RunFile | undefined): void {
    if (run === undefined) rmSync(this.file("run.json"), { force: true });
    else this.#write("run.json", run);
  }

  #read<Shape extends z.ZodType>(name: string, shape: Shape): z.infer<Shape> | undefined {
    const path = this.file(name);
    if (!existsSync(path)) return undefined;
    try {
      return shape.parse(JSON.parse(readFileSync(path, "utf8")));
    } catch {
      throw new PlatformError(`${path} cannot be read; repair it, or start with --fresh to begin anew`);
    }
  }

  #write(name: string, value: unknown): void {
    const path = this.file(name);
    writeFileSync(`${path}.new`, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
}
