/** How changes share a commit: together where they come together, at once where nothing is under way. */
import { describe, test } from "vitest";
import { GroupCommit } from "../../../src/account/group-commit.ts";

/** A disk whose commits end when the test says so; `turns` lists what each transaction ran. */
function disk() {
  const turns: string[][] = [];
  const ends: (() => void)[] = [];
  const waits: (() => void)[] = [];
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
    gathered: () =>
      new Promise((resolve) => {
        waits.push(resolve);
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
  return {
    turns,
    change,
    fail,
    commit: () => ends.shift()?.(),
    waiting: () => waits.length,
    gathered: () => waits.shift()?.(),
  };
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

  test("wait a moment for company where the last turn was of many, and run at once again when it was not", async ({
    expect,
  }) => {
    const { turns, change, commit, waiting, gathered } = disk();
    await change("a");
    const first = [change("b"), change("b"), change("c")];
    commit();
    await Promise.all(first);
    commit();
    await Promise.resolve();
    const next = [change("d")];
    await Promise.resolve();
    expect([turns.length, waiting()]).toEqual([2, 1]);
    next.push(change("e"));
    gathered();
    await Promise.all(next);
    expect(turns).toEqual([["a"], ["b", "b", "c"], ["d", "e"]]);
    commit();
    await Promise.resolve();
    await change("f");
    commit();
    await Promise.resolve();
    await change("g");
    expect(turns.slice(3)).toEqual([["f"], ["g"]]);
    expect(waiting()).toBe(0);
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
