/** The judge of `npm run chaos -- ledger` sees what it claims to see: each fault is planted in books that agree. */
import { describe, expect, test } from "vitest";
import type { Books, Fault } from "../../../chaos/ledger/judge.ts";
import { IN_FLIGHT_MAX, judge } from "../../../chaos/ledger/judge.ts";
import type { Holder, Row } from "../../../chaos/ledger/books.ts";
import type { Told } from "../../../chaos/ledger/client.ts";

const ACCOUNT = "acc_any_000000000000";
const PRICE = { id: "p1", input: 1_000_000, cached: 100_000, output: 10_000_000 };
const CREDIT = 10_000_000;
const PROMPT = 50;

function costOf(completion: number): number {
  return PROMPT * 1_000 + completion * 10_000;
}

function told(change: Partial<Told> = {}): Told {
  return {
    planned: {
      nr: 1,
      kind: "stream",
      purse: "rich",
      purseNr: 0,
      stream: true,
      model: "m",
      words: 10,
      think: 0,
      everyMs: 0,
      maxTokens: 100,
      leavesAfterMs: undefined,
      engineDiesAt: undefined,
    },
    account: ACCOUNT,
    request: "req_1",
    status: 200,
    complete: true,
    positions: 11,
    usage: { prompt: PROMPT, completion: 11 },
    promptTokens: PROMPT,
    refusal: "",
    leaks: false,
    ...change,
  };
}

function row(change: Partial<Row> = {}): Row {
  const completion = change.completion ?? 11;
  return {
    account: ACCOUNT,
    request: "req_1",
    revision: 0,
    seq: 2,
    stream: true,
    certainty: "exact",
    ended: "stop",
    prompt: PROMPT,
    cached: 0,
    completion,
    cost: costOf(completion),
    charged: costOf(completion),
    writtenOff: 0,
    price: "p1",
    attempts: [{ ordinal: 0, ended: "stop" }],
    ...change,
  };
}

/** Everybody agrees with these rows; then a test changes what one of them says. */
function books(
  all: { rows?: Row[]; told?: Told[]; made?: [number, number][]; holder?: Partial<Holder> } = {},
): Books {
  const rows = all.rows ?? [row()];
  const charged = rows.reduce((sum, one) => sum + one.charged, 0);
  const balanceNanoUsd = CREDIT - charged;
  const lastSeq = Math.max(1, ...rows.map(({ seq }) => seq));
  return {
    told: all.told ?? [told()],
    made: new Map([["req_1", new Map(all.made ?? [[0, 11]])]]),
    ledger: {
      rows,
      prices: [PRICE],
      entries: [
        { account: ACCOUNT, kind: "credit", amount: CREDIT, events: 1 },
        { account: ACCOUNT, kind: "usage", amount: -charged, events: rows.length },
      ],
      applied: new Map([[ACCOUNT, lastSeq]]),
    },
    holders: [
      {
        account: ACCOUNT,
        creditedNanoUsd: CREDIT,
        balanceNanoUsd,
        heldNanoUsd: 0,
        holds: 0,
        lastSeq,
        oneAnswer: false,
        ...all.holder,
      },
    ],
  };
}

const CUT = { complete: false, positions: 5, usage: undefined };

describe("books that agree", () => {
  test.each([
    ["a whole answer", books()],
    [
      "a client that left",
      books({ told: [told(CUT)], rows: [row({ completion: 8, ended: "client_gone" })] }),
    ],
    [
      "a refusal without a row",
      { ...books({ rows: [], told: [told({ ...CUT, positions: 0, status: 402 })] }), made: new Map() },
    ],
    [
      "a correction",
      books({
        rows: [
          row({ certainty: "pending", completion: 5, cost: 0, charged: 0, seq: 2 }),
          row({ revision: 1, seq: 3 }),
        ],
      }),
    ],
  ] satisfies [string, Books][])("%s: nothing is found", (_, agreeing) => {
    expect(judge(agreeing)).toMatchObject({ findings: [], overspentNanoUsd: 0 });
  });
});

