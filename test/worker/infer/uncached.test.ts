/** Answers that are nobody's to keep: the same question is asked of a node again. */
import { beforeAll, test } from "vitest";
import {
  answerForNodes,
  answers,
  chat,
  diesInTheMiddle,
  engineDies,
  newClient,
  newModel,
  newName,
  newNode,
  type Answering,
  type Client,
} from "./support.ts";

const CACHEABLE = { temperature: 0 };

let client: Client;
beforeAll(async () => {
  answerForNodes();
  client = await newClient();
});

/** The first call finds the node so, and all that follow find it well. */
function first(answer: Answering): Answering {
  let calls = 0;
  return (model) => (calls++ === 0 ? answer : answers())(model);
}

test("an error is not kept, and what is whole is", async ({ expect }) => {
  const model = await newModel();
  await newNode(newName("region"), [model], { answer: first(engineDies) });
  const ask = () => chat(client, model, { more: CACHEABLE });
  expect((await ask()).status).toBe(502);
  const again = await ask();
  expect([again.status, again.asked.length]).toEqual([200, 1]);
  const kept = await ask();
  expect([kept.status, kept.asked.length]).toEqual([200, 0]);
});

test("a stream that ended with an error is not kept", async ({ expect }) => {
  const model = await newModel();
  await newNode(newName("region"), [model], { answer: first(diesInTheMiddle) });
  const broken = await chat(client, model, { more: { ...CACHEABLE, stream: true } });
  expect(broken.text).toContain('"error"');
  expect(broken.text).not.toContain("[DONE]");
  const again = await chat(client, model, { more: CACHEABLE });
  expect([again.status, again.asked.length]).toEqual([200, 1]);
});
