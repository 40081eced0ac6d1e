/**
 * The house's own rules, kept by a test because a rule that nothing checks is a wish. Each failure is a sentence that
 * says what to do. The layers are docs/ARCHITECTURE.md's: a file imports only what lies below it, or its own room.
 */
import { describe, test } from "vitest";
import {
  codeLines,
  codeOf,
  cyclesOf,
  headerOf,
  importsOf,
  isModule,
  namesTaken,
  readHouse,
  valuesExported,
  type SourceFile,
} from "../support/house.ts";

const CODE_LINES_MAX = 300;
const TEST_CODE_LINES_MAX = 400;

/** Lowest first. What stands on one line does not import its neighbours. */
const LAYERS: readonly (readonly string[])[] = [
  ["core"],
  ["db", "wire"],
  ["auth", "account", "cache", "routing", "dispatch", "relay", "upstream", "metering", "nodes", "keeping"],
  ["infer"],
  ["infer.ts", "admin", "tenant"],
  ["app.ts"],
  ["index.ts"],
];

/** These ask for clock, dice and network by argument; so does every module whose header says "Pure:" or "Pure.". */
const PURE = ["protocol/src/", "src/core/money.ts", "src/core/fault.ts"];
const IMPURE_WORDS = [
  "Date.now",
  "new Date()",
  "performance.now",
  "Math.random",
  "crypto.randomUUID",
  "crypto.getRandomValues",
  "fetch(",
  "setTimeout(",
];

/** What workerd, drizzle-kit or vitest looks for by itself. */
const TAKEN_BY_OTHERS = /^src\/index\.ts$|^(?:bench|chaos)\/worker\/|^src\/db\/schema\.ts$|\.config\.ts$/;

const house = readHouse();
const modules = house.filter(isModule);

/** Which room of the Worker a file is in, and how high it lies; undefined outside src/. */
function placeOf(path: string): { room: string; layer: number } | undefined {
  const room = /^src\/([^/]+)/.exec(path)?.[1];
  if (room === undefined) return undefined;
  return { room, layer: LAYERS.findIndex((layer) => layer.includes(room)) };
}

/** What everything in a node is written against: each a room of its own, below the folder it lies in. */
const CONTRACTS: ReadonlySet<string> = new Set(["engines/engine.ts", "grammar/form.ts"]);

/** The folder or file right below gpu-node/src; undefined elsewhere. */
function nodeRoomOf(path: string): string | undefined {
  const below = /^gpu-node\/src\/(.+)$/.exec(path)?.[1];
  if (below === undefined || CONTRACTS.has(below)) return below;
  return below.split("/")[0];
}

