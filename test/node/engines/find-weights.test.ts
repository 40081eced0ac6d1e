/** Where weights come from: a path, a hub's reference, a download that was interrupted. */
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "vitest";
import { findWeights, hfFrom } from "../../../gpu-node/src/weights/find.ts";
import { parseHfReference, pickQuantFile } from "../../../gpu-node/src/weights/hf-reference.ts";

const BYTES = randomBytes(300_000);
const SHA = createHash("sha256").update(BYTES).digest("hex");
const quiet = () => () => undefined;

type Hub = { readonly url: string; readonly seen: string[]; close(): Promise<void> };

/** A hub that serves BYTES as every file; `serve` may answer a GET differently. */
async function openHub(
  serve: (request: IncomingMessage, response: ServerResponse, from: number) => boolean = () => false,
  sha = SHA,
): Promise<Hub> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    const range = request.headers.range;
    seen.push(`${request.method} ${request.url}${range === undefined ? "" : ` ${range}`}`);
    if (request.url?.startsWith("/api/") === true) {
      const siblings = ["README.md", "m-Q4_K_M.gguf", "m-Q8_0.gguf"].map((rfilename) => ({ rfilename }));
      response.end(JSON.stringify({ siblings }));
      return;
    }
    if (request.url?.includes("missing") === true) {
      response.writeHead(404).end();
      return;
    }
    const from = Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);
    response.setHeader("x-linked-etag", `"${sha}"`);
    if (request.method === "HEAD") {
      response.writeHead(200, { "x-linked-size": BYTES.length }).end();
      return;
    }
    if (serve(request, response, from)) return;
    response
      .writeHead(from > 0 ? 206 : 200, { "content-length": BYTES.length - from })
      .end(BYTES.subarray(from));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

