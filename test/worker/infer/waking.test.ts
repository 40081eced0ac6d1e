/** A deploy evicts the regions' objects: for a second they have heard no beats, and nobody may be told that there is no node. */
import { env } from "cloudflare:workers";
import { beforeAll, test } from "vitest";
import { regionObject, type Env } from "../../../src/core/env.ts";
import {
  answerForNodes,
  chat,
  deployed,
  newClient,
  newModel,
  newName,
  newNode,
  type Client,
} from "./support.ts";

let client: Client;
beforeAll(async () => {
  answerForNodes();
  client = await newClient();
});

/** The real objects; `then` runs whenever one of them has said what it knows. */
function watched(then: (region: string) => Promise<void>): Pick<Env, "REGIONS"> {
  const names = new Map<string, string>();
  const REGIONS = {
    idFromName: (name: string) => {
      const id = env.REGIONS.idFromName(name);
      names.set(id.toString(), name);
      return id;
    },
    get: (id: DurableObjectId) => {
      const object = env.REGIONS.get(id);
      return {
        picture: async () => {
          const said = await object.picture();
          await then(names.get(id.toString()) ?? "");
          return said;
        },
      };
    },
  } as unknown as Env["REGIONS"];
  return { REGIONS };
}

test("a call right after a deploy waits for the next beat, and is answered", async ({ expect }) => {
  const [region, model] = [newName("region"), await newModel()];
  const node = await newNode(region, [model]);
  await deployed(region);
  let looks = 0;
  const objects = watched(async (asked) => {
    // The object has just told a newcomer that it knows of nobody: the beat comes after that.
    if (asked === region && looks++ === 0) await node.beat();
  });
  expect(await chat(client, model, { vars: objects })).toMatchObject({
    status: 200,
    asked: [`${node.name} ${model}`],
  });
  expect(looks).toBeGreaterThan(1);
});

test("who knew the nodes before it asks them at once", async ({ expect }) => {
  const [region, model] = [newName("region"), await newModel()];
  const node = await newNode(region, [model]);
  expect((await chat(client, model)).status).toBe(200);
  await deployed(region);
  expect(await regionObject(env, region).picture()).toEqual({ nodes: [], awaited: [node.id] });
  let looks = 0;
  const objects = watched(async (asked) => {
    if (asked === region) looks++;
  });
  // A second passes, so that the isolate looks again.
  await scheduler.wait(1_050);
  expect(await chat(client, model, { vars: objects })).toMatchObject({
    status: 200,
    asked: [`${node.name} ${model}`],
  });
  expect(await chat(client, model, { vars: objects })).toMatchObject({ status: 200 });
  expect(looks).toBeGreaterThan(0);
});

test("who waits in vain is refused while that is still the answer's status", async ({ expect }) => {
  const [region, model] = [newName("region"), await newModel()];
  await newNode(region, [model]);
  await deployed(region);
  const { status, text, asked } = await chat(client, model);
  expect({ status, asked }).toEqual({ status: 503, asked: [] });
  expect(JSON.parse(text)).toMatchObject({ error: { code: "overloaded" } });
});
