/** What a node's journal knows after its process died: of an answer in one piece, of an older release, of what it has forgotten. */
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Journal } from "../../../gpu-node/src/journal/journal.ts";
import { Receipts } from "../../../gpu-node/src/journal/receipts.ts";
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

/** The tables as version 1 made them, in what version 3 changed. */
const VERSION_1 = `
  DROP TABLE attempts;
  CREATE TABLE attempts (
    id INTEGER PRIMARY KEY, request TEXT NOT NULL, ordinal INTEGER NOT NULL, choice INTEGER NOT NULL, node TEXT NOT NULL,
    boot TEXT NOT NULL, ticket TEXT NOT NULL, issued_at_ms INTEGER NOT NULL, begun_at_ms INTEGER NOT NULL,
    weights TEXT NOT NULL, from_position INTEGER NOT NULL, reasoning INTEGER NOT NULL, prompt INTEGER NOT NULL,
    cached INTEGER NOT NULL, queue_ms INTEGER NOT NULL, prefill_ms INTEGER NOT NULL, named INTEGER NOT NULL DEFAULT 0,
    ended TEXT, to_position INTEGER, UNIQUE (request, ordinal, choice)
  ) STRICT;
  CREATE INDEX attempts_unnamed ON attempts (issued_at_ms) WHERE named = 0;
  CREATE INDEX attempts_running ON attempts (id) WHERE ended IS NULL;
  INSERT INTO attempts VALUES
    (7, 'req_7', 1, 0, 'n', 'b', 't', 1, 2, 'w', 3, 4, 5, 6, 8, 9, 1, NULL, NULL),
    (9, 'req_9', 0, 0, 'n', 'b', 't', 1, 2, 'w', 0, 0, 5, 0, 0, 0, 0, 'stop', 12);
  PRAGMA user_version = 1;`;
/** Version 2 added a column. */
const VERSION_2 = `${VERSION_1} ALTER TABLE attempts ADD COLUMN ends TEXT; UPDATE attempts SET ends = 'length' WHERE id = 7;
  PRAGMA user_version = 2;`;

test.for([
  [1, VERSION_1, undefined],
  [2, VERSION_2, "length"],
] as const)(
  "a journal of version %i opens with all that is in it, and gets what it lacks",
  async ([, made, ends]) => {
    const path = join(tempFolder(), "journal.sqlite");
    new Journal(openDatabase(path)).close();
    const older = new DatabaseSync(path);
    older.exec(made);
    older.close();
    const told: string[] = [];
    const db = openDatabase(path, (event) => told.push(event));
    expect(told).toEqual(["journal_migrating", "journal_migrated"]);
    const journal = new Journal(db);
    expect(journal.unfinished()).toMatchObject([
      {
        id: 7,
        request: "req_7",
        ordinal: 1,
        from: 3,
        reasoning: 4,
        prompt: 5,
        cached: 6,
        prefillMs: 9,
        ends,
      },
    ]);
    expect(journal.list(7, 10)).toMatchObject({ attempts: [{ id: 9, to: 12, ended: "stop" }], lastId: 9 });
    const id = await journal.begin(BEGUN);
    expect(id).toBe(10);
    await journal.ends(id ?? -1, "stop");
    expect(journal.unfinished()).toMatchObject([{ id: 7 }, { id: 10, ends: "stop" }]);
    const indexes = db
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'attempts'")
      .all();
    expect(indexes.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["attempts_unnamed", "attempts_running"]),
    );
    journal.close();
  },
);

test("a journal uses no id again, though all it had is forgotten and its process was another", async () => {
  const path = join(tempFolder(), "journal.sqlite");
  const db = openDatabase(path);
  const journal = new Journal(db);
  const receipts = new Receipts(db);
  const first = (await journal.begin(BEGUN)) ?? -1;
  await journal.end(first, "stop", 2, { body: "{}", sig: "s" });
  receipts.acknowledge([{ request: BEGUN.request, ordinal: 0, choice: 0 }], 1);
  expect(receipts.forgetOldest()).toBe(1);
  expect(journal.list(0, 10)).toEqual({ attempts: [], more: false, lastId: first });
  journal.close();
  const again = new Journal(openDatabase(path));
  expect(await again.begin({ ...BEGUN, ordinal: 1 })).toBe(first + 1);
  again.close();
});
