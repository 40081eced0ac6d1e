/**
 * A real platform for a test: on free ports, in a folder of its own that goes away with it, with nodes that answer from
 * a script unless told otherwise. Everything in it may be killed.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPlatform, type Platform, type PlatformSettings } from "../../tools/run/platform.ts";

export async function temporaryPlatform(
  settings: PlatformSettings = {},
): Promise<Platform & AsyncDisposable> {
  const dataDir = await mkdtemp(join(tmpdir(), "sluice-test-"));
  const platform = await startPlatform({ engine: "script", port: 0, dataDir, ...settings });
  return Object.assign(platform, {
    async [Symbol.asyncDispose](): Promise<void> {
      await platform.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  });
}
