/**
 * What this process was told at its start: argv over environment over defaults, parsed once. Everything that can be
 * wrong with it is said here, in words, before anything is opened. Pure: argv and environment are arguments.
 *
 * Every flag has a variable: `--edge` is SLUICE_EDGE, `--queue-max` is SLUICE_QUEUE_MAX. The join token and the key of an
 * upstream are better given as SLUICE_JOIN and SLUICE_UPSTREAM_KEY: argv can be read by every user of the machine.
 */
import { parseArgs } from "node:util";
import { z } from "zod";
import { Directive } from "./engines/script/directive.ts";

export const FLAGS = {
  engine: { type: "string" },
  model: { type: "string" },
  as: { type: "string" },
  "script-options": { type: "string" },
  threads: { type: "string" },
  gpu: { type: "string" },
  server: { type: "string" },
  upstream: { type: "string" },
  "upstream-key": { type: "string" },
  "reuse-in-slots": { type: "boolean" },
  host: { type: "string" },
  port: { type: "string" },
  edge: { type: "string" },
  join: { type: "string" },
  data: { type: "string" },
  slots: { type: "string" },
  context: { type: "string" },
  "queue-max": { type: "string" },
  "queue-wait-ms": { type: "string" },
  "attempt-ms": { type: "string" },
  "drain-ms": { type: "string" },
  "insecure-standalone": { type: "boolean" },
} as const;
type Flag = keyof typeof FLAGS;

const whole = (min: number, max: number): z.ZodType<number> => z.coerce.number().int().min(min).max(max);

const Gpu = z.enum(["auto", "cuda", "vulkan", "metal", "cpu"]);

const ScriptOptions = z.strictObject({
  name: z.string().optional(),
  weights: z.string().optional(),
  restartMs: z.int().min(0).optional(),
  positionsFile: z.string().optional(),
  mayKillProcess: z.boolean().optional(),
  /** What holds where a prompt's directive is silent. */
  script: Directive.optional(),
});
export type ScriptOptions = z.infer<typeof ScriptOptions>;

const ScriptJson = z
  .string()
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      context.addIssue({ code: "custom", message: "not JSON" });
      return z.NEVER;
    }
  })
  .pipe(ScriptOptions);

/** The id of the bundled model: what a node serves that was told nothing. */
export const BUNDLED_MODEL = "sluice-tiny";

const Server = z.enum(["vllm", "sglang", "llama-server"]);

const Given = z.object({
  engine: z.enum(["llama", "http", "script"]).default("llama"),
  /** A GGUF file or a reference to one; undefined: the bundled model. */
  model: z.string().min(1).optional(),
  /** The model's id, as calls name it; undefined: made from the file's name. */
  as: z.string().min(1).max(128).optional(),
  /** JSON for the script engine: see engines/script/engine.ts. */
  "script-options": ScriptJson.prefault("{}"),
  threads: whole(1, 1_024).optional(),
  gpu: Gpu.optional(),
  /** What the http engine stands in front of, and where that is. */
  server: Server.optional(),
  upstream: z.url({ protocol: /^https?$/ }).optional(),
  "upstream-key": z.string().min(1).max(1_024).optional(),
  "reuse-in-slots": z.boolean().default(false),
  host: z.string().min(1).default("127.0.0.1"),
  port: whole(0, 65_535).default(8_080),
  edge: z.url({ protocol: /^https?$/ }).optional(),
  join: z.string().min(20).max(200).optional(),
  data: z.string().min(1).default(".sluice/node"),
  slots: whole(1, 1_024).optional(),
  context: whole(64, 10_000_000).optional(),
  "queue-max": whole(0, 10_000).default(32),
  "queue-wait-ms": whole(0, 600_000).default(30_000),
  "attempt-ms": whole(1_000, 86_400_000).default(1_800_000),
  "drain-ms": whole(0, 3_600_000).default(30_000),
  "insecure-standalone": z.boolean().default(false),
});

export type Config = {
  readonly engine: EngineChoice;
  readonly host: string;
  readonly port: number;
  /** Undefined: standalone, a plain OpenAI server for this machine alone. */
  readonly edge: { readonly url: URL; readonly joinToken: string | undefined } | undefined;
  readonly dataDir: string;
  readonly queueMax: number;
  readonly queueWaitMs: number;
  readonly attemptMsMax: number;
  readonly drainMs: number;
};

