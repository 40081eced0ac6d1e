/**
 * From the operator's `--model` to a file on disk: a path is taken as it is, an `hf:` reference is downloaded once into the
 * cache folder and found there ever after, offline too. Every shard of a sharded model comes along.
 * Called once at start-up, by whoever starts nodes; failing here is the operator's to read, so every message says what to do.
 */
import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { z } from "zod";
import { EngineFault } from "../engines/engine.ts";
import { cacheFolder } from "./cache-folder.ts";
import { download, failure, reach, refusal } from "./download.ts";
import { type HfReference, ggufModels, parseHfReference, pickQuantFile } from "./hf-reference.ts";
import { type Progress, progressBar } from "./progress-bar.ts";
import { shardPaths } from "./shards.ts";

export type FindOptions = {
  readonly cacheDir?: string;
  /** A mirror instead of https://huggingface.co. */
  readonly hfEndpoint?: string;
  readonly hfToken?: string;
  readonly progress?: (name: string) => Progress;
  readonly stallTimeoutMs?: number;
};

const HF_ENDPOINT = "https://huggingface.co";
const CANDIDATES_SHOWN_MAX = 12;
const Repository = z.object({ siblings: z.array(z.object({ rfilename: z.string() })) });

/** The path of the weights; throws EngineFault("bad_model") with what to do. */
export async function findWeights(model: string, options: FindOptions = {}): Promise<string> {
  if (!model.startsWith("hf:")) return findPath(model);
  const reference = parseHfReference(model);
  if (reference === undefined) {
    throw new EngineFault(
      "bad_model",
      `"${model}" is no reference: write hf:owner/repo/file.gguf or hf:owner/repo:Q4_K_M.`,
    );
  }
  const folder = join(options.cacheDir ?? cacheFolder(), "models", reference.repo);
  const file = "file" in reference ? reference.file : await quantFile(reference, folder, options);
  const [first, ...rest] = shardPaths(file);
  for (const shard of [first, ...rest]) await fetchFile(reference.repo, shard, folder, options);
  return join(folder, first);
}

async function findPath(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() === true) return resolve(path);
  const what = found === undefined ? "there is no such file" : "it is no file";
  throw new EngineFault(
    "bad_model",
    `${resolve(path)}: ${what}. Name a .gguf file, or hf:owner/repo/file.gguf.`,
  );
}

async function fetchFile(repo: string, file: string, folder: string, options: FindOptions): Promise<void> {
  const path = join(folder, file);
  if (await stat(path).catch(() => undefined)) return;
  await download({
    url: new URL(`/${repo}/resolve/main/${file}`, options.hfEndpoint ?? HF_ENDPOINT),
    path,
    headers: headersOf(options),
    progress: (options.progress ?? progressBar)(file),
    ...(options.stallTimeoutMs === undefined ? {} : { stallTimeoutMs: options.stallTimeoutMs }),
  });
}

/** What is in the cache already needs no network. */
async function quantFile(
  { repo, quant }: Extract<HfReference, { quant: string }>,
  folder: string,
  options: FindOptions,
): Promise<string> {
  const cached = await readdir(folder, { recursive: true }).catch((): string[] => []);
  const known = pickQuantFile(cached, quant);
  if (known !== undefined && shardPaths(known).every((shard) => cached.includes(shard))) return known;
  const url = new URL(`/api/models/${repo}`, options.hfEndpoint ?? HF_ENDPOINT);
  const response = await reach(url, { headers: headersOf(options) });
  if (!response.ok) throw refusal(url, response.status);
  const parsed = Repository.safeParse(await response.json().catch(() => undefined));
  if (!parsed.success)
    throw failure(url, "answers with something else than a list of files", "Check HF_ENDPOINT.");
  const files = parsed.data.siblings.map(({ rfilename }) => rfilename);
  const file = pickQuantFile(files, quant);
  // The list is the server's: its names must be as harmless as those of a written reference.
  if (file !== undefined && parseHfReference(`hf:${repo}/${file}`) !== undefined) return file;
  const offered = ggufModels(files).slice(0, CANDIDATES_SHOWN_MAX).join(", ");
  throw failure(
    url,
    `has no ${quant} file`,
    offered === "" ? "It holds no GGUF files at all." : `It has: ${offered}.`,
  );
}

/** What Hugging Face's own tools read, too. */
export function hfFrom(env: Readonly<Record<string, string | undefined>>): FindOptions {
  const [hfToken, hfEndpoint] = [env.HF_TOKEN, env.HF_ENDPOINT];
  return {
    ...(hfToken === undefined || hfToken === "" ? {} : { hfToken }),
    ...(hfEndpoint === undefined || hfEndpoint === "" ? {} : { hfEndpoint }),
  };
}

function headersOf({ hfToken }: FindOptions): Record<string, string> {
  return hfToken === undefined || hfToken === "" ? {} : { authorization: `Bearer ${hfToken}` };
}
