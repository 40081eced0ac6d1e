/** What a server says of itself, asked under the names its releases have for that. */
import type { Server, ServerFacts } from "./server.ts";
import { type Wire, WireError } from "./wire.ts";

const NOT_FOUND = 404;

export async function askFacts(
  wire: Wire,
  { factPaths, facts }: Pick<Server, "factPaths" | "facts">,
): Promise<ServerFacts> {
  const answers = await Promise.all(factPaths.map((names) => ask(wire, names)));
  return facts(answers);
}

async function ask(wire: Wire, [path, ...others]: readonly [string, ...string[]]): Promise<unknown> {
  try {
    return JSON.parse(await wire.get(path));
  } catch (error) {
    const [next, ...rest] = others;
    if (next === undefined || !(error instanceof WireError) || error.status !== NOT_FOUND) throw error;
    return ask(wire, [next, ...rest]);
  }
}