/** Which engine, and what it is told; where a model's file lies is found out later. */
export type EngineChoice = {
  readonly kind: "llama" | "http" | "script";
  readonly modelId: string;
  readonly model: string | undefined;
  readonly slots: number | undefined;
  readonly contextTokens: number | undefined;
  readonly threads: number | undefined;
  readonly gpu: z.infer<typeof Gpu> | undefined;
  /** Of the http engine alone. */
  readonly upstream:
    | {
        readonly server: z.infer<typeof Server>;
        readonly url: URL;
        readonly key: string | undefined;
        readonly reuseInSlots: boolean;
      }
    | undefined;
  readonly script: ScriptOptions;
};

export type ParsedConfig =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly message: string };

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** "hf:Qwen/Qwen3-8B-GGUF:Q4_K_M" and "models/Qwen3-8B.gguf" both make an id that people can type. */
function modelIdOf(model: string | undefined): string {
  if (model === undefined) return BUNDLED_MODEL;
  const last =
    model
      .replace(/^hf:/, "")
      .replace(/:[^:/]*$/, "")
      .split("/")
      .at(-1) ?? "";
  const id = last
    .replace(/[.-]gguf$/i, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, "-");
  return id === "" ? "model" : id;
}

function variableOf(flag: string): string {
  return `SLUICE_${flag.toUpperCase().replaceAll("-", "_")}`;
}

function gather(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): object {
  const { values } = parseArgs({ args: [...argv], options: FLAGS, strict: true, allowPositionals: false });
  const given: Record<string, string | boolean> = {};
  for (const flag of Object.keys(FLAGS) as Flag[]) {
    const fromEnv = env[variableOf(flag)];
    if (values[flag] !== undefined) given[flag] = values[flag];
    else if (fromEnv !== undefined && fromEnv !== "")
      given[flag] = FLAGS[flag].type === "boolean" ? fromEnv === "1" : fromEnv;
  }
  return given;
}

export function parseConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): ParsedConfig {
  let raw: object;
  try {
    raw = gather(argv, env);
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
  const parsed = Given.safeParse(raw);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const flag = String(issue?.path[0] ?? "");
    return { ok: false, message: `--${flag} (or ${variableOf(flag)}): ${issue?.message ?? "invalid"}` };
  }
  const given = parsed.data;
  const problem = problemWith(given);
  if (problem !== undefined) return { ok: false, message: problem };
  const edge = given.edge === undefined ? undefined : { url: new URL(given.edge), joinToken: given.join };
  return {
    ok: true,
    config: {
      engine: {
        kind: given.engine,
        modelId: given.as ?? modelIdOf(given.model),
        model: given.model,
        slots: given.slots,
        contextTokens: given.context,
        threads: given.threads,
        gpu: given.gpu,
        upstream: upstreamOf(given),
        script: given["script-options"],
      },
      host: given.host,
      port: given.port,
      edge,
      dataDir: given.data,
      queueMax: given["queue-max"],
      queueWaitMs: given["queue-wait-ms"],
      attemptMsMax: given["attempt-ms"],
      drainMs: given["drain-ms"],
    },
  };
}

function upstreamOf(given: z.infer<typeof Given>): EngineChoice["upstream"] {
  const { server, upstream } = given;
  if (given.engine !== "http" || server === undefined || upstream === undefined) return undefined;
  return {
    server,
    url: new URL(upstream),
    key: given["upstream-key"],
    reuseInSlots: given["reuse-in-slots"],
  };
}

function problemWithUpstream(given: z.infer<typeof Given>): string | undefined {
  const { server, upstream, model } = given;
  if (given.engine === "http") {
    if (server === undefined || upstream === undefined)
      return "--engine http stands in front of a server: give --server vllm, sglang or llama-server, and --upstream URL";
    if (model === undefined || model.startsWith("hf:"))
      return "--engine http needs --model: the GGUF file, or the folder with tokenizer.json, that the server loads";
    return undefined;
  }
  if (server !== undefined || upstream !== undefined || given["upstream-key"] !== undefined)
    return "--server, --upstream and --upstream-key are for --engine http";
  return undefined;
}

function problemWith(given: z.infer<typeof Given>): string | undefined {
  const problem = problemWithUpstream(given);
  if (problem !== undefined) return problem;
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
