/**
 * `gpu-node reload`: tells the node whose data folder this is to read the files and settings of its models anew, says what becomes of
 * each, and ends when all is done; with 0 where the node now serves what its options say.
 */
import { connect } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { DATA_DEFAULT } from "../config.ts";
import { News, Over, RELOAD, SOCKET_FILE } from "./news.ts";

const RELOAD_USAGE = `gpu-node reload [--data DIR] [--json]   a running node reads files and settings of its models anew`;
const WHAT_CHARS = "unchanged".length;

export type Screen = {
  readonly print: (text: string) => void;
  readonly complain: (text: string) => void;
};

const EXIT_USAGE = 2;

/** `words`: what follows `reload`. Resolves with the status the process ends with. */
export async function reloadCommand(
  words: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  { print, complain }: Screen,
): Promise<number> {
  let given: { readonly data?: string | undefined; readonly json?: boolean | undefined };
  try {
    const options = { data: { type: "string" }, json: { type: "boolean" } } as const;
    given = parseArgs({ args: [...words], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    complain(`gpu-node reload: ${error instanceof Error ? error.message : String(error)}\n${RELOAD_USAGE}\n`);
    return EXIT_USAGE;
  }
  const folder = given.data ?? (env["SLUICE_DATA"] || DATA_DEFAULT);
  const models = new Map<string, News>();
  const heard = (news: News): void => {
    models.set(news.model, news);
    if (given.json !== true) print(`${lineOf(news)}\n`);
  };
  const over = await ask(join(folder, SOCKET_FILE), heard).catch((error: NodeJS.ErrnoException) => {
    const none = error.code === "ENOENT" || error.code === "ECONNREFUSED";
    complain(
      none ? `no node runs on the data folder ${folder} (--data DIR, SLUICE_DATA)\n` : `${error.message}\n`,
    );
  });
  if (over === undefined) return 1;
  if (given.json === true) print(`${JSON.stringify({ ...over, models: [...models.values()] }, null, 2)}\n`);
  else if (over.over !== "done")
    complain(`${ENDINGS[over.over]}${over.why === undefined ? "" : `: ${over.why}`}\n`);
  const isWell = over.over === "done" && [...models.values()].every(({ what }) => what !== "refused");
  return isWell || over.over === "later" ? 0 : 1;
}

const ENDINGS = {
  superseded: "a newer reload, or the node's end, took the place of this one",
  later: "the node is not in service yet: it opens what its options say now once it is",
  refused: "nothing was changed, the node's options cannot be read",
} as const;

function lineOf({ model, what, weights, why }: News): string {
  return [what.padEnd(WHAT_CHARS), model, ...(why === undefined ? [weights ?? ""] : [`(${why})`])]
    .filter((word) => word !== "")
    .join("  ");
}

async function ask(path: string, heard: (news: News) => void): Promise<Over> {
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  socket.on("error", () => undefined);
  socket.write(`${RELOAD}\n`);
  for await (const line of createInterface({ input: socket })) {
    const said: unknown = JSON.parse(line);
    const news = News.safeParse(said);
    if (!news.success) return Over.parse(said);
    heard(news.data);
  }
  throw new Error("the node went away before it was done");
}
