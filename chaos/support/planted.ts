/**
 * Looks for planted text in everything a platform has written: logs, SQLite files with their write-ahead logs (D1, KV,
 * objects, journals), blobs. Byte by byte, because a column, a key or a line is all the same to who steals the disk.
 */
import { globSync, readFileSync, statSync } from "node:fs";
import { basename, relative } from "node:path";

export type Planted = { readonly file: string; readonly name: string };

/** `planted`: name to text. `except`: files, by name, that hold it by design. */
export function findPlanted(
  folder: string,
  planted: Readonly<Record<string, string>>,
  except: readonly string[] = [],
): readonly Planted[] {
  return globSync("**/*", { cwd: folder })
    .map((file) => `${folder}/${file}`)
    .filter((file) => statSync(file).isFile() && !except.includes(basename(file)))
    .flatMap((path) => {
      const bytes = readFileSync(path);
      return Object.entries(planted)
        .filter(([, text]) => bytes.includes(text))
        .map(([name]) => ({ file: relative(folder, path), name }));
    });
}
