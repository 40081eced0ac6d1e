/**
 * Results that follow from files alone, kept under node_modules/.cache: what was made is used again while every file it
 * was made from has the same content. Nothing to invalidate, nothing to configure; `npm ci` empties it. A cache that
 * cannot be read or written only costs the time of making.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

const Kept = z.object({ inputs: z.array(z.tuple([z.string(), z.string()])), text: z.string() });

export type Made = {
  readonly text: string;
  /** Every file the text depends on, from the root. */
  readonly inputs: readonly string[];
};

async function digest(root: string, path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(join(root, path)))
    .digest("hex");
}

/** `name` says what it is and what it depends on besides files. */
export async function remember(root: string, name: string, make: () => Promise<Made>): Promise<string> {
  const folder = join(root, "node_modules/.cache/sluice");
  const path = join(
    folder,
    `${createHash("sha256").update(`${root}\n${name}`).digest("hex").slice(0, 32)}.json`,
  );
  try {
    const kept = Kept.parse(JSON.parse(await readFile(path, "utf8")));
    const now = await Promise.all(kept.inputs.map(([input]) => digest(root, input)));
    if (kept.inputs.every(([, before], i) => before === now[i])) return kept.text;
  } catch {
    // Nothing kept, or a file is gone: made anew below.
  }
  const made = await make();
  try {
    const inputs = await Promise.all(made.inputs.map(async (input) => [input, await digest(root, input)]));
    await mkdir(folder, { recursive: true });
    await writeFile(`${path}.${process.pid}`, JSON.stringify({ inputs, text: made.text }));
    await rename(`${path}.${process.pid}`, path);
  } catch {
    // A read-only checkout: the next start makes it again.
  }
  return made.text;
}
