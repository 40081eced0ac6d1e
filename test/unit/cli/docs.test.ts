/** What README and docs tell people to type: every command is one, with options that it has; every script is there. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "vitest";
import { COMMANDS } from "../../../tools/cli/cli.ts";
import { parse } from "../../../tools/cli/command.ts";

const PAGES = [
  "README.md",
  ...readdirSync("docs")
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
  "gpu-node/deploy/README.md",
  "bench/README.md",
  "chaos/README.md",
];
const pages = PAGES.map((name) => ({ name, text: readFileSync(name, "utf8").replaceAll("\\\n", " ") }));
const groups = [...new Set(COMMANDS.map((command) => command.name.split(" ")[0]))];

/** As a shell has them, without the `...` that stands for more. */
function wordsOf(line: string): string[] {
  return [...line.replace(/ #.*/, "").matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)]
    .map(([, double, single, bare]) => double ?? single ?? bare ?? "")
    .filter((word) => word !== "...");
}

const TYPED = pages.flatMap(({ name, text }) => {
  const whole = [...text.matchAll(/npm run sluice -- ([^`\n]+)/g)];
  const short = [...text.matchAll(new RegExp(`\`((?:${groups.join("|")}) [^\`\n]+)\``, "g"))];
  return [...whole, ...short].map(([, line = ""]) => `${name}: ${line.trim()}`);
});

describe("what the docs tell people to type", () => {
  test("is found", ({ expect }) => {
    expect(TYPED.length).toBeGreaterThan(40);
  });

  test.for([...new Set(TYPED)])("%s", (where, { expect }) => {
    const words = wordsOf(where.slice(where.indexOf(": ") + 2));
    if (words[0] === "--help") return;
    const command = [2, 1]
      .map((count) => COMMANDS.find(({ name }) => name === words.slice(0, count).join(" ")))
      .find((found) => found !== undefined);
    expect(command?.name).toBeDefined();
    if (command === undefined) return;
    const { args } = parse(command, words.slice(command.name.split(" ").length));
    expect(args.length).toBeLessThanOrEqual(command.takes.length);
  });

  test("is a script of package.json", ({ expect }) => {
    const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as {
      scripts: Record<string, string>;
    };
    const named = pages.flatMap(({ text }) =>
      [...text.matchAll(/npm run ([a-z-]+(?::[a-z-]+)*)/g)].map(([, name = ""]) => name),
    );
    expect([...new Set(named)].filter((name) => !(name in scripts))).toEqual([]);
  });
});
