/**
 * What `hf:` names: a file of a Hugging Face repository (`hf:owner/repo/file.gguf`), or a quantisation of it
 * (`hf:owner/repo:Q4_K_M`) whose file is looked up. Pure.
 */
export type HfReference =
  | { readonly repo: string; readonly file: string }
  | { readonly repo: string; readonly quant: string };

const NAME = String.raw`[\w.-]{1,96}`;
const FILE = new RegExp(`^hf:(${NAME}/${NAME})/((?:${NAME}/){0,8}${NAME}\\.gguf)$`);
const QUANT = new RegExp(`^hf:(${NAME}/${NAME}):([\\w.-]{1,32})$`);

export function parseHfReference(text: string): HfReference | undefined {
  const [, repoOfFile, file] = FILE.exec(text) ?? [];
  if (repoOfFile !== undefined && file !== undefined) {
    // A name of dots only would leave the cache folder.
    return [...repoOfFile.split("/"), ...file.split("/")].some(isDots)
      ? undefined
      : { repo: repoOfFile, file };
  }
  const [, repo, quant] = QUANT.exec(text) ?? [];
  if (repo === undefined || quant === undefined) return undefined;
  return repo.split("/").some(isDots) ? undefined : { repo, quant };
}

const isDots = (name: string): boolean => /^\.+$/.test(name);

/** The file with that quantisation: whole rather than sharded, and the first shard of a sharded one. */
export function pickQuantFile(files: readonly string[], quant: string): string | undefined {
  const asWord = new RegExp(
    `(?:^|[^a-z0-9])${quant.toLowerCase().replaceAll(/[.-]/g, String.raw`\$&`)}(?:[^a-z0-9_]|$)`,
  );
  const fitting = ggufModels(files).filter((file) => asWord.test(file.toLowerCase()));
  const whole = fitting.filter((file) => !/-\d{5}-of-\d{5}\.gguf$/.test(file));
  const shard = fitting.filter((file) => /-00001-of-\d{5}\.gguf$/.test(file));
  return shortestOf(whole) ?? shortestOf(shard);
}

/** Model files alone: neither image projectors nor importance matrices. */
export function ggufModels(files: readonly string[]): readonly string[] {
  return files.filter((file) => file.endsWith(".gguf") && !/mmproj|imatrix/i.test(file));
}

function shortestOf(names: readonly string[]): string | undefined {
  return [...names].sort((a, b) => a.length - b.length || (a < b ? -1 : 1))[0];
}
