/**
 * Stage 5a: the prompts of the export proof, as token ids. `node tools/train/prompts.ts [--to FILE]`
 *
 * Held-out questions of every skill in both modes and languages, and talk; fixed by a seed, so the record made from
 * them can be made again.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { readTokenizer } from "./bundled.ts";
import { Dice } from "./corpus/dice.ts";
import { heldOutSample } from "./corpus/mix.ts";
import { SKILLS } from "./corpus/sample.ts";
import { render } from "./template.ts";
import { UNSEEN_ASKS } from "./unseen.ts";

const { values } = parseArgs({
  options: { to: { type: "string", default: "/tmp/sluice-train/prompts.json" } },
});

const tokenizer = readTokenizer();
const dice = new Dice(20_260);
const sums = SKILLS.flatMap((skill) =>
  (["en", "zh"] as const).flatMap((language) =>
    [true, false].flatMap((thinking) =>
      [0, 1].map(() => {
        const c = heldOutSample(skill, { dice, language, thinking });
        return render(c.system, c.history, c.user, thinking);
      }),
    ),
  ),
);
const talk = UNSEEN_ASKS.flatMap(({ asks }, i) =>
  asks.slice(0, 1).map((ask) => render("", [], ask, i % 2 === 0)),
);
const prompts = [...sums, ...talk].map((text) => ({ text, ids: tokenizer.encode(text) }));
writeFileSync(values.to, JSON.stringify(prompts));
console.log(`${prompts.length} prompts, ${prompts.reduce((sum, p) => sum + p.ids.length, 0)} tokens`);
