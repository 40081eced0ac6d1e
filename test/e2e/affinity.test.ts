/**
 * A conversation stays where its beginning is cached: the nodes say what they have, and an edge that has just started
 * knows it as well as any other. The first turns are all answered by one node, which hashing alone would not choose again.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryPlatform } from "../support/platform.ts";
import { eventually, Stack } from "../support/stack.ts";

type Message = { readonly role: "system" | "user" | "assistant"; readonly content: string };
type Listed = {
  readonly nodes: readonly { readonly id: string; readonly live: { sketchMarks: number | null } | null }[];
};
type Answer = {
  readonly choices: readonly { readonly message: { readonly content: string | null } }[];
  readonly usage: {
    readonly prompt_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number };
  };
};

const CONVERSATIONS = ["Ada", "Grace", "Barbara", "Frances"];
/** Long enough that evaluating it again is worth going elsewhere for, short enough for the bundled model's context. */
const SYSTEM = "You count patiently, and you never skip a number. ".repeat(20);

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
let stack: Stack;

beforeAll(async () => {
  platform = await temporaryPlatform({ engine: "llama", nodeCount: 3, regions: ["eu", "us"] });
  stack = new Stack(platform);
});
afterAll(() => platform?.[Symbol.asyncDispose]());

function opening(name: string): Message[] {
  return [
    { role: "system", content: `You speak with ${name}. ${SYSTEM}` },
    { role: "user", content: "Count from 1 to 5." },
  ];
}

async function sketchMarks(node: string): Promise<number> {
  const { nodes } = await stack.admin<Listed>("GET", "/nodes");
  return nodes.find(({ id }) => id === node)?.live?.sketchMarks ?? 0;
}

test("the second turn goes to the node that has the first one cached, from an edge that has just started", async () => {
  const tenant = await stack.tenant();
  const ids = [...platform.nodeIds.values()];
  const [holder = "", ...others] = ids;
  const ask = async (messages: readonly Message[]): Promise<{ node: string | null; answer: Answer }> => {
    const response = await stack.post(tenant, { model: platform.model, messages, max_tokens: 24 });
    expect(response.status).toBe(200);
    return { node: response.headers.get("x-sluice-node"), answer: (await response.json()) as Answer };
  };

  for (const other of others) await stack.admin("POST", `/nodes/${other}/drain`, { graceS: 60 });
  const turns = new Map<string, Message[]>();
  for (const name of CONVERSATIONS) {
    const messages = opening(name);
    const { node, answer } = await ask(messages);
    expect(node).toBe(holder);
    const content = answer.choices[0]?.message.content ?? "";
    turns.set(name, [...messages, { role: "assistant", content }, { role: "user", content: "And on to 9." }]);
  }
  for (const other of others) await stack.admin("POST", `/nodes/${other}/resume`, {});

  // Nothing in any memory of the edge is left, the regions' objects included: it asks the nodes what they have.
  await platform.killWorker();
  await platform.restartWorker();
  await platform.whenNodesReady();
  await eventually("the node to say again what it has cached", 15_000, async () =>
    (await sketchMarks(holder)) > 0 ? true : undefined,
  );
  for (const messages of turns.values()) {
    const { node, answer } = await ask(messages);
    expect(node).toBe(holder);
    const { prompt_tokens: prompt, prompt_tokens_details: details } = answer.usage;
    expect(details.cached_tokens).toBeGreaterThan(prompt / 2);
  }
});
