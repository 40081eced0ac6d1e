/** Upstreams from the operator's keyboard: what is sent, what is shown, and where the secret is read from. */
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { FakePlatform, TOKEN } from "./support.ts";

const platform = new FakePlatform();
beforeAll(() => platform.start());
afterAll(() => platform.stop());
beforeEach(() => platform.forget());

const UPSTREAM = {
  id: "upstream_0123456789",
  name: "spare",
  region: "us",
  url: "https://api.example.com/v1",
  state: "offered",
  keySealedUnder: "k1",
  models: [
    {
      model: "tiny",
      as: "tiny-v3",
      thinks: false,
      inputMicroUsdPerM: 270_000,
      cachedMicroUsdPerM: 70_000,
      outputMicroUsdPerM: 1_100_000,
    },
  ],
  features: ["tools"],
  concurrency: 8,
  policy: { trains: false, retainsDays: 30, keptIn: "us" },
};
const ADD =
  "upstreams add spare --region us --base-url https://api.example.com/v1 --models tiny=tiny-v3 --input 0.27 --cached 0.07 --output 1.1 --trains no --retains 30d --features tools --context 64000";
const around = { SLUICE_URL: "", SLUICE_ADMIN_TOKEN: TOKEN };
const env = (more: Record<string, string>) => ({ ...around, SLUICE_URL: platform.url, ...more });

describe("upstreams add", () => {
  test("sends what was typed, with the key out of its variable", async ({ expect }) => {
    platform.answering({ upstream: UPSTREAM });
    const said = await platform.sluice(ADD.split(" "), env({ SLUICE_UPSTREAM_KEY: "their-key" }));
    expect(platform.calls).toMatchObject([
      {
        line: "POST /admin/v1/upstreams",
        body: {
          name: "spare",
          region: "us",
          url: "https://api.example.com/v1",
          apiKey: "their-key",
          models: [
            {
              model: "tiny",
              as: "tiny-v3",
              thinks: false,
              extra: {},
              tagField: null,
              contextTokens: 64_000,
              inputMicroUsdPerM: 270_000,
              cachedMicroUsdPerM: 70_000,
              outputMicroUsdPerM: 1_100_000,
            },
          ],
          features: ["tools"],
          concurrency: 8,
          policy: { trains: false, retainsDays: 30 },
        },
      },
    ]);
    expect(said).toMatchObject({ exit: 0, err: "" });
    expect(said.out).toContain("tiny=tiny-v3");
    expect(said.out).not.toContain("their-key");
  });

  test("asks for the key where no variable has it, and takes none where the server wants none", async ({
    expect,
  }) => {
    platform.answering({ upstream: UPSTREAM }, { upstream: UPSTREAM });
    await platform.sluice(ADD.split(" "), env({}), "typed-key\n");
    await platform.sluice([...ADD.split(" "), "--no-key"], env({}));
    expect(platform.calls.map(({ body }) => (body as { apiKey: unknown }).apiKey)).toEqual([
      "typed-key",
      null,
    ]);
  });

  const WRONG = [
    [`${ADD} --retains often`, "--retains"],
    [ADD.replace("tiny=tiny-v3", "tiny"), "--models"],
    [ADD.replace("--trains no", "--trains perhaps"), "--trains"],
    [ADD.replace(" --trains no", ""), "--trains"],
    [`${ADD} --extra nonsense`, "--extra"],
    [ADD, "SLUICE_UPSTREAM_KEY"],
  ] as const;
  test.for(WRONG)("%s is a complaint about %s, and nothing is sent", async ([typed, about], { expect }) => {
    const said = await platform.sluice(typed.split(" "), env({}));
    expect(said.exit).not.toBe(0);
    expect(said.err).toContain(about);
    expect(platform.calls).toEqual([]);
  });
});

describe("the others", () => {
  const SENT = [
    ["upstreams drain upstream_0123456789", "POST /admin/v1/upstreams/upstream_0123456789/drain", undefined],
    [
      "upstreams resume upstream_0123456789",
      "POST /admin/v1/upstreams/upstream_0123456789/resume",
      undefined,
    ],
    ["upstreams remove upstream_0123456789", "DELETE /admin/v1/upstreams/upstream_0123456789", undefined],
    [
      "upstreams set-key upstream_0123456789",
      "PUT /admin/v1/upstreams/upstream_0123456789/key",
      { apiKey: "new-key" },
    ],
  ] as const;
  test.for(SENT)("%s is %s", async ([typed, line, body], { expect }) => {
    platform.answering({ upstream: UPSTREAM });
    const said = await platform.sluice(typed.split(" "), env({ SLUICE_UPSTREAM_KEY: "new-key" }));
    expect(said.exit).toBe(0);
    expect(platform.calls).toEqual([{ line, token: TOKEN, body }]);
  });

  test("upstreams list says what each charges and does with prompts, and leaves out what was removed", async ({
    expect,
  }) => {
    const gone = { ...UPSTREAM, id: "upstream_gone000000", state: "removed" };
    platform.answering({ upstreams: [UPSTREAM, gone], next: null });
    const { out } = await platform.sluice(["upstreams", "list"]);
    expect(out).toContain("$0.27/$0.07/$1.10");
    expect(out).toContain("no training, kept 30 days in us");
    expect(out).not.toContain("upstream_gone000000");
  });
});
