/** What a node's journal knows of an answer in one piece when its process dies right behind writing it. */
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Journal } from "../../../gpu-node/src/journal/journal.ts";
import { openDatabase } from "../../../gpu-node/src/journal/schema.ts";
import { tempFolder } from "./support/node.ts";

const BEGUN = {
  request: "req_01JD8Z0K3V9QXR5T7W2Y4A6C8E",
  ordinal: 0,
  node: "node_aaaaaaaaaa",
  boot: "boot",
  ticket: "ticket",
  issuedAtMs: 1,
  begunAtMs: 2,
  weights: "weights",
  from: 0,
  reasoning: 0,
  prompt: 0,
  cached: 0,
};
const COUNTS = { prompt: 9, cached: 0, queueMs: 0, prefillMs: 0 };

test("an answer in one piece that was whole says after a death how it ended, one that was not says nothing", async () => {
  const path = join(tempFolder(), "journal.sqlite");
  const journal = new Journal(openDatabase(path));
  const [whole = -1, half = -1] = [await journal.begin(BEGUN), await journal.begin({ ...BEGUN, ordinal: 1 })];
  for (const id of [whole, half])
    await journal.progress(id, { from: 0, to: 2, reasoning: 0, ids: [5, 6] }, COUNTS);
  await journal.ends(whole, "length");
  journal.close();
  const again = new Journal(openDatabase(path));
  expect(again.unfinished()).toMatchObject([
    { ordinal: 0, to: 2, ends: "length" },
    { ordinal: 1, to: 2, ends: undefined },
  ]);
  again.close();
});

test("a journal of the release before gets what it lacks", async () => {
  const path = join(tempFolder(), "journal.sqlite");
  new Journal(openDatabase(path)).close();
  const older = new DatabaseSync(path);
  older.exec("ALTER TABLE attempts DROP COLUMN ends; PRAGMA user_version = 1;");
  older.close();
  const journal = new Journal(openDatabase(path));
  const id = await journal.begin(BEGUN);
  await journal.ends(id ?? -1, "stop");
  expect(journal.unfinished()).toMatchObject([{ ends: "stop" }]);
  journal.close();
});