describe("the weights a node is told to serve", () => {
  let cacheDir: string;
  const hubs: Hub[] = [];
  const hub = async (...how: Parameters<typeof openHub>): Promise<Hub> => {
    const opened = await openHub(...how);
    hubs.push(opened);
    return opened;
  };
  beforeEach(async () => {
    cacheDir = await mkdtemp(join(tmpdir(), "sluice-weights-"));
  });
  afterEach(async () => {
    for (const opened of hubs.splice(0)) await opened.close();
    await rm(cacheDir, { recursive: true, force: true });
  });

  const find = (model: string, { url }: Hub): Promise<string> =>
    findWeights(model, { cacheDir, hfEndpoint: url, progress: quiet, stallTimeoutMs: 300 });

  test("may be a path", async ({ expect }) => {
    const path = join(cacheDir, "x.gguf");
    await writeFile(path, "x");
    expect(await findWeights(path)).toBe(path);
    await expect(findWeights(join(cacheDir, "y.gguf"))).rejects.toMatchObject({
      kind: "bad_model",
      message: expect.stringMatching(/no such file.*hf:owner/),
    });
  });

  test("are downloaded once", async ({ expect }) => {
    const opened = await hub();
    const path = await find("hf:o/r/sub/m.gguf", opened);
    expect(Buffer.compare(await readFile(path), BYTES)).toBe(0);
    expect(await readdir(join(cacheDir, "models/o/r/sub"))).toEqual(["m.gguf"]);
    const before = opened.seen.length;
    expect(await find("hf:o/r/sub/m.gguf", opened)).toBe(path);
    expect(opened.seen).toHaveLength(before);
  });

  test("continue where the server fell silent", async ({ expect }) => {
    let cuts = 0;
    const opened = await hub((_, response, from) => {
      if (cuts++ >= 2) return false;
      response.writeHead(from > 0 ? 206 : 200, { "content-length": BYTES.length - from });
      response.write(BYTES.subarray(from, from + 100_000));
      return true;
    });
    const path = await find("hf:o/r/m.gguf", opened);
    expect(Buffer.compare(await readFile(path), BYTES)).toBe(0);
    expect(opened.seen.filter((line) => line.includes("bytes="))).toHaveLength(2);
  });

  test("start over with a server that cannot continue", async ({ expect }) => {
    let cut = false;
    const opened = await hub((_, response, from) => {
      if (cut && from > 0) {
        response.writeHead(200, { "content-length": BYTES.length }).end(BYTES);
        return true;
      }
      cut = true;
      response.writeHead(200, { "content-length": BYTES.length });
      response.write(BYTES.subarray(0, 50_000));
      return true;
    });
    expect(Buffer.compare(await readFile(await find("hf:o/r/m.gguf", opened)), BYTES)).toBe(0);
  });

  test("are given up, with a word about continuing, when the server falls silent again and again", async ({
    expect,
  }) => {
    const opened = await hub((_, response) => {
      response.writeHead(200, { "content-length": BYTES.length });
      response.flushHeaders();
      return true;
    });
    await expect(find("hf:o/r/m.gguf", opened)).rejects.toMatchObject({
      kind: "bad_model",
      message: expect.stringMatching(/m\.gguf stopped at 0 of 300000 bytes.*continue/),
    });
  });

  test("are not believed when their digest is wrong", async ({ expect }) => {
    const opened = await hub(undefined, "0".repeat(64));
    await expect(find("hf:o/r/m.gguf", opened)).rejects.toThrow(/SHA-256/);
    expect(await readdir(join(cacheDir, "models/o/r"))).toEqual([]);
  });

  test("may be named by their quantisation, and are found without the network later", async ({ expect }) => {
    const opened = await hub();
    const path = await find("hf:o/r:q4_k_m", opened);
    expect(path).toMatch(/m-Q4_K_M\.gguf$/);
    const before = opened.seen.length;
    expect(await find("hf:o/r:Q4_K_M", opened)).toBe(path);
    expect(opened.seen).toHaveLength(before);
    await expect(find("hf:o/r:Q2_K", opened)).rejects.toThrow(/has no Q2_K file.*m-Q8_0\.gguf/);
  });

  test("are fetched with the hub's token, which no other host is told", async ({ expect }) => {
    const tokens: Record<string, (string | undefined)[]> = { hub: [], store: [] };
    const store = await hub((request) => {
      tokens.store?.push(request.headers.authorization);
      return false;
    });
    const leading = createServer((request, response) => {
      tokens.hub?.push(request.headers.authorization);
      response.writeHead(302, { location: new URL(request.url ?? "", store.url).href }).end();
    });
    await new Promise<void>((resolve) => {
      leading.listen(0, "127.0.0.1", resolve);
    });
    const address = leading.address();
    const hfEndpoint = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
    const given = hfFrom({ HF_TOKEN: "hf_secret", HF_ENDPOINT: hfEndpoint });
    await findWeights("hf:o/r/m.gguf", { ...given, cacheDir, progress: quiet, stallTimeoutMs: 300 });
    leading.close();
    expect(tokens).toEqual({ hub: ["Bearer hf_secret"], store: [undefined] });
  });

  test("that do not exist are named with their host", async ({ expect }) => {
    const opened = await hub();
    await expect(find("hf:o/missing/m.gguf", opened)).rejects.toThrow(
      /127\.0\.0\.1:\d+: .*o\/missing.* does not exist/,
    );
  });

  test("fail at once and say what to do on a machine without a network", async ({ expect }) => {
    const opened = await hub();
    await opened.close();
    await expect(find("hf:o/r/m.gguf", opened)).rejects.toThrow(
      /127\.0\.0\.1:\d+: .*m\.gguf cannot be reached .*--model/,
    );
  });
});

test("a reference is understood or refused as a whole", ({ expect }) => {
  expect(parseHfReference("hf:a/b/c.gguf")).toEqual({ repo: "a/b", file: "c.gguf" });
  expect(parseHfReference("hf:a/b/d/c.gguf")).toEqual({ repo: "a/b", file: "d/c.gguf" });
  expect(parseHfReference("hf:a/b:Q4_K_M")).toEqual({ repo: "a/b", quant: "Q4_K_M" });
  for (const wrong of [
    "hf:a",
    "hf:a/b",
    "hf:a/../c.gguf",
    "hf:a/b/../../c.gguf",
    "hf:../b:Q4",
    "hf:a/b/c.bin",
    "a/b",
  ]) {
    expect(parseHfReference(wrong)).toBeUndefined();
  }
});

test("a quantisation is a word of the file's name", ({ expect }) => {
  const files = [
    "m-Q4_K_S.gguf",
    "m-Q4_K_M.gguf",
    "mmproj-Q8_0.gguf",
    "big-Q8_0-00001-of-00002.gguf",
    "big-Q8_0-00002-of-00002.gguf",
  ];
  expect(pickQuantFile(files, "q4_k_m")).toBe("m-Q4_K_M.gguf");
  expect(pickQuantFile(files, "Q4_K")).toBeUndefined();
  expect(pickQuantFile(files, "Q8_0")).toBe("big-Q8_0-00001-of-00002.gguf");
});