describe("a planted fault is found", () => {
  const planted: [string, Fault, Books][] = [
    ["an answer without a row", "lost", { ...books(), ledger: { ...books().ledger, rows: [] } }],
    ["work of an engine that nobody billed, though no client saw it", "lost", books({ rows: [], told: [] })],
    ["an event that never reached D1", "lost", books({ holder: { lastSeq: 9 } })],
    ["a revision that is missing", "lost", books({ rows: [row({ revision: 1 })] })],
    ["a request charged twice", "double", books({ rows: [row({ charged: 2 * costOf(11) })] })],
    [
      "an answer that was asked for twice under one Idempotency-Key, and charged twice",
      "double",
      books({ rows: [row(), row({ request: "req_2", seq: 3 })], holder: { oneAnswer: true } }),
    ],
    ["two rows of one event", "double", books({ rows: [row(), row({ revision: 1, charged: 0 })] })],
    [
      "a row in two accounts",
      "double",
      books({ rows: [row(), row({ revision: 1, seq: 3, charged: 0, account: "acc_any_111111111111" })] }),
    ],
    ["less than the client has", "underBilled", books({ rows: [row({ completion: 10 })] })],
    ["a cost that was never charged", "underBilled", books({ rows: [row({ charged: 0 })] })],
    ["more than the engine made", "mismatches", books({ told: [told(CUT)], made: [[0, 7]] })],
    [
      "work of an attempt after the closing one",
      "mismatches",
      books({
        told: [told(CUT)],
        made: [
          [0, 6],
          [1, 11],
        ],
      }),
    ],
    ["a whole answer of which the engine made more", "mismatches", books({ made: [[0, 12]] })],
    [
      "more than the sockets hold",
      "mismatches",
      books({
        told: [told(CUT)],
        rows: [row({ completion: 6 + IN_FLIGHT_MAX, ended: "client_gone" })],
        made: [[0, 1_000]],
      }),
    ],
    [
      "a prompt of another length",
      "mismatches",
      books({ told: [told({ promptTokens: 51, usage: undefined })] }),
    ],
    [
      "a client that was told other numbers",
      "mismatches",
      books({ told: [told({ usage: { prompt: 50, completion: 12 } })] }),
    ],
    ["a text with a word twice", "mismatches", books({ told: [told({ ...CUT, positions: undefined })] })],
    [
      "another answer than was asked for",
      "mismatches",
      books({ told: [told({ positions: 12 })], rows: [row({ completion: 12 })], made: [[0, 12]] }),
    ],
    ["a cost that is not the price", "mismatches", books({ rows: [row({ cost: 1, charged: 1 })] })],
    ["an estimate where a node knew", "mismatches", books({ rows: [row({ certainty: "estimated" })] })],
    ["a balance that drifted", "mismatches", books({ holder: { balanceNanoUsd: CREDIT } })],
    ["an internal error", "mismatches", books({ told: [told(), told({ request: undefined, status: 500 })] })],
    [
      "a row that stays pending",
      "pendingLeft",
      books({ rows: [row({ certainty: "pending", cost: 0, charged: 0 })] }),
    ],
    ["a hold that nobody closes", "pendingLeft", books({ holder: { holds: 1, heldNanoUsd: 5 } })],
  ];
  test.each(planted)("%s: %s", (_, fault, broken) => {
    expect(judge(broken).findings.map((finding) => finding.fault)).toContain(fault);
  });

  test("money spent beyond the credit", () => {
    const rows = [row({ completion: 1_500 })];
    const broken = books({ rows, told: [], made: [[0, 1_500]] });
    expect(judge(broken).overspentNanoUsd).toBe(costOf(1_500) - CREDIT);
  });

  test("usage written off is money given away: it counts as overspent where it exceeds the credit", () => {
    const rows = [
      row({ completion: 1_500, cost: CREDIT, charged: CREDIT, writtenOff: costOf(1_500) - CREDIT }),
    ];
    expect(judge(books({ rows, told: [], made: [[0, 1_500]] })).overspentNanoUsd).toBe(
      costOf(1_500) - CREDIT,
    );
  });
});
