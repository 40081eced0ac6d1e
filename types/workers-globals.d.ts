/**
 * The Workers' global types as plain Node sees them: names, and hardly a method. Pure modules of the Worker name the
 * bindings in their types, and tests in Node import those modules; the real typings cannot be here, because they and
 * Node's describe the same globals differently.
 */
declare namespace Rpc {
  interface DurableObjectBranded {
    readonly __DURABLE_OBJECT_BRAND?: never;
  }
}
interface DurableObjectStub<Methods> {
  readonly methods?: Methods;
}
interface DurableObjectNamespace<Methods> {
  idFromName(name: string): object;
  get(id: object): DurableObjectStub<Methods>;
  jurisdiction(name: string): DurableObjectNamespace<Methods>;
}
interface Queue<Message> {
  send(message: Message): Promise<unknown>;
}
interface D1Database {
  readonly kind?: "d1";
}
interface KVNamespace {
  readonly kind?: "kv";
}
interface Fetcher {
  readonly kind?: "fetcher";
}