function importComplaints(file: SourceFile): string[] {
  return importsOf(file).flatMap(({ specifier, path }) => {
    if (path === undefined) return [];
    const complain = (why: string): string[] => [`${file.path} imports ${specifier}: ${why}`];
    if (file.path.startsWith("test/")) return [];
    if (/^(test|bench|chaos)\//.test(path) && /^(src|protocol|gpu-node|tools)\//.test(file.path))
      return complain("what ships imports nothing that only tests or measures; move the shared part down.");
    if (file.path.startsWith("protocol/") && !path.startsWith("protocol/"))
      return complain("the protocol imports neither side; let the sides import it.");
    if (file.path.startsWith("gpu-node/") && path.startsWith("src/"))
      return complain("a node knows nothing of the Worker; what both need belongs in protocol/.");
    if (file.path.startsWith("src/") && path.startsWith("gpu-node/"))
      return complain("the Worker knows nothing of a node's insides; what both need belongs in protocol/.");
    if (/^(src|gpu-node)\//.test(file.path) && path.startsWith("tools/"))
      return complain("tools stand on top of the platform, never under it.");
    const from = placeOf(file.path);
    const to = placeOf(path);
    if (from === undefined || to === undefined || from.room === to.room) return [];
    if (to.layer > from.layer)
      return complain(
        `${to.room} lies above ${from.room}; turn the dependency around, or move the shared part to core/.`,
      );
    if (to.layer === from.layer)
      return complain(
        `${from.room} and ${to.room} are neighbours; let the caller above pass it in, or move the shared part down.`,
      );
    return [];
  });
}

describe("the house is in order", () => {
  test("every room of the Worker has a place in the layer table", ({ expect }) => {
    const homeless = modules.filter((file) => placeOf(file.path)?.layer === -1).map((file) => file.path);
    expect(
      homeless,
      "add the room to LAYERS in test/unit/tidy.test.ts, or move the file into a room",
    ).toEqual([]);
  });

  test("imports point downward only", ({ expect }) => {
    expect(modules.flatMap(importComplaints)).toEqual([]);
  });

  test("no file imports itself through others, not even by type", ({ expect }) => {
    const graph = new Map(
      modules.map((file) => [
        file.path,
        importsOf(file).flatMap(({ path }) => (path === undefined ? [] : [path])),
      ]),
    );
    const complaints = cyclesOf(graph).map(
      (cycle) => `${cycle.join(" -> ")}: move what they share into a file below both.`,
    );
    expect(complaints).toEqual([]);
  });

  test("a node's rooms stand on each other one way", ({ expect }) => {
    const graph = new Map<string, string[]>();
    for (const file of modules) {
      const from = nodeRoomOf(file.path);
      if (from === undefined) continue;
      const to = importsOf(file).map(({ path }) => (path === undefined ? undefined : nodeRoomOf(path)));
      const below = to.filter((room) => room !== undefined && room !== from) as string[];
      graph.set(from, [...(graph.get(from) ?? []), ...below]);
    }
    const complaints = cyclesOf(graph).map(
      (cycle) => `gpu-node/src: ${cycle.join(" -> ")}: move what they share into a room below both.`,
    );
    expect(complaints).toEqual([]);
  });

  test("every module begins with a comment that says what it is", ({ expect }) => {
    const complaints = modules
      .filter((file) => headerOf(file).length < 20)
      .map(
        (file) =>
          `${file.path}: begin with a comment: what it is, what it owns, the surprising choice and why.`,
      );
    expect(complaints).toEqual([]);
  });

  test("no module is longer than one reading", ({ expect }) => {
    const complaints = modules.flatMap((file) => {
      const max = file.path.startsWith("test/") ? TEST_CODE_LINES_MAX : CODE_LINES_MAX;
      const lines = codeLines(file);
      return lines > max
        ? [`${file.path} has ${lines} lines of code (at most ${max}): split it where it has two ideas.`]
        : [];
    });
    expect(complaints).toEqual([]);
  });

  test("what a module exports, another one takes", ({ expect }) => {
    const taken = new Set(modules.flatMap(namesTaken));
    const complaints = modules
      .filter(
        (file) =>
          file.path.endsWith(".ts") && !TAKEN_BY_OTHERS.test(file.path) && !taken.has(`${file.path}#*`),
      )
      .flatMap((file) =>
        valuesExported(file)
          .filter((name) => !taken.has(`${file.path}#${name}`))
          .map(
            (name) => `${file.path} exports ${name}, which nobody imports: drop the word, or what it says.`,
          ),
      );
    expect(complaints).toEqual([]);
  });

  test("no file knows a path of somebody's machine", ({ expect }) => {
    // Put together from parts, or this file would find itself.
    const homes = ["work", "home", "root", "Users"].map((name) => `/${name}/`);
    const complaints = house.flatMap((file) => {
      const found = homes.find((home) => new RegExp(`(^|[\\s"'\`(=:])${home}`, "m").test(file.text));
      return found === undefined
        ? []
        : [`${file.path} names ${found}...: make it relative to the repository, or an argument.`];
    });
    expect(complaints).toEqual([]);
  });

  test("pure modules take clock, dice and network as arguments", ({ expect }) => {
    const pure = modules.filter(
      (file) => PURE.some((path) => file.path.startsWith(path)) || /\bPure[.:,;]/.test(headerOf(file)),
    );
    const complaints = pure.flatMap((file) =>
      IMPURE_WORDS.filter((word) => codeOf(file).includes(word)).map(
        (word) =>
          `${file.path} is pure and says ${word}: take its result as an argument, or take the mark away.`,
      ),
    );
    expect(complaints).toEqual([]);
  });
});
