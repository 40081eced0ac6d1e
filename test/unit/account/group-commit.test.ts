/** How changes share a commit: together where they come together, at once where nothing is under way. */
import { describe, test } from "vitest";
import { GroupCommit } from "../../../src/account/group-commit.ts";

/** A disk whose commits end when the test says so; `turns` lists what each transaction ran. */
function disk() {
  const turns: string[][] = [];
  const ends: (() => void)[] = [];
  let running: string[] = [];
  const group = new GroupCommit({
    together: (changes) => {
      running = [];
      changes();
      turns.push(running);
    },
    committed: () =>
      new Promise((resolve) => {
        ends.push(resolve);
      }),
  });
  const change = (name: string): Promise<string> =>
    group.run(() => {
      running.push(name);
      return name;
    });
  const fail = (): Promise<never> =>
    group.run(() => {
      throw new Error("this change is bad");
    });
  return { turns, change, fail, commit: () => ends.shift()?.() };
}

describe("changes to an account", () => {
  test("run at once on an idle object", async ({ expect }) => {
    const { turns, change } = disk();
    expect(await change("a")).toBe("a");
    expect(turns).toEqual([["a"]]);
  });

  test("that come while a commit is under way share the next one, in their order", async ({ expect }) => {
    const { turns, change, commit } = disk();
    await change("a");
    const both = Promise.all([change("b"), change("c")]);
    expect(turns).toEqual([["a"]]);
    commit();
    expect(await both).toEqual(["b", "c"]);
    expect(turns).toEqual([["a"], ["b", "c"]]);
  });

  test("are not failed by a bad neighbour", async ({ expect }) => {
    const { turns, change, fail, commit } = disk();
    await change("a");
    const results = Promise.allSettled([change("b"), fail(), change("c")]);
    commit();
    expect((await results).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(turns).toEqual([["a"], ["b"], ["c"]]);
  });
});
