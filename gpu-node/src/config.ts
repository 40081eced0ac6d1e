/**
 * What this process was told at its start: argv over environment over defaults, parsed once. Everything that can be
 * wrong with it is said here, in words, before anything is opened. Pure: argv, environment and a way to read the one file
 * that may be named (`--models`) are arguments.
 *
 * Every flag has a variable: `--edge` is SLUICE_EDGE, `--queue-max` is SLUICE_QUEUE_MAX. The join token and the key of an
 * upstream are better given as SLUICE_JOIN and SLUICE_UPSTREAM_KEY: argv can be read by every user of the machine.
 */
import { parseArgs } from "node:util";
import { z } from "zod";
import { chooseModels, MODEL_FLAGS, modelFields, whole, type EngineChoice } from "./model-config.ts";

/** Where a node's identity, journal and control socket are. */
export const DATA_DEFAULT = ".sluice/node";

export const FLAGS = {
  ...MODEL_FLAGS,
  host: { type: "string" },
  port: { type: "string" },
  edge: { type: "string" },
  join: { type: "string" },
  data: { type: "string" },
  "journal-mib": { type: "string" },
  "queue-max": { type: "string" },
  "queue-wait-ms": { type: "string" },
  "attempt-ms": { type: "string" },
  "drain-ms": { type: "string" },
  "insecure-standalone": { type: "boolean" },
} as const;
type Flag = keyof typeof FLAGS;

const Given = z.object({
  ...modelFields,
  host: z.string().min(1).default("127.0.0.1"),
  port: whole(0, 65_535).default(8_080),
  edge: z.url({ protocol: /^https?$/ }).optional(),
  join: z.string().min(20).max(200).optional(),
  data: z.string().min(1).default(DATA_DEFAULT),
  "journal-mib": whole(16, 10_000_000).default(4_096),
  "queue-max": whole(0, 10_000).default(32),
  "queue-wait-ms": whole(0, 600_000).default(30_000),
  "attempt-ms": whole(1_000, 86_400_000).default(1_800_000),
  "drain-ms": whole(0, 3_600_000).default(30_000),
  "insecure-standalone": z.boolean().default(false),
});

export type Config = {
  /** At least one; no two of one id. */
  readonly models: readonly EngineChoice[];
  readonly host: string;
  readonly port: number;
  /** Undefined: standalone, a plain OpenAI server for this machine alone. */
  readonly edge: { readonly url: URL; readonly joinToken: string | undefined } | undefined;
  readonly dataDir: string;
  readonly journalBytesMax: number;
  readonly queueMax: number;
  readonly queueWaitMs: number;
  readonly attemptMsMax: number;
  readonly drainMs: number;
};

export type ParsedConfig =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly message: string };

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

function variableOf(flag: string): string {
  return `SLUICE_${flag.toUpperCase().replaceAll("-", "_")}`;
}

function gather(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): object {
  const { values } = parseArgs({ args: [...argv], options: FLAGS, strict: true, allowPositionals: false });
  const given: Record<string, string | boolean | string[]> = {};
  for (const flag of Object.keys(FLAGS) as Flag[]) {
    const fromEnv = env[variableOf(flag)];
    const value = values[flag];
    if (value !== undefined) given[flag] = value;
    else if (fromEnv !== undefined && fromEnv !== "") given[flag] = read(flag, fromEnv);
  }
  return given;
}

const SWITCHES: Readonly<Record<string, boolean | undefined>> = {
  "1": true,
  true: true,
  "0": false,
  false: false,
};

/** A variable holds one text: of a flag that may be given several times, the values stand between commas. */
function read(flag: Flag, text: string): string | boolean | string[] {
  const kind: { readonly type: string; readonly multiple?: boolean } = FLAGS[flag];
  if (kind.type === "boolean") {
    const said = SWITCHES[text.toLowerCase()];
    if (said === undefined) throw new Error(`${variableOf(flag)} is 1 or 0, and not '${text.slice(0, 50)}'`);
    return said;
  }
  return kind.multiple === true ? text.split(",").filter((part) => part !== "") : text;
}

function noFiles(path: string): never {
  throw new Error(`${path} cannot be read here`);
}

/** `readText` throws where there is no such file. */
export function parseConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  readText: (path: string) => string = noFiles,
): ParsedConfig {
  let raw: object;
  try {
    raw = gather(argv, env);
  } catch (error) {
    return { ok: false, message: wordsOf(error) };
  }
  const parsed = Given.safeParse(raw);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const flag = String(issue?.path[0] ?? "");
    return { ok: false, message: `--${flag} (or ${variableOf(flag)}): ${issue?.message ?? "invalid"}` };
  }
  const given = parsed.data;
  if (given.models !== undefined && (given.model !== undefined || given.as !== undefined))
    return { ok: false, message: "--models lists all models: --model and --as do not go with it" };
  let listed: string | undefined;
  try {
    if (given.models !== undefined) listed = readText(given.models);
  } catch (error) {
    return { ok: false, message: `--models: ${wordsOf(error)}` };
  }
  const chosen = chooseModels(given, raw, listed);
  if (!chosen.ok) return chosen;
  const problem = problemWith(given);
  if (problem !== undefined) return { ok: false, message: problem };
  const edge = given.edge === undefined ? undefined : { url: new URL(given.edge), joinToken: given.join };
  return {
    ok: true,
    config: {
      models: chosen.models,
      host: given.host,
      port: given.port,
      edge,
      dataDir: given.data,
      journalBytesMax: given["journal-mib"] * 2 ** 20,
      queueMax: given["queue-max"],
      queueWaitMs: given["queue-wait-ms"],
      attemptMsMax: given["attempt-ms"],
      drainMs: given["drain-ms"],
    },
  };
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function problemWith(given: z.infer<typeof Given>): string | undefined {
  if (given["insecure-standalone"]) {
    if (given.edge !== undefined) return "--insecure-standalone and --edge exclude each other";
    if (!isLoopback(given.host))
      return "--insecure-standalone answers anybody who can reach it: it is for loopback hosts only";
    return undefined;
  }
  if (given.edge === undefined)
    return "a node works for an edge: give --edge and, the first time, --join (or --insecure-standalone to try it alone)";
  const { protocol, hostname } = new URL(given.edge);
  if (protocol !== "https:" && !isLoopback(hostname))
    return "--edge has to be https unless it is on loopback";
  return undefined;
}
