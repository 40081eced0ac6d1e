/** The files of a sharded model, named `...-00001-of-00007.gguf` by llama.cpp's splitter. Pure. */
const SHARD = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;
const SHARDS_MAX = 1_024;

/** All paths that belong to `path`, which names the first; only itself where it is not sharded. */
export function shardPaths(path: string): readonly [string, ...string[]] {
  const [, stem, , countText] = SHARD.exec(path) ?? [];
  const count = Math.min(Number(countText ?? 0), SHARDS_MAX);
  if (stem === undefined || count < 2) return [path];
  const name = (index: number): string => `${stem}-${String(index).padStart(5, "0")}-of-${countText}.gguf`;
  return [name(1), ...Array.from({ length: count - 1 }, (_, i) => name(i + 2))];
}
