/** A node of several models: what becomes of its other models when the engine of one has died. */
import { beforeAll, test, vi } from "vitest";
import {
  answerForNodes,
  answers,
  chat,
  chats,
  engineDies,
  newClient,
  newModel,
  newName,
  newNode,
  nobodyThere,
  type Client,
} from "./support.ts";

let client: Client;
beforeAll(async () => {
  answerForNodes();
  client = await newClient();
});

test("they keep their traffic, and only the dead one's goes elsewhere", async ({ expect }) => {
  const [region, dead, alive] = [newName("region"), await newModel(), await newModel()];
  const answer = (model: string) => (model === dead ? engineDies : answers())(model);
  const first = await newNode(region, [dead, alive], { answer });
  // A busy one: asked only where the other is behind.
  const second = await newNode(region, [dead, alive], { slotsBusy: 2 });
  const onFirst = (model: string): string => `${first.name} ${model}`;
  const onSecond = (model: string): string => `${second.name} ${model}`;
  expect(await chat(client, dead)).toMatchObject({ status: 200, asked: [onFirst(dead), onSecond(dead)] });
  expect(await chat(client, alive)).toMatchObject({ status: 200, asked: [onFirst(alive)] });
  expect(await chat(client, dead)).toMatchObject({ status: 200, asked: [onSecond(dead)] });
});

test("they go elsewhere as well where the whole node is away", async ({ expect }) => {
  const [region, one, other] = [newName("region"), await newModel(), await newModel()];
  const first = await newNode(region, [one, other], { answer: nobodyThere });
  const second = await newNode(region, [one, other], { slotsBusy: 2 });
  expect(await chat(client, one)).toMatchObject({
    status: 200,
    asked: [`${first.name} ${one}`, `${second.name} ${one}`],
  });
  expect(await chat(client, other)).toMatchObject({ status: 200, asked: [`${second.name} ${other}`] });
});

test("after the pause one call tries the failed node, and the others keep away until it has answered", async ({
  expect,
}) => {
  const [region, model] = [newName("region"), await newModel()];
  let answer = engineDies;
  const first = await newNode(region, [model], { answer: (asked) => answer(asked) });
  const second = await newNode(region, [model], { slotsBusy: 2 });
  const onFirst = `${first.name} ${model}`;
  expect((await chat(client, model)).asked).toEqual([onFirst, `${second.name} ${model}`]);
  // The pause is a second.
  await scheduler.wait(1_050);
  for (const node of [first, second]) await node.beat();
  let wake = (): void => undefined;
  const awake = new Promise<void>((resolve) => (wake = resolve));
  answer = async (asked) => {
    await awake;
    return answers()(asked);
  };
  const { told, asked } = chats(client, model, 8);
  await vi.waitFor(() => expect(asked).toHaveLength(8));
  expect(asked.filter((node) => node === onFirst)).toHaveLength(1);
  wake();
  for (const { status } of await told) expect(status).toBe(200);
  expect((await chat(client, model)).asked).toEqual([onFirst]);
});
