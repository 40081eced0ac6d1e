/** A server that begins and has nothing to say: nobody has been sent anything yet, so somebody else can answer. */
import { beforeAll, test } from "vitest";
import {
  answerForNodes,
  chat,
  events,
  newClient,
  newModel,
  newUpstream,
  type Answering,
  type Client,
} from "./support.ts";

let client: Client;
beforeAll(async () => {
  answerForNodes();
  client = await newClient({ upstreams: "any" });
});

function told(...deltas: readonly object[]): Answering {
  return () =>
    events(
      deltas.map((choice) => `data: ${JSON.stringify({ choices: [{ index: 0, ...choice }] })}\n\n`).join(""),
    );
}

const ROLE = { delta: { role: "assistant", content: "" }, finish_reason: null };
const WORD = { delta: { content: "one" }, finish_reason: null };
const END = { delta: {}, finish_reason: "stop" };

test("an upstream that breaks off after a role and no word is followed by the next one, and the client sees one answer", async ({
  expect,
}) => {
  const model = await newModel();
  const cheap = await newUpstream(model, { inputMicroUsdPerM: 1, answer: told(ROLE) });
  const dear = await newUpstream(model, { inputMicroUsdPerM: 2, answer: told(ROLE, WORD, END) });
  const { status, text, asked } = await chat(client, model, { more: { stream: true } });
  expect(asked).toEqual([`${cheap} ${cheap}`, `${dear} ${dear}`]);
  expect(status).toBe(200);
  expect(text.match(/"role":"assistant"/g)).toHaveLength(1);
  expect(text).toMatch(/\[DONE\]\n\n$/);
});
