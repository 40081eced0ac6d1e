/** Where the nodes of a local platform stand, and which wishes are refused before anything is started for them. */
import { describe, test } from "vitest";
import { checkPlaces, layOut, type PlaceWishes } from "../../../tools/run/places.ts";
import { freePort } from "../../../tools/run/ports.ts";

const where = async (wishes: PlaceWishes, known: Parameters<typeof layOut>[1] = []): Promise<string[]> =>
  (await layOut(wishes, known)).map(({ name, region }) => `${name}/${region}`);

describe("laying out a local platform", () => {
  test("nothing said is one node; regions take turns; without a number there is a node for each", async ({
    expect,
  }) => {
    expect(await where({})).toEqual(["node-1/local"]);
    expect(await where({ regions: ["eu", "us"] })).toEqual(["node-1/eu", "node-2/us"]);
    expect(await where({ nodeCount: 3, regions: ["eu", "us"] })).toEqual([
      "node-1/eu",
      "node-2/us",
      "node-3/eu",
    ]);
  });

  test("a later start without wishes is the one before, ports included, less what stood idle then", async ({
    expect,
  }) => {
    const [one, two] = [await freePort(), await freePort()];
    const known = [
      { name: "node-1", region: "eu", port: one },
      { name: "node-2", region: "us", port: two, idle: true as const },
    ];
    expect(await layOut({}, known)).toEqual([{ name: "node-1", region: "eu", port: one }]);
  });

  test.for<[PlaceWishes, RegExp]>([
    [{ nodeCount: 0 }, /--nodes wants 1 to 32, not 0/],
    [{ nodeCount: 33 }, /--nodes wants 1 to 32, not 33/],
    [{ regions: [] }, /--regions wants 1 to 32 names/],
    [{ regions: ["eu", ""] }, /"" names no region/],
    [{ regions: ["EU!"] }, /"EU!" names no region/],
  ])("%j is refused in words", ([wishes, words], { expect }) => {
    expect(() => checkPlaces(wishes)).toThrow(words);
  });
});
