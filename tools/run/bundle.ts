/**
 * The Worker as one module for workerd, made by esbuild as wrangler makes it, and nothing wrangler would add. It is made
 * again whenever one of the files it came from has changed. It carries no source map: nobody here reads it, it was three quarters of the
 * text, and a start took half as long again for it.
 *
 * The entry is a door, not src/index.ts itself. A socket on a Worker's default entrypoint goes through miniflare's
 * asset router, which costs half a millisecond of every request (measured: 780 against 290 µs of CPU). A named
 * entrypoint is not routed, so the door does what Cloudflare does natively: `run_worker_first` paths go to the Worker,
 * the rest is looked up among the files first.
 */
import { remember } from "./remember.ts";
import { STRAIGHT_FETCH_SOURCE } from "./workerd.ts";

export const DOOR = "LocalDoor";
const DOOR_FILE = "door.js";

function doorSource(entry: string, workerFirst: readonly string[]): string {
  return `${STRAIGHT_FETCH_SOURCE}
    import worker from ${JSON.stringify(entry)};
    export * from ${JSON.stringify(entry)};
    export default worker;
    const workerFirst = ${JSON.stringify(workerFirst)}.map((path) =>
      path.endsWith("*") ? { prefix: path.slice(0, -1) } : { exact: path });
    const isFirst = (path) =>
      workerFirst.some(({ prefix, exact }) => exact === path || (prefix && path.startsWith(prefix)));
    export const ${DOOR} = {
      async fetch(request, env, ctx) {
        const { method } = request;
        if ((method === "GET" || method === "HEAD") && !isFirst(new URL(request.url).pathname)) {
          const file = await env.ASSETS.fetch(request);
          if (file.status !== 404) return file;
        }
        return worker.fetch(request, env, ctx);
      },
    };`;
}

/** The text of the bundle. Throws with esbuild's own account of what is wrong where the Worker does not build. */
export function bundleWorker(root: string, main: string, workerFirst: readonly string[]): Promise<string> {
  const contents = doorSource(main, workerFirst);
  return remember(root, contents, async () => {
    const { build } = await import("esbuild");
    const result = await build({
      stdin: { contents, resolveDir: root, sourcefile: DOOR_FILE, loader: "js" },
      absWorkingDir: root,
      bundle: true,
      write: false,
      metafile: true,
      format: "esm",
      target: "es2024",
      conditions: ["workerd", "worker", "browser"],
      external: ["cloudflare:*", "node:*"],
      logLevel: "silent",
    });
    const [output] = result.outputFiles;
    if (output === undefined) throw new Error("esbuild made no output");
    const inputs = Object.keys(result.metafile.inputs).filter((path) => path !== DOOR_FILE);
    return { text: output.text, inputs: [...inputs, "package-lock.json"] };
  });
}
