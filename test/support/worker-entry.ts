/**
 * What the suite in workerd runs as the Worker: src/index.ts. While a file that it needs does not exist yet, an entry is
 * put together from whichever objects do, so that a room can be tested before the house has a door.
 */
import { globSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { relative, resolve } from "node:path";
import { importsOf, readHouse } from "./house.ts";

const MAIN = "src/index.ts";
const SCRATCH = ".wrangler/test-entry";
const OBJECTS = ["AccountObject", "RegionObject"];

function isWhole(): boolean {
  const files = readHouse();
  const paths = new Set(files.map((file) => file.path));
  if (!paths.has(MAIN)) return false;
  return files
    .filter((file) => file.path.startsWith("src/"))
    .every((file) => importsOf(file).every(({ path }) => path === undefined || paths.has(path)));
}

export async function workerEntry(): Promise<string> {
  if (isWhole()) return `./${MAIN}`;
  const lines: string[] = [];
  const sources = await Promise.all(
    globSync("src/**/*.ts").map(async (path) => ({ path, text: await readFile(path, "utf8") })),
  );
  for (const name of OBJECTS) {
    const source = sources.find(({ text }) => text.includes(`export class ${name} `));
    lines.push(
      source === undefined
        ? `import { DurableObject as Base${name} } from "cloudflare:workers";\nexport class ${name} extends Base${name} {}`
        : `export { ${name} } from "${relative(SCRATCH, source.path)}";`,
    );
  }
  lines.push(
    `export default { fetch: () => new Response("no door yet", { status: 501 }), queue: () => undefined };`,
  );
  await mkdir(SCRATCH, { recursive: true });
  const path = resolve(SCRATCH, "index.ts");
  await writeFile(path, `${lines.join("\n")}\n`);
  return path;
}
