/**
 * The bindings of the Worker, and the methods its Durable Objects answer, as types. They stand here, below every
 * room, so that a room can call an object without importing the room that implements it.
 *
 * While a deploy goes round, Workers and objects of two builds call each other, both ways. So **a method keeps its name only as
 * long as it keeps its shape**: arguments and fields may be added where the other side can do without, never changed or
 * taken away. What is shaped otherwise is a new method; its caller asks an older object in the old way (region-picture.ts), and the old method
 * goes with the release after.
 */
import type {
  AdmitAsk,
  AdmitVerdict,
  ExtendAsk,
  ExtendVerdict,
  SettleAnswer,
  SettleAsk,
  Word,
  WordAck,
} from "@sluice/protocol/account";
import type { Beat, Command } from "@sluice/protocol/beat";
import { homeOf } from "@sluice/protocol/ids";
import type {
  AccountSettings,
  AccountStatus,
  CreditAnswer,
  CreditGiven,
  KeyChange,
  KeyDeedAnswer,
  KeyDeedAsk,
  KeyRotation,
  KeySettings,
  KeyStatus,
  LogAfter,
  LookAnswer,
  LookAsk,
} from "./account.ts";
import { assert } from "./assert.ts";
import type { LiveNode, NodeRecord } from "./node.ts";

/** One object per account; its name is the account's id. */
export interface AccountRpc extends Rpc.DurableObjectBranded {
  admit(ask: AdmitAsk): Promise<AdmitVerdict>;
  extend(ask: ExtendAsk): Promise<ExtendVerdict>;
  word(word: Word): Promise<WordAck>;
  settle(ask: SettleAsk): Promise<SettleAnswer>;
  /** D1 has every event up to and including this number. */
  applied(through: number): Promise<void>;
  /** Creates the account where it is not there yet, and changes what is given. */
  configure(settings: AccountSettings): Promise<void>;
  putKey(key: KeySettings): Promise<void>;
  /** Changes what is given. False where there is no such key, as with the next two. */
  changeKey(keyId: string, change: KeyChange): Promise<boolean>;
  /** Gives a key a new secret; the old one opens until the moment that is given. */
  rotateKey(keyId: string, rotation: KeyRotation): Promise<boolean>;
  /** From the next call on the key, and every key that it made, starts nothing. */
  revokeKey(keyId: string): Promise<boolean>;
  keyStatus(keyId: string): Promise<KeyStatus | null>;
  /** With a key's own power, on keys below it: make, list, rotate, revoke. */
  doAsKey(ask: KeyDeedAsk): Promise<KeyDeedAnswer>;
  /** Forgets the salt of every cached answer, or of one model's: from the next call on none of them opens. */
  forgetAnswers(model: string | null): Promise<void>;
  /** Idempotent by `creditId`. The amount may be negative: a correction. */
  credit(credit: CreditGiven): Promise<CreditAnswer>;
  status(): Promise<AccountStatus | null>;
  /**
   * Ends the account: every key is revoked, nothing new starts, cached answers are forgotten. What runs is still billed,
   * and the books stay. False where there is no such account.
   */
  retire(): Promise<boolean>;
  /** Forgets everything, once nothing of it is open and D1 has the whole log. False where that is not yet so. */
  erase(): Promise<boolean>;
  /** What the log says beyond a number. Null where there is no such account. */
  logAfter(seq: number): Promise<LogAfter | null>;
  /** Of these requests, those that D1 has yet to hear of: they run, or D1 has not confirmed an event of theirs. */
  underWay(requests: readonly string[]): Promise<string[]>;
  /** What a key may know of itself and its account. Refused as an admission would be; a suspended account may look. */
  look(ask: LookAsk): Promise<LookAnswer>;
}

export type HeardBeat =
  /** `saySketch`: the object woke and has not heard yet which prompts this boot has cached. */
  { ok: true; commands: Command[]; saySketch?: boolean } | { ok: false; why: "unknown_node" | "stale" };

