/**
 * The weights' digest: SHA-256 of the file (of a sharded model, of its shards' digests), which covers weights, tokenizer
 * and template, since a GGUF holds all three. Nodes with equal digests continue each other's answers.
 * Hashing 400 GB takes minutes, so a large file's digest is remembered in the cache folder under the file's path,
 * size, inode and times; small files are simply hashed again.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { cacheFolder } from "./cache-folder.ts";
import { shardPaths } from "./shards.ts";

const REMEMBER_FROM_BYTES = 64 << 20;
const READ_BYTES = 1 << 20;
const DIGEST = /^[0-9a-f]{64}$/;

export async function digestWeights(path: string, cacheDir = cacheFolder()): Promise<string> {
  const shards = shardPaths(path);
  const digests: string[] = [];
  for (const shard of shards) digests.push(await digestFile(shard, cacheDir));
  return digests.length === 1
    ? (digests[0] ?? "")
    : createHash("sha256").update(digests.join("\n")).digest("hex");
}

async function digestFile(path: string, cacheDir: string): Promise<string> {
  const { size, ino, mtimeMs, ctimeMs } = await stat(path);
  if (size < REMEMBER_FROM_BYTES) return hashFile(path);
  const key = createHash("sha256")
    .update([resolve(path), size, ino, mtimeMs, ctimeMs].join("\n"))
    .digest("hex");
  const folder = join(cacheDir, "digests");
  const remembered = await readFile(join(folder, key), "utf8").catch(() => "");
  if (DIGEST.test(remembered)) return remembered;
  const digest = await hashFile(path);
  await remember(folder, key, digest);
  return digest;
}

export async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES })) hash.update(chunk);
  return hash.digest("hex");
}

/** A cache that cannot be written costs time, not the start. */
async function remember(folder: string, key: string, digest: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    const path = join(folder, key);
    await writeFile(`${path}.${process.pid}`, digest);
    await rename(`${path}.${process.pid}`, path);
  } catch {
    // Read-only container: hash again next time.
  }
}
