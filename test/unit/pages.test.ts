/** The pages for people: every link leads somewhere, and every file they name is there. */
import { dirname, join, normalize } from "node:path";
import { describe, test } from "vitest";
import { readHouse } from "../support/house.ts";

const house = readHouse();
const paths = new Set(house.map((file) => file.path));
const folders = new Set(
  [...paths].flatMap((path) =>
    path
      .split("/")
      .slice(0, -1)
      .map((_, i, all) => all.slice(0, i + 1).join("/")),
  ),
);
const pages = house.filter((file) => file.path.endsWith(".md"));

/** As GitHub names a heading: small letters, no punctuation, dashes for spaces. */
function anchorsOf(text: string): ReadonlySet<string> {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    ),
  );
}

const anchors = new Map(pages.map(({ path, text }) => [path, anchorsOf(text)]));

test("every decision has its row in the table of decisions", ({ expect }) => {
  const table = house.find((file) => file.path === "docs/decisions/README.md")?.text ?? "";
  const decisions = pages.filter(({ path }) => /^docs\/decisions\/\d/.test(path));
  const missing = decisions.filter(({ path, text }) => {
    const title = /^# \d+\. (.+)$/m.exec(text)?.[1];
    return title === undefined || !table.includes(`](${path.split("/").at(-1)}) | ${title} |`);
  });
  expect(missing.map(({ path }) => path)).toEqual([]);
});

describe.each(pages)("$path", ({ path, text }) => {
  test("links to what is there", ({ expect }) => {
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link = ""]) => link)
      .filter((link) => !/^https?:/.test(link));
    const broken = links.filter((link) => {
      const [target = "", anchor] = link.split("#");
      const to = target === "" ? path : normalize(join(dirname(path), target)).replace(/\/$/, "");
      if (anchor !== undefined) return anchors.get(to)?.has(anchor) !== true;
      return !paths.has(to) && !folders.has(to);
    });
    expect(broken).toEqual([]);
  });

  test("names files that are there", ({ expect }) => {
    const named = [...text.matchAll(/`([\w./-]*\w\.(?:ts|js|py|sql|toml|md))`/g)].map(
      ([, name = ""]) => name,
    );
    expect(named.filter((name) => ![...paths].some((known) => `/${known}`.endsWith(`/${name}`)))).toEqual([]);
  });
});