export type RegionPicture = {
  readonly nodes: readonly LiveNode[];
  /** Ids of nodes that beat shortly before the object woke, and have not been heard since: a second later they will have been. */
  readonly awaited: readonly string[];
};

/** One object per region; its name is the region's. */
export interface RegionRpc extends Rpc.DurableObjectBranded {
  /** Takes a beat whose signature has been checked. */
  beat(beat: Beat, receivedAtMs: number): Promise<HeardBeat>;
  /** Nodes heard of lately, freshest data this object has; and who else there is, where it has just woken. */
  picture(): Promise<RegionPicture>;
  /** Its nodes alone. Workers of builds that know no `picture` ask so. */
  snapshot(): Promise<readonly LiveNode[]>;
  /** A call to this node has failed: it is asked for a token of that model, before others find out. Older Workers name no model: any. */
  suspect(node: string, model?: string): Promise<void>;
  /** Adds or replaces what the registry says of a node. */
  put(node: NodeRecord): Promise<void>;
  remove(node: string): Promise<void>;
  /** Tells the node, at its next beat, to take no more calls (or to take them again). */
  drain(node: string, deadlineMs: number | null): Promise<boolean>;
  /**
   * For every node of this region that a call issued at or after `sinceMs` can have reached: through when it has named
   * all it accepted. 0 for a node whose journal is younger than `sinceMs`; nodes not heard of since long before it, so
   * that no router can have chosen them, are left out.
   */
  completeThrough(sinceMs: number): Promise<readonly { readonly node: string; readonly throughMs: number }[]>;
}

export interface Env {
  readonly DB: D1Database;
  readonly KV: KVNamespace;
  readonly ACCOUNTS: DurableObjectNamespace<AccountRpc>;
  readonly REGIONS: DurableObjectNamespace<RegionRpc>;
  /** Messages are EventBatches as JSON. */
  readonly EVENTS: Queue<string>;
  readonly ASSETS: Fetcher;
  /** `{"current":"k1","keys":{"k1":"<32 bytes, base64url>"}}`; two keys while one replaces the other. */
  readonly SLUICE_SECRETS: string;
  readonly SLUICE_ADMIN_TOKEN: string;
  /** Origins whose pages may call this API from a browser, separated by commas; none besides the API's own. */
  readonly SLUICE_CORS_ORIGINS?: string;
  /** "1" in local runs only: allows http:// nodes on loopback and the well-known development secrets. */
  readonly SLUICE_DEV?: string;
  /** Limits on what nodes may take their time for: JSON, see core/timeouts.ts. */
  readonly SLUICE_TIMEOUTS?: string;
  /** Days to keep what is written, where they are not the defaults: `{"usage":90,...}`; see keeping/retention.ts. */
  readonly SLUICE_RETENTION_DAYS?: string;
  /** Overrides of the settlement clock, for tests that cannot wait: `{"closeWithoutWordMs":2000,...}`. Dev only. */
  readonly SLUICE_CLOCKS?: string;
}

export type AccountStub = DurableObjectStub<AccountRpc>;

/** The object of an account. An account's home, a part of its id, decides where the object may live. */
export function accountObject(env: Pick<Env, "ACCOUNTS" | "SLUICE_DEV">, account: string): AccountStub {
  const home = homeOf(account);
  assert(
    home === "any" || home === "eu" || home === "fedramp",
    "an account's home is a jurisdiction we know, or any",
  );
  // workerd alone knows no jurisdictions: a local run keeps every account in the one place there is.
  const anywhere = home === "any" || env.SLUICE_DEV === "1";
  const namespace = anywhere ? env.ACCOUNTS : env.ACCOUNTS.jurisdiction(home);
  return namespace.get(namespace.idFromName(account));
}

export function regionObject(env: Pick<Env, "REGIONS">, region: string): DurableObjectStub<RegionRpc> {
  return env.REGIONS.get(env.REGIONS.idFromName(region));
}
