/**
 * What an account says of its cached answers: settings by account and key, and which salt opens those of a model. Kept
 * in one small table, repeated in memory like the rest of the books, so that an admission reads nothing for it.
 *
 * Owns the salts of models that were purged: the salt that goes out with a verdict is theirs and the account's together,
 * so a purge of a model is one row, and a purge of everything one new salt in the account's own row.
 */
import { CacheSetting, saltId, type HitAsk } from "@sluice/protocol/account";
import type { Store } from "./store.ts";

/** More models than any catalogue has; beyond it a purge of one model is a purge of all, which is safe. */
const MODEL_SALTS_MAX = 1_000;

/** A key and its makers, as the keyring has them. */
type Path = readonly { readonly id: string }[];

export class AnswerRules {
  readonly #store: Store;
  readonly #rules: Map<string, string>;

  constructor(store: Store) {
    this.#store = store;
    this.#rules = new Map(store.answerRules());
  }

  /** `key` is null for the account itself; null as setting forgets it. */
  set(key: string | null, setting: CacheSetting | null): void {
    this.#save(settingName(key), setting === null ? null : JSON.stringify(setting));
  }

  /** The key's; for what it leaves out its maker's, and so on, the account's last. `path`: the key first. */
  setting(path: Path): CacheSetting {
    return path.toReversed().reduce((outer, { id }) => ({ ...outer, ...this.#read(id) }), this.#read(null));
  }

  salt(accountSalt: string, model: string): string {
    const ofModel = this.#rules.get(`salt ${model}`);
    return ofModel === undefined ? accountSalt : `${accountSalt}.${ofModel}`;
  }

  /** False where the whole account has to be purged instead. */
  purge(model: string, salt: string): boolean {
    const name = `salt ${model}`;
    if (this.#rules.size >= MODEL_SALTS_MAX && !this.#rules.has(name)) return false;
    this.#save(name, salt);
    return true;
  }

  forget(): void {
    this.#store.dropAnswerRules();
    this.#rules.clear();
  }

  /** Whether an answer that is at hand may be used: it opens, and nobody has said that it shall not. */
  allows(hit: HitAsk, path: Path, salt: string): boolean {
    const { mode = "write" } = this.setting(path);
    return hit.saltId === saltId(salt) && (hit.asked || mode === "read" || mode === "write");
  }

  #read(key: string | null): CacheSetting {
    const text = this.#rules.get(settingName(key));
    return text === undefined ? {} : CacheSetting.parse(JSON.parse(text));
  }

  #save(name: string, value: string | null): void {
    this.#store.saveAnswerRule(name, value);
    if (value === null) this.#rules.delete(name);
    else this.#rules.set(name, value);
  }
}

function settingName(key: string | null): string {
  return key === null ? "setting" : `setting ${key}`;
}
