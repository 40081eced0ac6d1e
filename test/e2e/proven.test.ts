/** Nodes that nobody uses are known to work, or not to, before a client finds out; and nobody pays for that. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { TcpProxy } from "../../chaos/support/tcp-proxy.ts";
import { temporaryPlatform } from "../support/platform.ts";
import { eventually, Stack } from "../support/stack.ts";

type Listed = {
  readonly nodes: readonly {
    readonly name: string;
    readonly live: {
      readonly proofs: Readonly<Record<string, { provenAtMs: number | null; failing?: { why: string } }>>;
    } | null;
  }[];
};

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;
const wires = new Map<string, TcpProxy>();

beforeAll(async () => {
  platform = await temporaryPlatform({
    nodeCount: 2,
    regions: ["eu"],
    front: async ({ name, port }) => {
      const wire = new TcpProxy(port, () => undefined);
      wires.set(name, wire);
      return wire.listen();
    },
  });
  stack = new Stack(platform);
});
afterAll(async () => {
  await platform?.[Symbol.asyncDispose]();
});

function proofs(): Promise<
  Map<string, NonNullable<Listed["nodes"][number]["live"]>["proofs"][string] | undefined>
> {
  return stack
    .admin<Listed>("GET", "/nodes")
    .then(({ nodes }) => new Map(nodes.map(({ name, live }) => [name, live?.proofs[platform.model]])));
}

test("an idle node is proven by a token nobody pays for, and one that beats but cannot be reached is found out", async () => {
  const proven = await eventually("both to be proven", 20_000, async () => {
    const found = await proofs();
    return [...found.values()].every((proof) => proof?.provenAtMs != null) ? found : undefined;
  });
  expect([...proven.keys()].toSorted()).toEqual(["node-1", "node-2"]);
  const metrics = await fetch(`${platform.nodes[0]?.url}/metrics`).then((response) => response.text());
  expect(metrics).toContain('sluice_node_probes_total{result="answered"}');

  // Its beats go on: they come from the node itself. The way to it is gone.
  await wires.get("node-1")?.close();
  const tenant = await stack.tenant();
  let asked = 0;
  const failing = await eventually("node-1 to be found out", 20_000, async () => {
    // Each a conversation of its own: half of them belong to node-1.
    const content = `${asked++} ${JSON.stringify({ script: { tokens: 1, think: 0 } })}`;
    const body = { model: platform.model, messages: [{ role: "user", content }] };
    const response = await stack.post(tenant, body);
    expect(response.status).toBe(200);
    await response.text();
    return (await proofs()).get("node-1")?.failing;
  });
  expect(failing).toMatchObject({ why: "not_reached" });
  expect((await proofs()).get("node-2")?.failing).toBeUndefined();
  // What is billed is what clients asked for: probes are in no row.
  await stack.settled(tenant, 10_000);
  for (const row of await stack.usage(tenant)) expect(row).toMatchObject({ completionTokens: 2 });
});
