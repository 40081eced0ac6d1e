/** The judge of `npm run chaos -- failover` sees what it claims to see: each fault is planted in books that agree. */
import { expect, test } from "vitest";
import {
  judge,
  type Books,
  type Finding,
  type Hit,
  type Journalled,
  type Row,
  type Stream,
} from "../../../chaos/failover/judge.ts";
import { quantile } from "../../../chaos/failover/verdict.ts";

const REQUEST = "req_1";
const COST = 50;

/** Two words from one node, two from another, one end token. */
const stream: Stream = {
  request: REQUEST,
  error: undefined,
  done: true,
  reasoning: "",
  content: "1 2 3 4 ",
  usage: 5,
  arrivals: [
    { to: 1, ids: [1] },
    { to: 2, ids: [2] },
    { to: 5, ids: [3, 4, 0] },
  ],
  startedAtMs: 1_000,
  heardAtMs: [1_100, 1_200, 1_900, 1_950],
};
const journal: readonly Journalled[] = [
  { node: "a", from: 0, ids: [1, 2, 3] },
  { node: "b", from: 2, ids: [3, 4, 0] },
];
const row: Row = { request: REQUEST, certainty: "exact", completion: 5, cost: COST, endings: ["stop"] };

function books(change: {
  readonly stream?: Partial<Stream>;
  readonly journal?: readonly Journalled[];
  readonly rows?: readonly Row[];
  readonly hits?: readonly Hit[];
  readonly balance?: number;
}): Books {
  return {
    streams: [{ ...stream, ...change.stream }],
    journal: new Map([[REQUEST, change.journal ?? journal]]),
    rows: change.rows ?? [row],
    hits: change.hits ?? [],
    spell: (ids) => ({
      reasoning: "",
      content: ids
        .filter((id) => id > 0)
        .map((id) => `${id} `)
        .join(""),
    }),
    creditedNanoUsd: 1_000,
    balanceNanoUsd: change.balance ?? 1_000 - COST,
  };
}

test("books that agree have nothing to find", () => {
  expect(judge(books({})).findings).toEqual([]);
});

const twice = [...stream.arrivals.slice(0, 2), { to: 6, ids: [2, 3, 4, 0] }];

test.each<[string, Parameters<typeof books>[0], readonly Finding["what"][]]>([
  ["an error the SDK threw", { stream: { error: "APIError: overloaded" } }, ["broken"]],
  ["a stream without [DONE]", { stream: { done: false } }, ["broken"]],
  ["a position that comes twice", { stream: { arrivals: twice } }, ["textMismatches", "underBilled"]],
  [
    "a position that is missing",
    {
      stream: {
        arrivals: [
          { to: 1, ids: [1] },
          { to: 5, ids: [3, 4, 0] },
        ],
      },
    },
    ["textMismatches"],
  ],
  ["an id nobody journalled", { journal: [{ node: "a", from: 0, ids: [1, 2, 3] }] }, ["textMismatches"]],
  [
    "an id of another position",
    { journal: [{ node: "a", from: 1, ids: [1, 2, 3, 4, 0] }] },
    ["textMismatches"],
  ],
  ["text that is not what the ids spell", { stream: { content: "1 2 2 3 4 " } }, ["textMismatches"]],
  ["a usage that is not what came", { stream: { usage: 4 } }, ["textMismatches"]],
  ["more billed than came", { rows: [{ ...row, completion: 6 }] }, ["doubleBilled"]],
  ["two bills", { rows: [row, row], balance: 1_000 - 2 * COST }, ["doubleBilled"]],
  ["less billed than came", { rows: [{ ...row, completion: 4 }] }, ["underBilled"]],
  ["no bill", { rows: [], balance: 1_000 }, ["underBilled"]],
  ["a bill that is a guess", { rows: [{ ...row, certainty: "estimated" }] }, ["underBilled"]],
  ["more taken than the rows say", { balance: 1_000 - COST - 1 }, ["doubleBilled"]],
  ["less taken than the rows say", { balance: 1_000 - COST + 1 }, ["underBilled"]],
])("%s is found", (_, change, found) => {
  expect(judge(books(change)).findings.map(({ what }) => what)).toEqual(found);
});

test.each<[string, readonly Hit[], object]>([
  ["counts from the blow", [{ kind: "kill", request: REQUEST, atMs: 1_250 }], { kill: [650] }],
  ["of another request is nobody's here", [{ kind: "kill", request: "req_2", atMs: 1_250 }], { kill: [] }],
  ["after the end is none", [{ kind: "cut", request: REQUEST, atMs: 1_950 }], { cut: [] }],
  [
    "belongs to what took longer to be known",
    [
      { kind: "cut", request: REQUEST, atMs: 1_250 },
      { kind: "freeze", request: REQUEST, atMs: 1_300 },
    ],
    { cut: [], freeze: [600] },
  ],
])("a pause %s", (_, hits, stallsMs) => {
  expect(judge(books({ hits })).stallsMs).toMatchObject(stallsMs);
});

test.each([
  [[], 0],
  [[7], 7],
  [Array.from({ length: 200 }, (_, i) => i + 1), 198],
])("the 99th of %j", (values, p99) => {
  expect(quantile(values, 0.99)).toBe(p99);
});
