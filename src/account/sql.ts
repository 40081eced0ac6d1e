/**
 * The SQLite of an account's object, with a count of the rows that were written: they are what an object costs. Makes the
 * tables where they are missing.
 */
import { prepareTables } from "./tables.ts";

type Value = string | number | null;
type Row = Record<string, SqlStorageValue>;

export class Sql {
  readonly #storage: SqlStorage;
  /** Since the object woke: what the tests of cost read. */
  rowsWritten = 0;

  constructor(storage: SqlStorage) {
    this.#storage = storage;
    prepareTables(storage);
  }

  /** How many rows it wrote. */
  write(statement: string, ...values: Value[]): number {
    const cursor = this.#storage.exec(statement, ...values);
    cursor.toArray();
    this.rowsWritten += cursor.rowsWritten;
    return cursor.rowsWritten;
  }

  /** Row by row: who has enough stops. */
  each<R extends Row>(statement: string, ...values: Value[]): IterableIterator<R> {
    return this.#storage.exec<R>(statement, ...values);
  }

  read<R extends Row>(statement: string, ...values: Value[]): R[] {
    return this.#storage.exec<R>(statement, ...values).toArray();
  }
}
