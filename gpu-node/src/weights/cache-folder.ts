/** Where downloaded weights and remembered digests live unless the operator says otherwise. */
import { homedir } from "node:os";
import { join } from "node:path";

export function cacheFolder(env: Readonly<Record<string, string | undefined>> = process.env): string {
  if (env.SLUICE_CACHE !== undefined && env.SLUICE_CACHE !== "") return env.SLUICE_CACHE;
  const base = env.XDG_CACHE_HOME;
  return join(base === undefined || base === "" ? join(homedir(), ".cache") : base, "sluice");
}
