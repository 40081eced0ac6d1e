/** The operator's tool: what it sends, what it prints, how it fails. The platform is a server that writes down calls. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { COMMANDS } from "../../../tools/cli/cli.ts";
import { FakePlatform, TOKEN } from "./support.ts";

const LOCAL_TOKEN = "the-local-token-0123456789";

const platform = new FakePlatform();
beforeAll(() => platform.start());
afterAll(() => platform.stop());
beforeEach(() => platform.forget());
const { folder } = platform;
const answering = (...bodies: unknown[]): void => platform.answering(...bodies);
const sluice = (words: readonly string[], env?: Record<string, string>) => platform.sluice(words, env);

const ACCOUNT = {
  id: "acc_any_0123456789ab",
  name: "Ada",
  suspended: false,
  balanceUsd: "12.34",
  grantedUsd: "1.00",
  toppedUpUsd: "11.34",
  heldUsd: "0.00",
  holdsOpen: 0,
  holdsPending: 0,
};

const KEY = {
  id: "key_1",
  name: "laptop",
  shown: "sk-sluice-...abcd",
  scopes: ["inference"],
  madeBy: null,
  models: null,
  regions: null,
  expiresAtMs: null,
  revokedAtMs: null,
  oldSecretUntilMs: 0,
  budgetDayNanoUsd: 12_500_000_000,
  used: {
    requestsToday: 3,
    spentTodayNanoUsd: 250_000_000,
    spentThisMonthNanoUsd: 0,
    spentNanoUsd: 0,
    open: 0,
  },
};

describe("a command", () => {
  const SENT: readonly (readonly [string, unknown, string, unknown])[] = [
    [
      "accounts show acc_any_0123456789ab",
      { account: ACCOUNT },
      "GET /accounts/acc_any_0123456789ab",
      undefined,
    ],
    [
      "accounts create Ada --home eu --rpm 60 --regions a,b",
      { account: ACCOUNT },
      "POST /accounts",
      { name: "Ada", home: "eu", requestsPerMinute: 60, regions: ["a", "b"] },
    ],
    [
      "accounts set acc_1 --concurrency none --regions any",
      { account: ACCOUNT },
      "PATCH /accounts/acc_1",
      { concurrency: null, regions: null },
    ],
    ["accounts suspend acc_1", { account: ACCOUNT }, "PATCH /accounts/acc_1", { suspended: true }],
    [
      "keys revoke acc_1 key_1",
      { id: "key_1", revoked: true },
      "DELETE /accounts/acc_1/keys/key_1",
      undefined,
    ],
    [
      "credit acc_1 --id c1 --note thanks -- -5.00",
      { creditId: "c1", balanceUsd: "1.00" },
      "POST /accounts/acc_1/credits",
      { creditId: "c1", amountUsd: "-5.00", note: "thanks" },
    ],
    [
      "nodes invite gpu1 --region mountain --node-url https://gpu1.example.com --expires-in 2h",
      { joinToken: "sluice-join-x", expiresAtMs: 0, url: "https://gpu1.example.com" },
      "POST /nodes/join-tokens",
      { name: "gpu1", region: "mountain", url: "https://gpu1.example.com", expiresInS: 7_200 },
    ],
    [
      "nodes add gpu2 --region mountain --node-url https://gpu2.example.com",
      { joinToken: "sluice-join-y", expiresAtMs: 0, url: "https://gpu2.example.com" },
      "POST /nodes/join-tokens",
      { name: "gpu2", region: "mountain", url: "https://gpu2.example.com" },
    ],
    [
      "credit acc_1 5 --id c2 --granted --expires 2027-01-31",
      { creditId: "c2", balanceUsd: "5.00" },
      "POST /accounts/acc_1/credits",
      {
        creditId: "c2",
        amountUsd: "5",
        note: "",
        kind: "granted",
        expiresAtMs: Date.UTC(2027, 0, 31),
      },
    ],
    [
      "keys set acc_1 key_1 --tpm 90000 --rpd none --budget-day 12.50 --budget-total none --scopes inference,keys",
      { key: KEY },
      "PATCH /accounts/acc_1/keys/key_1",
      {
        tokensPerMinute: 90_000,
        requestsPerDay: null,
        budgetDayNanoUsd: 12_500_000_000,
        budgetTotalNanoUsd: null,
        scopes: ["inference", "keys"],
      },
    ],
    ["keys show acc_1 key_1", { key: KEY }, "GET /accounts/acc_1/keys/key_1", undefined],
    [
      "keys rotate acc_1 key_1 --overlap 2h",
      { key: { ...KEY, secret: "sk-sluice-x" } },
      "POST /accounts/acc_1/keys/key_1/rotate",
      { overlapS: 7_200 },
    ],
    ["nodes drain node_1 --grace 5m", { id: "node_1" }, "POST /nodes/node_1/drain", { graceS: 300 }],
    ["nodes remove node_1 --force", { id: "node_1" }, "DELETE /nodes/node_1?force=true", undefined],
    [
      "models set org/tiny --context 4096 --output-default 512 --input 0.27 --cached 0.07 --output 1.1",
      { model: { id: "org/tiny" }, price: null },
      "PUT /models/org%2Ftiny",
      {
        contextTokens: 4_096,
        outputTokensDefault: 512,
        price: { inputMicroUsdPerM: 270_000, cachedMicroUsdPerM: 70_000, outputMicroUsdPerM: 1_100_000 },
      },
    ],
    [
      "models alias reasoner org/tiny --thinking",
      { alias: { alias: "reasoner", model: "org/tiny" } },
      "PUT /aliases/reasoner",
      { model: "org/tiny", thinkingDefault: true },
    ],
  ];
  test.for(SENT)("%s asks for just that", async ([words, answer, line, body], { expect }) => {
    answering(answer);
    expect(await sluice(words.split(" "))).toMatchObject({ exit: 0, err: "" });
    const [method, path] = line.split(" ");
    expect(platform.calls).toEqual([{ line: `${method} /admin/v1${path}`, token: TOKEN, body }]);
  });

  test("prints a table for people and the answer itself for machines", async ({ expect }) => {
    const page = { accounts: [{ id: ACCOUNT.id, name: "Ada", createdAtMs: 0, more: 1 }], next: "abc" };
    answering(page, page);
    const people = await sluice(["accounts", "list"]);
    expect(people.out).toContain("acc_any_0123456789ab  Ada   1970-01-01T00:00:00Z");
    expect(people.out).toContain("--cursor abc");
    expect(JSON.parse((await sluice(["accounts", "list", "--json"])).out)).toEqual(page);
  });

  test("follows every page when all is asked for", async ({ expect }) => {
    const row = { id: ACCOUNT.id, name: "Ada", createdAtMs: 0 };
    answering({ accounts: [row], next: "p2" }, { accounts: [row], next: null });
    const { out } = await sluice(["accounts", "list", "--all", "--limit", "1", "--json"]);
    expect(JSON.parse(out).accounts).toHaveLength(2);
    expect(platform.calls.map((call) => call.line)).toEqual([
      "GET /admin/v1/accounts?limit=1",
      "GET /admin/v1/accounts?limit=1&cursor=p2",
    ]);
  });

  test("makes a key and shows it, this once", async ({ expect }) => {
    const key = { id: "key_1", name: "k", shown: "sk-sluice-...abcd", createdAtMs: 0, revokedAtMs: null };
    answering({ key: { ...key, secret: "sk-sluice-k1-any-secret" } });
    const { out } = await sluice(["keys", "create", "acc_1", "k", "--models", "tiny"]);
    expect(out.split("\n")[0]).toBe("sk-sluice-k1-any-secret");
    expect(platform.calls[0]?.body).toEqual({ name: "k", models: ["tiny"] });
  });

  test("shows a key's budget beside what is used of it", async ({ expect }) => {
    answering({ key: KEY });
    const { out } = await sluice(["keys", "show", "acc_1", "key_1"]);
    expect(out).toContain("$12.50, dollars per day (UTC); used $0.25");
  });

  test("says of an account that was deleted that it is", async ({ expect }) => {
    answering({ account: { ...ACCOUNT, suspended: true, deletedAtMs: 0 } });
    const { out } = await sluice(["accounts", "show", ACCOUNT.id]);
    expect(out).toMatch(/state +deleted 1970-01-01T00:00:00Z/);
  });

  test("puts what was typed into a path and nowhere else", async ({ expect }) => {
    answering({ account: ACCOUNT });
    await sluice(["accounts", "show", "../nodes?x=#"]);
    expect(platform.calls[0]?.line).toBe("GET /admin/v1/accounts/..%2Fnodes%3Fx%3D%23");
  });
});

describe("a bill", () => {
  const NOTHING = {
    id: `req_${"0".repeat(26)}`,
    state: "closed",
    model: "tiny",
    certainty: "exact",
    ended: "no_node",
    usage: { prompt_tokens: 0, completion_tokens: 0, prompt_tokens_details: { cached_tokens: 0 } },
    cost: { amount: "0.00", nano_usd: 0, write_off_nano_usd: 0 },
    price: {
      id: "price_1",
      input_micro_usd_per_m: 1,
      cached_micro_usd_per_m: 1,
      output_micro_usd_per_m: 1,
      hit_input_micro_usd_per_m: 0,
      hit_output_micro_usd_per_m: 0,
    },
    attempts: [{ ordinal: 0, node: null, region: null, ended: "no_node", to: 0, receipt: null }],
  };

  test.for(["req_", "chatcmpl-", "cmpl-", "embd-"])(
    "is found by an id that begins with %s, and none is said to be signed where no node made anything",
    async (prefix, { expect }) => {
      answering({ generation: NOTHING }, { keys: [] });
      const { exit, out } = await sluice(["verify", NOTHING.id.replace("req_", prefix)]);
      expect(platform.calls[0]?.line).toBe(`GET /admin/v1/generations/${NOTHING.id}`);
      expect([exit, out.split("\n").at(-1)]).toEqual([
        0,
        "PROVED: no node made anything for this bill, and the price makes the cost.",
      ]);
    },
  );
});

describe("when something is wrong", () => {
  test("with a field, it is named, and the exit code is 1", async ({ expect }) => {
    const issues = [{ param: "price.inputMicroUsdPerM", message: "too big" }];
    platform.answers = [
      { status: 400, body: { error: { code: "invalid_request", message: "the price is wrong", issues } } },
    ];
    const { exit, err } = await sluice(["accounts", "list"]);
    expect({ exit, err }).toEqual({
      exit: 1,
      err: "sluice: the price is wrong\n  price.inputMicroUsdPerM: too big",
    });
  });

  test.for([
    [["accounts", "list", "--limit", "x"], "limit", "--limit"],
    [["credit", "acc_1", "abc"], "amountUsd", "<dollars>"],
    [["models", "set", "m"], "", ""],
  ] as const)(
    "%j is complained of once, in the words that were typed",
    async ([words, param, typed], { expect }) => {
      const told = (name: string): string => `${name === "" ? "" : `${name}: `}is wrong`;
      const issues = [{ param, message: "is wrong" }];
      platform.answers = [
        { status: 400, body: { error: { code: "invalid_request", message: told(param), issues } } },
      ];
      expect((await sluice(words)).err).toBe(`sluice: ${told(typed)}`);
    },
  );

  test("with the token, it says what to check and never shows it", async ({ expect }) => {
    platform.answers = [
      { status: 401, body: { error: { code: "unauthenticated", message: "show the admin token" } } },
    ];
    const { exit, err } = await sluice(["accounts", "list"]);
    expect(exit).toBe(1);
    expect(err).toContain("SLUICE_ADMIN_TOKEN");
    expect(err).not.toContain(TOKEN);
  });

  test("with the way there, the exit code is 3, and a credit's id is kept for the next try", async ({
    expect,
  }) => {
    const nowhere = { SLUICE_URL: "http://127.0.0.1:1", SLUICE_ADMIN_TOKEN: TOKEN };
    const { exit, err } = await sluice(["credit", "acc_1", "5"], nowhere);
    expect(exit).toBe(3);
    expect(err).toMatch(/cannot be reached[^]*--id cli-[0-9a-f]{16}, which cannot credit twice/);
  });

  test("with what answers there, nothing is guessed", async ({ expect }) => {
    platform.answers = [{ status: 200, body: "<html>hello</html>" }];
    expect(await sluice(["accounts", "list"])).toMatchObject({ exit: 3 });
    platform.answers = [{ status: 302, body: "", headers: { location: "https://elsewhere.example.com" } }];
    expect(await sluice(["accounts", "list"])).toMatchObject({ exit: 3 });
    expect(platform.calls).toHaveLength(2);
  });

  const MISUSED = [
    [["acounts", "list"], 'no command "acounts"'],
    [["accounts", "lst"], 'no command "accounts lst"'],
    [["accounts", "show"], "<account>"],
    [["accounts", "show", "a", "b"], 'no use for "b"'],
    [["accounts", "list", "--sort", "x"], "--sort"],
    [["accounts", "create", "x", "--rpm", "many"], "--rpm"],
    [["credit", "acc_1", "-5"], "behind two dashes"],
    [["accounts", "list", "--limit", "-1"], "begins with a dash\n  -> --limit=VALUE"],
    [["models", "set", "m", "--input", "1"], "--cached"],
    [["keys", "create", "a", "k", "--expires", "2027-01-01", "--expires-in", "1d"], "not both"],
    [["nodes", "invite", "g"], "--node-url"],
  ] as const;
  test.for(MISUSED)(
    "with the command %j, nothing is sent and the exit code is 2",
    async ([words, says], { expect }) => {
      const { exit, err } = await sluice(words);
      expect(exit).toBe(2);
      expect(err).toContain(says);
      expect(platform.calls).toEqual([]);
    },
  );

  test("machines get the complaint as JSON", async ({ expect }) => {
    const { err } = await sluice(["accounts", "show", "--json"]);
    expect(JSON.parse(err)).toMatchObject({ error: { exit: 2, message: "accounts show needs <account>" } });
  });
});

describe("which platform a command talks to", () => {
  function started(): void {
    mkdirSync(join(folder, ".sluice"));
    writeFileSync(
      join(folder, ".sluice", "dev.json"),
      JSON.stringify({ baseUrl: platform.url, adminToken: LOCAL_TOKEN }),
    );
  }

  test("is the local one where nothing else is named, with the local token", async ({ expect }) => {
    started();
    answering({ account: ACCOUNT });
    expect(await sluice(["accounts", "show", "a"], { SLUICE_ADMIN_TOKEN: TOKEN })).toMatchObject({ exit: 0 });
    expect(platform.calls[0]?.token).toBe(LOCAL_TOKEN);
  });

  test("never gets the local token where another is named", async ({ expect }) => {
    started();
    const { exit, err } = await sluice(["accounts", "list", "--url", platform.url], {});
    expect(exit).toBe(2);
    expect(err).toContain("--token");
    expect(platform.calls).toEqual([]);
  });

  test("is what the options say, above all", async ({ expect }) => {
    answering({ account: ACCOUNT });
    await sluice(["accounts", "show", "a", "--url", platform.url, "--token", "typed"], {
      SLUICE_URL: "http://127.0.0.1:1",
    });
    expect(platform.calls[0]?.token).toBe("typed");
  });

  test("is never spoken to unencrypted beyond this machine", async ({ expect }) => {
    const { exit, err } = await sluice(["accounts", "list"], {
      SLUICE_URL: "http://api.example.com",
      SLUICE_ADMIN_TOKEN: TOKEN,
    });
    expect(exit).toBe(2);
    expect(err).toContain("unencrypted");
  });

  test("has to be named where none runs here", async ({ expect }) => {
    const { exit, err } = await sluice(["accounts", "list"], {});
    expect(exit).toBe(2);
    expect(err).toContain("npm start");
  });
});

describe("help", () => {
  test("is there at every level, and sends nothing", async ({ expect }) => {
    for (const words of [[], ["--help"], ["help"]]) {
      const { exit, out } = await sluice(words);
      expect(exit).toBe(0);
      for (const command of COMMANDS) expect(out).toContain(`sluice ${command.name}`);
    }
    const group = await sluice(["models", "--help"]);
    expect(group.out).toContain("sluice models unalias");
    expect(group.out).not.toContain("sluice nodes");
    for (const command of COMMANDS) {
      const { exit, out } = await sluice([...command.name.split(" "), "--help"]);
      expect(exit).toBe(0);
      expect(out).toContain(command.about);
      for (const option of Object.keys(command.options)) expect(out).toContain(`--${option}`);
    }
    expect(platform.calls).toEqual([]);
  });
});
